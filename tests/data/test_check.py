"""Every way in which a file of episodes can be bad, and the one line that says so."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from batches import INFO, random_batch
from planting import as_version_1, put, put_avail, write_four

from components.offline_buffer import OfflineEpisodes
from data.check import check_checksum, check_episodes
from data.read import RecordedEpisodes
from data.schema import BITS, METADATA, Metadata
from data.write import EpisodeWriter, Storage
from envs.two_step import TwoStepEnv
from runners.offline_runner import OfflineRunner
from utils.config import load_settings
from utils.errors import DataError

Change = Callable[[Any], None]
NUMBERS = "3 agents, 4 actions, obs 5, state 6, limit 7"
RETURN = float(random_batch().returns[1])


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A sound file."""
    return write_four(tmp_path / "good.h5", "game", {}, INFO)


def record_and_die(path: Path, metadata: Metadata) -> None:
    """A recording that ends in an exception."""
    with EpisodeWriter(path, metadata) as writer:
        writer.append(random_batch(), np.zeros(4, dtype=bool), 0, 1)
        raise RuntimeError


def refuse(path: Path) -> str:
    """What opening and checking the file says."""
    with pytest.raises(DataError) as error:
        check(path)
    assert error.value.exit_code == 2
    return str(error.value)


def check(path: Path) -> None:
    """Everything that `dataset.py check` does but the manifest."""
    data = RecordedEpisodes(path)
    check_episodes(data)
    check_checksum(data)


def forbid_taken(file: Any) -> None:
    """Mark agent 1's action in row 3 as unavailable, and another one as available."""
    put_avail((3, 1), 1)(file)
    put_avail((3, 1, file["steps/actions"][3, 1]), 0)(file)


def forget(name: str) -> Change:
    """Take a dataset out."""

    def change(file: Any) -> None:
        del file[name]

    return change


def retype(name: str, dtype: Any) -> Change:
    """The same values as another type."""

    def change(file: Any) -> None:
        values = file[name][()].astype(dtype)
        del file[name]
        file[name] = values

    return change


def attribute(name: str, value: str) -> Change:
    """Another value of a root attribute."""

    def change(file: Any) -> None:
        file.attrs[name] = value

    return change


def newer(file: Any) -> None:
    """A format that does not exist yet."""
    file.attrs["version"] = 3


def fewer_rows(file: Any) -> None:
    """One row of rewards is missing."""
    rows = file["steps/rewards"][:-1]
    del file["steps/rewards"]
    file["steps/rewards"] = rows


BAD: list[tuple[str, Change, str]] = [
    ("newer", newer,
     " has format version 3, this program reads up to 2; update the program"),
    ("nan", put("steps/obs", (9, 0, 2), np.nan), ": episode 1, step 1: obs is NaN or infinite"),
    ("infinite", put("steps/state", (19, 0), np.inf),
     ": episode 3, step 5: state is NaN or infinite"),
    ("nan_reward", put("steps/rewards", 12, np.nan),
     ": episode 2, step 0: rewards is NaN or infinite"),
    ("unavailable", forbid_taken, ": episode 0, step 3: a taken action is marked unavailable"),
    ("no_choice", put_avail((13, 2), 0),
     ": episode 2, step 1: no action is available to agent 2"),
    ("spare", put("steps/rewards", 7, 1.0), ": episode 0: row T must have reward 0"),
    ("range", put("steps/actions", (13, 2), 4), ": episode 2, step 1: an action is not in 0..3"),
    ("length", put("episodes/length", 2, 0),
     ": episode 2 has length 0; every episode needs at least one transition"),
    ("no_end", put("episodes/terminated", 2, False),
     ": episode 2 must end either terminated or truncated"),
    ("two_ends", put("episodes/truncated", 0, True),
     ": episode 0 must end either terminated or truncated"),
    ("return", put("episodes/return", 1, 5.0),
     f": episode 1's rewards sum to {RETURN:.4f}, its return says 5.0000"),
    ("rows", fewer_rows, ": steps/rewards has the shape (19,), its episodes and "
     f"env_info ({NUMBERS}) need (20,)"),
    ("flags", retype("episodes/terminated", np.uint8),
     ": episodes/terminated is uint8, the format needs bool"),
    ("policies", attribute("policies", "{}"),
     " has damaged metadata (policies is no JSON list); record it again"),
    ("no_obs", forget("steps/obs"), " lacks steps/obs; record or copy it again"),
    ("no_length", forget("episodes/length"), " lacks episodes/length; record or copy it again"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_a_bad_value_is_named(good: Path, change: Change, message: str) -> None:
    check(good)
    with h5py.File(good, "r+") as file:
        change(file)
    assert refuse(good) == f"{good}{message}"


@pytest.mark.parametrize("name", ["version", "complete", "env_args", "env_info"])
def test_missing_metadata(good: Path, name: str) -> None:
    with h5py.File(good, "r+") as file:
        del file.attrs[name]
    assert refuse(good) == f"{good} lacks metadata ({name}); record it again"


def test_missing(tmp_path: Path) -> None:
    path = tmp_path / "no.h5"
    expected = f"{path} is missing; make it with src/dataset.py, or name another file"
    assert refuse(path) == expected


def test_only_the_interrupted_recording_is_there(good: Path) -> None:
    path, partial = good.with_name("b.h5"), good.with_name("b.h5.incomplete")
    with pytest.raises(RuntimeError):
        record_and_die(path, RecordedEpisodes(good).metadata)
    expected = f"{path} is not there, only {partial}: its recording was interrupted"
    assert refuse(path) == expected
    assert refuse(partial) == (
        f"{partial} is incomplete: its recording was interrupted after 4 episodes; record it again"
    )


def test_no_episodes(good: Path) -> None:
    path = good.with_name("b.h5")
    EpisodeWriter(path, RecordedEpisodes(good).metadata).close()
    assert refuse(path) == f"{path} holds no episodes"


def test_empty(good: Path) -> None:
    good.write_bytes(b"")
    assert refuse(good) == f"{good} is empty (0 bytes); record or copy it again"


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_truncated(good: Path, share: float) -> None:
    content = good.read_bytes()
    good.write_bytes(content[: int(share * len(content))])
    assert refuse(good) == f"{good} is truncated or damaged; record or copy it again"


def test_text(good: Path) -> None:
    good.write_text("episode,reward\n0,1\n")
    assert refuse(good) == f"{good} is not an HDF5 file; record or copy it again"


@pytest.mark.parametrize("attributes", [{}, {"format": "other"}, {"format": 1}])
def test_hdf5_of_another_kind(tmp_path: Path, attributes: dict[str, Any]) -> None:
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["observations"] = np.zeros((3, 2))
        file.attrs.update(attributes)
    expected = f"{path} is HDF5, but not a file of recorded episodes (format=icq-episodes)"
    assert refuse(path) == expected


def content_sum(path: Path) -> str:
    """sha256 as docs/datasets.md describes it: of the metadata, then each field's own, by name."""
    with h5py.File(path) as file:
        whole = hashlib.sha256()
        metadata = {name: str(file.attrs[name]) for name in METADATA}
        whole.update(json.dumps(metadata, sort_keys=True).encode())
        names = [f"{group}/{name}" for group in ("steps", "episodes") for name in file[group]]
        for name in sorted(names):
            content = hashlib.sha256(file[name][()].tobytes()).hexdigest()
            whole.update(f"{name}={content}".encode())
    return whole.hexdigest()


def was_changed(path: Path) -> str:
    """What is said of a file whose content has another sum than is recorded."""
    with h5py.File(path) as file:
        recorded = str(file.attrs["sha256"])
    return (
        f"{path} was changed after it was written: its content has sha256 "
        f"{content_sum(path)[:12]}..., recorded was {recorded[:12]}..."
    )


@pytest.mark.parametrize("rows", [3, 65_536])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(
    "field", ["obs", "state", "rewards", BITS, "seed", "battle_won", "quality"]
)
def test_changed_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str, half: bool, rows: int
) -> None:
    path, metadata = tmp_path / "a.h5", Metadata("game", {}, INFO, "poor")
    with EpisodeWriter(path, metadata, Storage(half=half)) as writer:
        writer.append(random_batch(), np.zeros(4, dtype=bool), policy=0, seed=1)
    monkeypatch.setattr("data.read.ROWS", rows)
    check_episodes(RecordedEpisodes(path))
    with h5py.File(path, "r+") as file:
        if field == "quality":
            file.attrs["quality"] = "good"
        elif field == BITS:
            unused = next(
                (0, 0, a) for a in range(INFO.n_actions) if a != file["steps/actions"][0, 0]
            )
            put_avail(unused, not RecordedEpisodes(path).steps["avail_actions"][0][unused[1:]])(
                file
            )
        elif field == "rewards":
            file["steps/rewards"][0] += 1e-6
        else:
            group = "steps" if field in ("obs", "state") else "episodes"
            values = file[f"{group}/{field}"]
            values[0] = ~values[0] if values.dtype == bool else values[0] + 1
    data = RecordedEpisodes(path)
    for check in (check_episodes, check_checksum):
        with pytest.raises(DataError) as error:
            check(data)
        assert str(error.value) == was_changed(path)


def test_version_1_is_compared_with_the_sum_that_it_had(good: Path) -> None:
    as_version_1(good)
    check_episodes(RecordedEpisodes(good))
    with h5py.File(good, "r+") as file:
        file["steps/obs"][0, 0, 0] += 1
    assert " was changed after it was written: " in refuse(good)


def test_a_run_does_not_learn_from_changed_content(tmp_path: Path) -> None:
    path = write_four(tmp_path / "a.h5", "two_step", {}, TwoStepEnv.env_info({}))
    config = load_settings("icq", "two_step", {"dataset": str(path), "batch_size": 4}).run
    OfflineRunner(config, torch.device("cpu"))
    with h5py.File(path, "r+") as file:
        file["steps/state"][5] += 1
    with pytest.raises(DataError) as error:
        OfflineRunner(config, torch.device("cpu"))
    assert str(error.value) == was_changed(path)


def test_batch_size_greater_than_the_number_of_episodes(good: Path) -> None:
    data = RecordedEpisodes(good)
    assert OfflineEpisodes(data, 4, seed=1).sample().batch_size == 4
    with pytest.raises(DataError) as error:
        OfflineEpisodes(data, 5, seed=1)
    assert str(error.value) == f"{good} has 4 episodes, fewer than batch_size=5"
