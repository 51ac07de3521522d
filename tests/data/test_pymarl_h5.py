"""Reading the files of PyMARL's family: every number by hand, whatever way they are stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymarl_files import LENGTHS, TERMINATED, Arrays, by_hand, write_arrays, write_cfcql
from recordings import Capture

import dataset
from data.check import check_episodes
from data.formats import format_of, open_source
from data.formats.base import Source
from data.formats.padded_rows import MappedFiles, ShapedRows
from data.formats.pymarl_h5 import ICQ
from data.read import Episodes, RecordedEpisodes
from data.rows import MappedFile, StoredRows
from utils.errors import DataError

GZIP = {"compression": "gzip", "compression_opts": 9}


def assert_by_hand(data: Episodes, arrays: Arrays | None = None) -> None:
    """Every number of the four episodes, and that the rows pass the checks."""
    arrays = by_hand() if arrays is None else arrays
    check_episodes(data)
    assert data.episodes["length"].tolist() == list(LENGTHS)
    assert data.episodes["terminated"].tolist() == list(TERMINATED)
    assert data.episodes["truncated"].tolist() == [not end for end in TERMINATED]
    assert data.episodes["return"].tolist() == [3, 7.75, 1.5, 4.5]
    assert not data.episodes["battle_won"].any()
    numbers = data.info
    assert (numbers.n_agents, numbers.n_actions, numbers.obs_shape) == (2, 3, 2)
    assert (numbers.state_shape, numbers.episode_limit) == (3, 3)
    for i, length in enumerate(LENGTHS):
        batch = data.read(np.array([i]))
        rows = slice(0, length + 1)
        assert np.array_equal(batch.obs[0], arrays["obs"][i, rows])
        assert np.array_equal(batch.state[0], arrays["state"][i, rows])
        assert np.array_equal(batch.actions[0], arrays["actions"].reshape(4, 4, 2)[i, rows])
        assert np.array_equal(batch.avail_actions[0], arrays["avail_actions"][i, rows])
        assert batch.rewards[0].tolist() == [2**t + i / 4 for t in range(length)]
        assert batch.terminated[0].tolist() == [False] * (length - 1) + [TERMINATED[i]]
        assert batch.truncated[0].tolist() == [False] * (length - 1) + [not TERMINATED[i]]


def open_map(path: Path, stream: bool = False) -> Episodes:
    return open_source(str(path), env_config="smaclite", key="2s3z", stream=stream)


@pytest.mark.parametrize("storage", [{}, {"chunks": True}, GZIP])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ["2s3z.h5", "part_0.h5"])
def test_every_number_by_hand(
    storage: dict[str, Any], stream: bool, name: str, tmp_path: Path
) -> None:
    assert_by_hand(open_map(write_arrays(tmp_path / name, **storage), stream))


@pytest.mark.parametrize("stream", [False, True])
def test_cfcqls_files_by_hand(stream: bool, tmp_path: Path) -> None:
    data = open_map(write_cfcql(tmp_path / "2s3z_medium_replay.h5"), stream)
    assert_by_hand(data)
    assert data.metadata.quality == "medium_replay"
    assert data.metadata.made_with["format"] == "CFCQL's HDF5"


def test_contiguous_files_are_mapped_and_chunked_ones_streamed(tmp_path: Path) -> None:
    mapped = open_map(write_arrays(tmp_path / "a.h5"))
    obs, avail = mapped.steps["obs"], mapped.steps["avail_actions"]
    assert isinstance(obs, np.ndarray)
    assert not obs.flags.owndata
    assert not obs.flags.writeable
    assert isinstance(avail, ShapedRows)
    zipped = write_arrays(tmp_path / "b.h5", **GZIP)
    assert isinstance(open_map(zipped, stream=True).steps["obs"], StoredRows)
    other = write_arrays(tmp_path / "c.h5", spoil={"reward": ((0, 0), 5.0)})
    assert open_map(other).sha256 != mapped.sha256
    assert open_map(zipped, stream=True).sha256 == open_map(zipped).sha256 == mapped.sha256


@pytest.mark.parametrize(
    "types",
    [
        {"filled": np.float32, "terminated": np.float64, "reward": np.float64},
        {"filled": np.bool_, "terminated": np.bool_, "actions": np.uint8},
        {"actions": np.float32, "avail_actions": np.float32, "obs": np.float64},
        {"actions": np.int16, "avail_actions": np.bool_, "state": np.float16, "filled": np.uint8},
        {"obs": ">f4", "reward": ">f8", "actions": ">i4", "filled": ">i2"},
    ],
)
@pytest.mark.parametrize("flat", [False, True])
def test_other_types_and_shapes_that_mean_the_same(
    types: dict[str, Any], flat: bool, tmp_path: Path
) -> None:
    arrays = by_hand()
    changed = {name: arrays[name].astype(kind) for name, kind in types.items()}
    if flat:
        merged = arrays | changed
        ones = ("filled", "terminated", "reward", "actions")
        changed |= {name: merged[name][..., 0] for name in ones}
    for stream in (False, True):
        path = write_arrays(tmp_path / "a.h5", replace=changed, chunks=stream or None)
        data = open_map(path, stream)
        assert_by_hand(data, arrays | ({"state": changed["state"]} if "state" in changed else {}))


def test_what_stands_behind_an_episodes_end_is_not_looked_at(tmp_path: Path) -> None:
    arrays = by_hand()
    behind = arrays["filled"][..., 0] == 0
    for name in ("obs", "state", "reward"):
        arrays[name][behind] = np.nan
    for name in ("actions", "avail_actions", "terminated"):
        arrays[name][behind] = 77
    assert_by_hand(open_map(write_arrays(tmp_path / "a.h5", arrays)))


@pytest.mark.parametrize("storage", [{}, GZIP])
@pytest.mark.parametrize("stream", [False, True])
def test_parts_are_one_set_in_the_order_of_their_numbers(
    storage: dict[str, Any], stream: bool, tmp_path: Path
) -> None:
    arrays, folder = by_hand(), tmp_path / "dataset" / "sc2" / "3m" / "expert" / "token"
    places = [0, 1, 2, 3] * 3
    for number, i in enumerate(places):
        one = {name: values[i : i + 1] for name, values in arrays.items()}
        write_arrays(folder / f"part_{number}.h5", one, **storage)
    for place in (folder, folder.parent):
        data = open_source(str(place), stream=stream)
        assert data.metadata.env_args["map_name"] == "3m"
        assert data.metadata.quality == "expert"
        assert data.metadata.made_with["parts"] == 12
        assert data.episodes["length"].tolist() == [LENGTHS[i] for i in places]
        batch = data.read(np.array([11, 5, 10, 2, 2]))
        assert batch.obs[:, 0, 0, 0].tolist() == [300, 100, 200, 200, 200]
        check_episodes(data)


def test_a_missing_part_is_told(tmp_path: Path) -> None:
    for number in (0, 2):
        write_arrays(tmp_path / f"part_{number}.h5")
    assert open_map(tmp_path).metadata.made_with["part_numbers"] == [0, 2]


@pytest.mark.parametrize(
    ("name", "what", "key"),
    [
        ("3s5z_vs_3s6z.h5", "the official ICQ's HDF5", "3s5z_vs_3s6z"),
        ("MMM2_medium.h5", "the official ICQ's HDF5", "MMM2"),
        ("mine.h5", "the official ICQ's HDF5", ""),
        ("3ma.h5", "the official ICQ's HDF5", ""),
        ("sc2/3m/expert/t/part_0.h5", "offpymarl's folder of HDF5", "3m"),
        ("sc2/own_map/expert/t/part_0.h5", "offpymarl's folder of HDF5", "own_map"),
        ("mpe/simple/expert/t/part_0.h5", "offpymarl's folder of HDF5", ""),
    ],
)
def test_formats_and_maps_are_told_by_names(name: str, what: str, key: str, tmp_path: Path) -> None:
    path = write_arrays(tmp_path / name)
    form = format_of(str(path))
    assert (form.what, form.key_of(str(path))) == (what, key)


def test_without_one_hot_actions_or_with_probs_it_is_cfcqls(tmp_path: Path) -> None:
    with_both = by_hand() | {"probs": np.zeros((4, 4, 2, 3))}
    for arrays in (by_hand(onehot=False), with_both):
        path = write_arrays(tmp_path / "a.h5", arrays)
        assert format_of(str(path)).what == "CFCQL's HDF5"
        assert_by_hand(open_source(str(path), "icq", "smaclite", "2s3z"))


def test_a_file_that_does_not_name_its_map_asks_for_it(tmp_path: Path) -> None:
    path = write_arrays(tmp_path / "mine.h5")
    with pytest.raises(DataError) as error:
        ICQ().read(Source(str(path), "sc2", {"map_name": ""}))
    assert str(error.value) == (
        f"{path} does not say which map or task it is of; name it, such as --key=3m"
    )


@pytest.mark.parametrize(("width", "last"), [(27, False), (54, True), (26, None)])
def test_the_states_width_says_whether_it_has_the_last_actions(
    width: int, last: bool | None, tmp_path: Path
) -> None:
    arrays: Arrays = {
        "obs": np.zeros((1, 4, 3, 36)), "state": np.zeros((1, 4, width)),
        "avail_actions": np.ones((1, 4, 3, 9)), "actions": np.zeros((1, 4, 3, 1)),
        "reward": np.zeros((1, 4, 1)), "terminated": np.zeros((1, 4, 1)),
        "filled": np.ones((1, 4, 1)),
    }  # fmt: skip
    path = write_arrays(tmp_path / "3s_vs_3z.h5", arrays)
    for default in (False, True):
        data = open_source(str(path), env_args={"state_last_action": default})
        expected = default if last is None else last
        assert data.metadata.env_args["state_last_action"] is expected
        assert data.info.action_names[:2] == ("no_op", "stop")
        assert data.info.action_names[-1] == "attack_2"


@pytest.mark.parametrize(
    ("value", "told"), [(0, "all zero"), (1 / 3, "rows sum to 1"), (0.4, "rows do not sum to 1")]
)
def test_probabilities_are_looked_at_and_left(value: float, told: str, tmp_path: Path) -> None:
    probs = np.full((4, 4, 2, 3), value, np.float32)
    made = open_map(write_cfcql(tmp_path / "a.h5", probs)).metadata.made_with
    assert made["probs"] == f"{told}; not converted"
    assert made["battle_won"] == "unknown"
    assert made["cut_short"] == 1


def test_without_a_last_row_every_step_of_a_true_end_is_kept(tmp_path: Path) -> None:
    """As offpymarl's notebook makes files of OG-MARL's vaults, which have no last observation."""
    arrays = by_hand()
    arrays["terminated"][:] = 0
    arrays["terminated"][0, 2] = arrays["terminated"][2, 1] = 1
    arrays["reward"][:, 1:, 0] = [[2, 4, 0], [2, 4, 8], [3, 0, 0], [2, 5, 0]]
    arrays["corrected_terminated"] = np.zeros_like(arrays["terminated"])
    arrays["corrected_terminated"][0, 1] = arrays["corrected_terminated"][2, 0] = 1
    data = open_map(write_arrays(tmp_path / "part_0.h5", arrays))
    check_episodes(data)
    assert data.episodes["length"].tolist() == [3, 3, 2, 2]
    assert data.episodes["return"].tolist() == [1 + 2 + 4, 1.25 + 2 + 4, 1.5 + 3, 1.75 + 2]
    assert data.episodes["terminated"].tolist() == [True, False, True, False]
    batch = data.read(np.array([0]))
    assert batch.rewards[0].tolist() == [1, 2, 4]
    assert batch.obs[0, :, 0, 0].tolist() == [0, 10, 20, 20]
    made = data.metadata.made_with
    assert (made["without_last_row"], made["cut_steps"]) == (2, 2)
    assert made["corrected_terminated"] == "ignored, it drops the last transition"
    arrays["reward"][1] = 0  # a step that earns nothing is left out, too
    made = open_map(write_arrays(tmp_path / "part_1.h5", arrays)).metadata.made_with
    assert (made["without_last_row"], made["cut_steps"]) == (2, 2)


def test_pages_of_many_files_are_given_back_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []
    paths = [write_arrays(tmp_path / f"{i}.h5") for i in range(3)]
    size = paths[0].stat().st_size
    monkeypatch.setattr("data.rows.KEPT", 2 * size)
    monkeypatch.setattr("data.rows.PAGE_RUN", 0)

    class Told(MappedFile):
        def give_back(self) -> None:
            super().give_back()
            given.append(self.size)

    files = MappedFiles([Told(path) for path in paths])
    files.touched(1, 2 * size)
    assert len(given) == 0
    files.touched(1, 1)
    assert len(given) == 3
    files.touched(1, size)
    assert len(given) == 3


def test_by_the_command_line(tmp_path: Path, capsys: Capture) -> None:
    source, out = write_arrays(tmp_path / "mine.h5"), tmp_path / "out.h5"
    assert dataset.main(["convert", str(source), str(out), "--key=3m", "--from=cfcql"]) == 0
    assert capsys.readouterr().out == f"wrote {out}: 4 episodes\n"
    data = RecordedEpisodes(out)
    assert_by_hand(data)
    assert (data.metadata.env, data.metadata.env_args["map_name"]) == ("sc2", "3m")
