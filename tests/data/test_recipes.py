"""Recipes as files: all of them load, and every mistake in one is a line that names the file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from data.levels import Level, choose, read_levels
from data.making.layers import FOLDER, headline, recipes
from data.making.recipe import difference, read_recipe
from envs.smax import MAPS
from utils.errors import ConfigError

WHOLE: dict[str, Any] = {"env_config": "two_step", "with": {"t_max": 100}}


def write(folder: Path, **updates: Any) -> Path:
    """A recipe with other keys."""
    path = folder / "mine.yaml"
    values = WHOLE | {key.rstrip("_"): value for key, value in updates.items()}
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_loads_without_a_game(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe.name == name
    env, _, title = name.partition("/")
    assert recipe.settings.run.env == env
    assert recipe.settings.run.env_args.get("map_name", title) == title
    assert headline(name).endswith(".")
    assert recipe.settings.run.t_max >= recipe.settings.run.save_model_interval * recipe.keys.every


def test_which_maps_have_one() -> None:
    smax = {name.partition("/")[2] for name in recipes() if name.startswith("smax/")}
    assert smax == MAPS.keys() - {"3s_vs_5z"}
    table_2 = "MMM 3s_vs_3z 3s5z 2s3z so_many_baneling 10m_vs_11m 2c_vs_64zg MMM2 27m_vs_30m"
    assert {n for n in recipes() if n.startswith("sc2/")} == {f"sc2/{m}" for m in table_2.split()}


def test_base_and_defaults_are_merged(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("base: smax\nenv_args: {map_name: 8m}\nwith: {lr: 0.001}\nmix: null\n")
    recipe = read_recipe(str(path))
    assert recipe.name == "mine"
    assert recipe.keys.with_ == yaml.safe_load((FOLDER / "smax.yaml").read_text())["with"] | {
        "lr": 0.001
    }
    assert [level.name for level in recipe.levels] == ["poor", "medium", "good"]
    assert [level.last for level in recipe.levels] == [False, False, True]
    assert recipe.keys.mix is None
    assert recipe.out.parts[-3:] == ("offline_data", "smax", "8m")


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ({"episode": 5}, "episode (FILE) is not a key of a recipe; did you mean episodes?"),
        ({"episodes": 0}, "episodes=0 (FILE): input should be greater than or equal to 1"),
        ({"seeds": [1]}, "seeds=[1] (FILE): list should have at least 2 items after validation"),
        ({"seeds": [1, "2"]}, "seeds.1=2 (FILE): input should be a valid integer"),
        ({"seeds": [1, -1]}, "seeds.1=-1 (FILE): input should be greater than or equal to 0"),
        ({"seeds": [1, 2**31]}, "seeds.1=2147483648 (FILE): input should be less than"),
        ({"episodes": 7}, "episodes=7 (FILE) are fewer than policies=8 (src/config/recipes/def"),
        ({"out": "x\0y"}, "out='x\\x00y' (FILE) cannot be a folder: embedded null byte"),
        ({"seeds": [1, 1]}, "seeds=[1, 1] (FILE): different ones are needed"),
        ({"policies": 3}, "policies=3 (FILE): input should be greater than or equal to 4"),
        ({"levels": ["pour"]}, "levels: pour (FILE) is not a level; there are poor, medium, good"),
        ({"levels": {"a": [3]}}, "levels={'a': [3]} (FILE): names are needed"),
        ({"levels": {"a": [0, 2], "b": [1, 3]}}, "levels (FILE): a and b overlap"),
        ({"levels": {"poor": [0, 9]}}, "levels: poor (FILE) cannot be the name of 0 to 9"),
        ({"levels": {"mixed": [0, 9]}}, "levels: mixed (FILE) cannot be the name of 0 to 9"),
        ({"mix": "a/b"}, "mix=a/b (FILE): one word is needed, or null"),
        ({"env_config": ""}, "env_config has no value; set it in FILE"),
        ({"env_config": "smx"}, "FILE: --env-config=smx: there is no src/config/envs/smx.yaml"),
        ({"config": "qmx"}, "FILE: --config=qmx: there is no src/config/algs/qmx.yaml; did you"),
        ({"config": "icq"}, "config=icq (FILE) learns from recorded data; a recipe needs"),
        ({"with_": {"seed": 3}}, "with: seed (FILE): make sets it itself; use seeds"),
        ({"with_": {"t_mx": 3}}, "t_mx (FILE) is not a key of qmix; did you mean t_max?"),
        ({"with_": 3}, "with (FILE) must be keys with values"),
        ({"env_args": {"map": 1}}, "env_args.map (FILE) is not known"),
        ({"base": "smacks"}, "base=smacks (FILE): there is no src/config/recipes/smacks.yaml"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, updates: dict[str, Any], message: str) -> None:
    path = write(tmp_path, **updates)
    with pytest.raises(ConfigError) as refusal:
        read_recipe(str(path))
    assert str(refusal.value).startswith(message.replace("FILE", str(path)))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1: 2", "FILE: 1 is no name of a key; words are needed"),
        (b"out: \xff", "FILE is not valid YAML: 'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_a_file_that_is_no_recipe_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as refusal:
        read_recipe(str(path))
    assert str(refusal.value).startswith(message.replace("FILE", str(path)))


def test_what_a_file_depends_on_is_all_of_the_run(tmp_path: Path) -> None:
    bounds = {"a": [0, 0.12345678], "b": [0.12345678, 1]}
    one = read_recipe(str(write(tmp_path, levels=bounds, with_={"t_max": 100, "threads": 2})))
    told = one.made_with(one.levels[0])
    assert told["levels"] == "a=0:0.12345678"
    assert (told["threads"], told["gamma"], told["lr"]) == (2, 0.99, one.settings.values["lr"])
    assert difference(told, told | {"threads": 1}) == "threads"
    assert difference(told, told | {"log_interval": 1}) == ""


class Known(NamedTuple):
    """A checkpoint that was measured."""

    facts: dict[str, Any]


def policies(means: dict[int, list[float]]) -> list[Known]:
    return [Known({"seed": s, "return_mean": m}) for s, group in means.items() for m in group]


@pytest.mark.parametrize(
    ("sizes", "count", "expected"),
    [
        ({1: 20, 2: 20}, 8, {1: 4, 2: 4}),
        ({1: 20, 2: 20, 3: 20}, 8, {1: 3, 2: 3, 3: 2}),
        ({1: 1, 2: 20}, 4, {1: 1, 2: 3}),
        ({1: 2, 2: 20, 3: 3}, 12, {1: 2, 2: 7, 3: 3}),
        ({1: 2, 2: 3}, 8, {1: 2, 2: 3}),
    ],
)
def test_what_one_seed_lacks_the_others_give(
    sizes: dict[int, int], count: int, expected: dict[int, int]
) -> None:
    candidates = policies({seed: [i / 20 for i in range(n)] for seed, n in sizes.items()})
    chosen = choose(candidates, Level("any", 0, 1), count)
    assert Counter(policy.facts["seed"] for policy in chosen) == expected
    assert len({tuple(policy.facts.values()) for policy in chosen}) == len(chosen)


def test_the_highest_return_counts_where_it_is_the_highest() -> None:
    assert [level.last for level in read_levels("poor")] == [False]
    assert [level.last for level in read_levels("medium,good")] == [False, True]
    assert [level.last for level in read_levels("low=0:3,high=3:5")] == [False, True]
