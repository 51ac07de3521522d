"""OMIGA's and MADT's pickles: every number by hand, nothing is run that is not trusted."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recordings import Capture, refuse

import dataset
from data.check import check_episodes
from data.formats import format_of, open_source
from data.formats.pickles import KEPT, Omiga
from data.read import Episodes, RecordedEpisodes
from utils.errors import DataError

Save = Callable[[Any, Path], None]


def episode(i: int, steps: int, ended: bool, one_state: bool = True) -> list[list[list[Any]]]:
    """Two agents, three actions; step t of episode i shows 100 i + 10 t + agent, pays 2^t."""
    agents = []
    for n in range(2):
        rows = []
        for t in range(steps):
            at = 100.0 * i + 10.0 * t
            state = np.array([at, at + 0.5, 0.0 if one_state else n])
            dead = t == steps - 1 or (n == 1 and t > 0)  # agent 1 dies after its first step
            action = (i + t + n) % 3
            avail = [int(a == action or a == 0) for a in range(3)]
            rows.append([state, np.array([at + n, 7.0]), [action], [2.0**t], dead and ended, avail])
        agents.append(rows)
    return agents


def by_pickle(value: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(value))


def by_torch(value: Any, path: Path) -> None:
    torch.save(value, path)


def by_old_torch(value: Any, path: Path) -> None:
    torch.save(value, path, _use_new_zipfile_serialization=False)


def folder_of(folder: Path, save: Save = by_pickle, **ways: Any) -> Path:
    """Twelve episodes of 1, 2, 3, 1, ... steps; every other ends truly, the others are cut."""
    folder.mkdir(parents=True)
    for i in range(12):
        save(episode(i, i % 3 + 1, i % 2 == 0, **ways), folder / f"{i}.pkl")
    return folder


def trusted(path: Path) -> Episodes:
    return open_source(str(path), env_config="smaclite", key="2s3z", trust_pickle=True)


@pytest.mark.parametrize("save", [by_pickle, by_torch, by_old_torch])
def test_every_number_by_hand(save: Save, tmp_path: Path) -> None:
    data = trusted(folder_of(tmp_path / "good", save))
    check_episodes(data)
    kept = [i for i in range(12) if not (i % 3 == 0 and i % 2)]  # of 3 and 9 nothing can be learnt
    ends = [i % 2 == 0 for i in kept]
    lengths = [i % 3 + ended for i, ended in zip(kept, ends, strict=True)]
    assert data.episodes["length"].tolist() == lengths
    assert data.episodes["return"].tolist() == [2**length - 1 for length in lengths]
    assert data.episodes["terminated"].tolist() == ends
    assert data.episodes["truncated"].tolist() == [not end for end in ends]
    info = data.info
    assert (info.n_agents, info.n_actions, info.obs_shape, info.state_shape) == (2, 3, 2, 3)
    assert info.episode_limit == 3
    for place, (i, ended, length) in enumerate(zip(kept, ends, lengths, strict=True)):
        batch = data.read(np.array([place]))
        steps = [min(t, i % 3) for t in range(length + 1)]  # after a true end the last is repeated
        at = [100.0 * i + 10.0 * t for t in steps]
        assert batch.obs[0].tolist() == [[[a, 7], [a + 1, 7]] for a in at]
        assert batch.state[0].tolist() == [[a, a + 0.5, 0] for a in at]
        assert batch.actions[0].tolist() == [[(i + t) % 3, (i + t + 1) % 3] for t in steps]
        assert batch.rewards[0].tolist() == [2.0**t for t in range(length)]
        assert batch.terminated[0, -1] == ended
    made = data.metadata.made_with
    assert made["left_out"] == "2 cut after one step"
    assert "state" not in made


def test_of_different_views_of_the_state_the_first_is_taken(tmp_path: Path) -> None:
    data = trusted(folder_of(tmp_path / "good", one_state=False))
    assert not data.steps["state"][:][:, 2].any()
    assert data.metadata.made_with["state"] == (
        "agent 0's; the other agents' views of it are not converted"
    )


def test_few_episodes_are_in_memory_and_all_are_read(tmp_path: Path) -> None:
    many, n = tmp_path / "many", 3 * KEPT
    many.mkdir()
    for i in range(n):
        by_pickle(episode(i, 2, True), many / f"{i}.pkl")
    data = trusted(many)
    assert [block.start for block in data.blocks()] == [0, 2 * KEPT, 4 * KEPT]
    shown = np.concatenate([block.columns["obs"] for block in data.blocks()])
    assert shown[::2, 0, 0].tolist() == [100.0 * i for i in range(n)]
    order = np.random.default_rng(0).permutation(n)
    assert data.read(order).obs[:, 0, 0, 0].tolist() == [100.0 * i for i in order]
    assert len(data._kept) == KEPT  # pyright: ignore[reportAttributeAccessIssue]


class Payload:
    """What a pickle of another's may do: here it writes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.write_text, (self.mark, "run")


@pytest.mark.parametrize("save", [by_pickle, by_torch, by_old_torch])
@pytest.mark.parametrize("flags", [[], ["--from=omiga"]])
def test_nothing_is_run_that_is_not_trusted(
    save: Save, flags: list[str], tmp_path: Path, capsys: Capture
) -> None:
    mark, folder = tmp_path / "mark", tmp_path / "3m"
    folder.mkdir()
    save(Payload(mark), folder / "0.pkl")
    convert = ["convert", str(folder), str(tmp_path / "out.h5"), *flags]
    assert refuse(capsys, *convert) == (
        2, f"DataError: {folder} holds pickles, and opening a pickle runs whatever code is in it; "
        "if you trust who made them, convert them with --trust-pickle",
    )  # fmt: skip
    assert not mark.exists()
    code, error = refuse(capsys, *convert, "--trust-pickle")
    assert code == 2
    assert error.startswith(f"DataError: {folder}/0.pkl is no list over agents of lists over steps")
    assert mark.exists()  # so it would have been seen


def test_by_the_command_line(tmp_path: Path, capsys: Capture) -> None:
    folder, out = folder_of(tmp_path / "3m" / "good"), tmp_path / "out.h5"
    assert dataset.main(["convert", str(folder), str(out), "--trust-pickle"]) == 0
    assert capsys.readouterr().out == f"wrote {out}: 10 episodes\n"
    data, source = RecordedEpisodes(out), trusted(folder)
    assert (data.metadata.env, data.metadata.env_args["map_name"]) == ("sc2", "3m")
    assert data.metadata.quality == "good"
    index = np.arange(10)
    theirs = source.read(index).tensors()
    for name, values in data.read(index).tensors().items():
        assert torch.equal(values, theirs[name]), name
    assert refuse(capsys, "convert", str(out), str(tmp_path / "x"), "--to=omiga") == (
        2, f"DataError: {tmp_path}/x: OMIGA's and MADT's pickles is read, not written; choose "
        "another format",
    )  # fmt: skip


def test_formats_are_told_by_the_first_bytes(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "3s_vs_5z_good" / "seed", by_torch)
    assert isinstance(format_of(str(folder)), Omiga)
    assert Omiga().key_of(str(folder)) == "3s_vs_5z"
    other = tmp_path / "other"
    other.mkdir()
    np.savez(other / "a.npz", np.zeros(3))
    assert not Omiga().recognises(str(other))
    assert not Omiga().recognises(str(tmp_path / "missing"))


def spoilt(place: int, value: Any, steps: int = 2) -> list[list[list[Any]]]:
    """An episode whose second agent's first step has another value there."""
    found = episode(0, steps, True)
    found[1][0][place] = value
    return found


NO_LIST = "is no list over agents of lists over steps of"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"\x80\x04garbage", "cannot be opened as a pickle ("),
        ({"a": 1}, NO_LIST),
        ([[[1, 2, 3]]], NO_LIST),
        (spoilt(1, [1.0]), NO_LIST),
        (spoilt(2, [0.5]), "step 0: an action is no whole number"),
        (spoilt(3, [9.0]), "step 0: agents' rewards differ"),
        (spoilt(5, [2, 1, 1]), "step 0: what is available is neither 0 nor 1"),
        ([*episode(0, 2, True), episode(0, 3, True)[0]],
         "its agents have [2, 2, 3] steps; every agent needs as many"),
        ([[[*row[:4], True, row[5]] for row in agent] for agent in episode(0, 2, True)],
         "step 0: all agents are done, and the episode goes on"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(
    value: Any, message: str, tmp_path: Path, capsys: Capture
) -> None:
    folder, out = folder_of(tmp_path / "3m"), tmp_path / "out.h5"
    path = folder / "5.pkl"
    path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value))
    code, error = refuse(capsys, "convert", str(folder), str(out), "--trust-pickle")
    assert code == 2
    assert error.startswith(f"DataError: {path}")
    assert message in error
    assert list(tmp_path.iterdir()) == [folder]


def test_episodes_of_other_sizes_are_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "3m")
    wide = episode(1, 2, True)
    for agent in wide:
        for row in agent:
            row[0] = np.zeros(9)
    by_pickle(wide, folder / "4.pkl")
    with pytest.raises(DataError, match=r"4.pkl: state of a step has the shape \(9,\), in .*0.pkl"):
        trusted(folder)


def test_a_folder_without_files_is_one_line(tmp_path: Path, capsys: Capture) -> None:
    out = str(tmp_path / "out.h5")
    flags = ["--from=omiga", "--key=3m", "--trust-pickle"]
    code, error = refuse(capsys, "convert", str(tmp_path), out, *flags)
    assert (code, error) == (
        2, f"DataError: {tmp_path} holds no files; OMIGA's and MADT's data is a folder of pickles",
    )  # fmt: skip


def test_names_may_be_anything(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "3m")
    by_pickle(episode(12, 2, True), folder / "\u00b2")  # a superscript, which is no number
    assert len(trusted(folder)) == len(trusted(folder_of(tmp_path / "8m"))) + 1
