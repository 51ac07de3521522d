"""A card's figures by hand, as text, JSON and picture, of one file and of several."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from cards import INFO, write_actions, write_continuous, write_tiny
from d4rl_files import write_d4rl
from recordings import Capture, refuse

import dataset
from data.action_use import CELLS, ChoiceCounter
from data.card import card_of, labels, level_of
from data.card_picture import draw
from data.coverage import PairCounter
from data.read import RecordedEpisodes
from envs.base import EnvInfo
from utils.paths import ROOT


def inspect(capsys: Capture, *argv: Any) -> str:
    """What the command prints."""
    capsys.readouterr()
    assert dataset.main(["inspect", *map(str, argv)]) == 0
    out, error = capsys.readouterr()
    assert error == ""
    return out


def test_every_figure(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "a.h5", map_name="3m")
    data = RecordedEpisodes(path)
    found = card_of(data, "icq-episodes 2").to_dict()
    third = [0.0, 0.0, 1.0]
    assert found == {
        "file": str(path), "format": "icq-episodes 2", "bytes": path.stat().st_size,
        "precision": "float32", "sha256": data.sha256,
        "env": "smax", "env_args": {"map_name": "3m"}, "env_info": INFO.to_dict(),
        "quality": "poor", "licence": "CC0-1.0",
        "policies": [
            {"algorithm": "a", "recorded_episodes": 1, "recorded_return_mean": 20.0},
            {"algorithm": "b", "recorded_episodes": 1, "recorded_return_mean": 4.0},
            {"algorithm": "c", "recorded_episodes": 0, "recorded_return_mean": None},
        ],
        "made_with": {"seed": 3}, "episodes": 2, "transitions": 3,
        "return": {"mean": 12.0, "std": 8.0,
                   "quantiles": {"0": 4.0, "0.25": 8.0, "0.5": 12.0, "0.75": 16.0, "1": 20.0}},
        "length": {"mean": 1.5, "std": 0.5,
                   "quantiles": {"0": 1.0, "0.25": 1.25, "0.5": 1.5, "0.75": 1.75, "1": 2.0}},
        "won": 0.5, "terminated": 0.5, "truncated": 0.5,
        "level": "medium", "levels": {"poor": 0.5, "medium": 0.0, "good": 0.5},
        "SACo": 2 / 3, "pairs": 2,
        "choices": {
            "decisions": 5, "available": 3.0, "entropy": 0.0, "entropy_share": 0.0,
            "shares": {"wait": 0.4, "left": 0.4, "attack_0": 0.2}, "steps_per_bin": 1,
            "over_time": {name: [first, last] for name, first, last in
                          zip(INFO.action_names, (0.5, 0.5, 0.0), third, strict=True)},
        },
        "dimensions": [],
    }  # fmt: skip


def test_the_text_of_one(tmp_path: Path, capsys: Capture) -> None:
    path = write_tiny(tmp_path / "a.h5", half=True, map_name="3m")
    lines = inspect(capsys, path).splitlines()
    assert lines[: lines.index("")] == [
        f"file                     {path}",
        "format                   icq-episodes 2, float16",
        f"size                     {path.stat().st_size / 1000:.1f} kB",
        "env                      smax map_name=3m",
        "numbers                  2 agents, 3 actions, obs 1, state 1, limit 3",
        "quality                  poor",
        "licence                  CC0-1.0",
        "episodes                 2",
        "transitions              3",
        "return, mean ± std       12.00 ± 8.00",
        "return, 0/25/50/75/100%  4.0 / 8.0 / 12.0 / 16.0 / 20.0",
        "level                    medium",
        "poor / medium / good     50.0% / 0.0% / 50.0%",
        "length, mean ± std       1.50 ± 0.50",
        "length, 0/25/50/75/100%  1.0 / 1.2 / 1.5 / 1.8 / 2.0",
        "won                      50.0%",
        "terminated               50.0%",
        "truncated (time limit)   50.0%",
        "SACo                     0.667 (2 different pairs)",
        "decisions                5, of 3.00 available actions",
        "entropy                  0.000 nats (0.0% of log 3)",
        "actions                  wait 40.0%  left 40.0%  attack_0 20.0%",
        "policy 0                 1 episodes, mean 20.00: algorithm=a",
        "policy 1                 1 episodes, mean 4.00: algorithm=b",
        "policy 2                 0 episodes: algorithm=c",
        "made with                seed=3",
        f"sha256                   {RecordedEpisodes(path).sha256} (content)",
    ]
    assert lines[-1] == f"picture: {tmp_path / 'a.png'}"
    for name in ("level: ", "SACo: ", "entropy: "):
        assert any(line.startswith(name) for line in lines), "what it means"


def test_several_side_by_side(tmp_path: Path, capsys: Capture) -> None:
    first = write_tiny(tmp_path / "a.h5", map_name="3m")
    other = write_continuous(tmp_path / "bb.h5")
    lines = inspect(capsys, first, other).splitlines()
    top, table = lines[: lines.index("")], lines[lines.index("") + 1 :]
    assert top == [
        "format                   icq-episodes 2, float32",
        "licence                  CC0-1.0",
    ]
    place = table[0].index("bb")
    assert table[0].split() == ["a", "bb"]
    cells = {line[:25].strip(): (line[25:place].strip(), line[place:].strip()) for line in table}
    assert cells["env"] == ("smax map_name=3m", "game")
    assert cells["episodes"] == ("2", "4")
    assert cells["level"] == ("medium", "")
    assert cells["left"] == ("40.0%", "")
    assert cells["dimension 1"][0] == ""
    assert cells["dimension 1"][1].startswith("0.")
    assert lines[-1] == f"picture: {tmp_path / 'cards.png'}"
    assert (tmp_path / "cards.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_json_and_nothing_else(tmp_path: Path, capsys: Capture) -> None:
    paths = [write_tiny(tmp_path / "a.h5"), write_continuous(tmp_path / "b.h5")]
    found = json.loads(inspect(capsys, "--json", *paths))
    cards = [card_of(RecordedEpisodes(path), "icq-episodes 2").to_dict() for path in paths]
    assert found["cards"] == json.loads(json.dumps(cards))
    assert found["cards"][1]["choices"] is None
    assert found["definitions"].keys() == {"level", "SACo", "entropy"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5", "b.h5"]
    inspect(capsys, "--json", paths[0], "--picture", tmp_path / "c.svg")
    assert (tmp_path / "c.svg").read_bytes().startswith(b"<?xml")


def test_entropy_by_hand(tmp_path: Path) -> None:
    """Step 0: 1/2, 1/4, 1/4; step 1: always the same."""
    card = write_actions(tmp_path / "a.h5", [[0, 2], [0, 2], [1, 2], [2, 2]])
    assert card.choices
    assert card.choices.entropy == pytest.approx(1.5 * math.log(2) / 2)
    assert card.choices.entropy_share == pytest.approx(1.5 * math.log(2) / 2 / math.log(3))
    assert card.choices.over_time == {"0": [0.5, 0], "1": [0.25, 0], "2": [0.25, 1]}


def test_entropy_of_a_deterministic_policy_in_a_deterministic_game(tmp_path: Path) -> None:
    card = write_actions(tmp_path / "a.h5", [[0, 2, 1]] * 50)
    assert card.choices
    assert card.choices.entropy == 0
    assert card.pairs == 3


def test_entropy_of_random_play(two_step_file: Path) -> None:
    card = card_of(RecordedEpisodes(two_step_file), "ours")
    assert card.choices
    assert card.choices.entropy == pytest.approx(math.log(2), abs=0.02)
    assert card.choices.entropy_share == pytest.approx(1, abs=0.03)
    assert card.pairs == 12, "three states, four joint actions"
    assert (card.level, card.levels) == (None, None)


def test_pairs_are_those_of_a_set() -> None:
    info, rng = EnvInfo(2, 3, 1, 3, 5), np.random.default_rng(0)
    states = rng.integers(0, 3, (4_000, 3)).astype(np.float32)
    actions = rng.integers(0, 3, (4_000, 2)).astype(np.uint8)
    counter = PairCounter(info, len(states))
    for start in range(0, len(states), 700):
        counter.add(states[start : start + 700], actions[start : start + 700])
    expected = {(*s, *a) for s, a in zip(states.tolist(), actions.tolist(), strict=True)}
    assert counter.count() == len(expected) == 243
    assert PairCounter(info, 0).count() == 0


def test_what_makes_a_pair() -> None:
    """The order of a state's numbers counts, the sign of zero not; 1/100 of an action's range."""
    one = EnvInfo(1, 3, 1, 2, 5)
    counter = PairCounter(one, 3)
    counter.add(np.array([[1, 0], [0, 1], [-0.0, 1]], np.float32), np.zeros((3, 1), np.uint8))
    assert counter.count() == 2
    bounded = EnvInfo(1, 1, 2, 0, 5, action_low=(-2.0,), action_high=(2.0,))
    counter = PairCounter(bounded, 4)
    actions = np.array([0.0, 0.019, -0.019, 0.021], np.float32)[:, None, None]
    counter.add(np.ones((4, 1, 2), np.float32), actions)
    assert counter.count() == 2


def test_long_episodes_share_counters() -> None:
    info, longest = EnvInfo(1, 1_000, 1, 1, 10_000), 10_000
    assert 2 * CELLS < longest * info.n_actions < 3 * CELLS
    counter = ChoiceCounter(info, longest)
    time = np.arange(longest)
    avail = np.zeros((longest, 1, 1_000), dtype=bool)
    avail[:, 0, :2] = True
    counter.add((time[:, None] >= 6_000).astype(np.int16), avail, time)
    choices = counter.result(np.array([longest]))
    assert choices.entropy == 0
    assert choices.steps_per_bin % 3 == 0
    assert len(choices.over_time["0"]) == 20
    assert choices.shares["0"] == 0.6
    assert choices.over_time["0"][:11] == [1.0] * 11


def test_a_file_whose_episodes_have_no_last_row(tmp_path: Path, capsys: Capture) -> None:
    """Of D4RL's fourteen rows eleven are played; row i acts i / 8."""
    path = write_d4rl(tmp_path / "a.hdf5")
    card = json.loads(inspect(capsys, path, "--key=Pendulum-v1", "--json"))["cards"][0]
    played = np.array([0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12]) / 8
    assert card["format"] == "d4rl"
    assert (card["transitions"], card["pairs"]) == (11, 11)
    (dimension,) = card["dimensions"]
    assert dimension["mean"] == pytest.approx(played.mean())
    assert dimension["std"] == pytest.approx(played.std())
    counts, _ = np.histogram(played, 50, (-2, 2))
    assert dimension["histogram"] == pytest.approx(counts / 11)


@pytest.mark.parametrize(
    ("value", "level"),
    [(-1, "poor"), (9.99, "poor"), (10, "medium"), (15, "good"), (20.0001, "good")],
)
def test_levels(value: float, level: str) -> None:
    assert level_of(value) == level


def test_levels_are_of_returns_up_to_20(tmp_path: Path) -> None:
    for i, (env, env_args, has) in enumerate([
        ("sc2", {"reward_scale": True}, True), ("sc2", {"reward_scale": False}, False),
        ("smaclite", {}, True), ("mmdp", {}, False),
    ]):  # fmt: skip
        path = write_tiny(tmp_path / f"{i}.h5", env, **env_args)
        assert (card_of(RecordedEpisodes(path), "ours").level is not None) == has


def test_labels_tell_files_apart(tmp_path: Path) -> None:
    cards = []
    for name in ("x/poor.h5", "y/poor.h5", "y/good.h5"):
        cards.append(card_of(RecordedEpisodes(write_tiny(tmp_path / name)), "ours"))
    assert labels(cards) == ["x/poor", "y/poor", "y/good"]
    assert labels(cards[1:]) == ["poor", "good"]
    assert labels([cards[0], cards[0]]) == ["poor", "poor"]


@pytest.mark.parametrize(
    ("kinds", "suffix", "start"),
    [("d", ".png", b"\x89PNG"), ("dc", ".pdf", b"%PDF"), ("cccc", ".svg", b"<?xml"),
     ("ddddd", ".png", b"\x89PNG")],
)  # fmt: skip
def test_pictures(tmp_path: Path, kinds: str, suffix: str, start: bytes) -> None:
    """Of discrete and continuous actions, of one file and of several."""
    cards = {
        "d": card_of(RecordedEpisodes(write_tiny(tmp_path / "d.h5")), "ours"),
        "c": card_of(RecordedEpisodes(write_continuous(tmp_path / "c.h5")), "ours"),
    }
    path = tmp_path / f"card{suffix}"
    draw([cards[kind] for kind in kinds], path)
    content = path.read_bytes()
    assert content.startswith(start)
    assert len(content) > 10_000
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["d.h5", "c.h5", path.name])
    if suffix == ".pdf":
        draw([cards[kind] for kind in kinds], path)
        assert path.read_bytes() == content, "the same picture again"


def test_mistakes_are_one_line(tmp_path: Path, capsys: Capture) -> None:
    path = write_tiny(tmp_path / "a.h5")
    for picture, expected in (
        (tmp_path / "a.gif", "must end in .png, .pdf or .svg"),
        (tmp_path / "no" / "a.png", f"there is no folder {tmp_path / 'no'}; make it first"),
    ):
        code, line = refuse(capsys, "inspect", str(path), f"--picture={picture}")
        assert (code, line) == (2, f"ConfigError: --picture={picture}: {expected}")
    with h5py.File(path, "r+") as file:
        rewards: Any = file["steps/rewards"]
        rewards[1] = np.nan
    code, line = refuse(capsys, "inspect", str(path))
    assert (code, line) == (2, f"DataError: {path}: episode 0, step 1: rewards is NaN or infinite")
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


def test_help_needs_no_pytorch() -> None:
    words = [sys.executable, "-X", "importtime", str(ROOT / "src" / "dataset.py"), "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "argparse" in imported
    assert imported.isdisjoint({"torch", "numpy", "h5py", "matplotlib"})
