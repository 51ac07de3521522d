"""What is wrong with a file of PyMARL's family is one line, and nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from d4rl_files import cut_off
from pymarl_files import by_hand, write_arrays
from recordings import Capture, refuse

from data.formats import open_source
from utils.errors import DataError

HAVE = (
    "a file of PyMARL's episodes has obs, state, avail_actions, actions, reward, terminated, filled"
)
LATE = by_hand()["terminated"]
LATE[0, 1:3, 0] = 0, 1  # the first episode alone has no last row
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"drop": ["filled"]}, f"{{}} lacks filled; {HAVE}"),
    ({"drop": ["reward", "state"]}, f"{{}} lacks state, reward; {HAVE}"),
    ({"replace": {"obs": np.zeros((4, 4, 4))}},
     "{}: obs has the shape (4, 4, 4), not (episodes, L, agents, numbers)"),
    ({"replace": {"reward": np.zeros((4, 4, 2))}},
     "{}: reward has the shape (4, 4, 2), with avail_actions (4, 4, 2, 3) it should be (4, 4, 1)"),
    ({"replace": {"actions": np.zeros((4, 3, 2, 1))}},
     "{}: actions has the shape (4, 3, 2, 1), with avail_actions (4, 4, 2, 3) it should be "
     "(4, 4, 2, 1)"),
    ({"replace": {"state": np.array([["a"]], dtype="S1")}},
     "{}: state is no array of numbers of up to 64 bits"),
    ({"replace": {"reward": np.zeros((4, 4, 1), dtype=np.longdouble)}},
     "{}: reward is no array of numbers of up to 64 bits"),
    ({"spoil": {"filled": ((1, 2), 0)}}, "{}: episode 1, step 2: filled is 0, and 1 later on"),
    ({"replace": {"filled": np.full((4, 4, 1), np.nan)}},
     "{}: episode 0, step 0: filled is neither 0 nor 1"),
    ({"spoil": {"filled": (2, 0)}}, "{}: episode 2 has 0 rows and no transition"),
    ({"spoil": {"terminated": ((1, 0), 1)}},
     "{}: episode 1, step 0: terminated is 1, and the episode goes on"),
    ({"spoil": {"terminated": ((1, 1), 3)}},
     "{}: episode 1, step 1: terminated is neither 0 nor 1"),
    ({"spoil": {"reward": ((0, 2), 9)}},
     "{}: episode 0, step 2: the reward behind the last transition is 9, PyMARL leaves 0 there"),
    ({"replace": {"terminated": LATE}, "spoil": {"reward": ((2, 1), 9)}},
     "{}: episode 2, step 1: the reward behind the last transition is 9, PyMARL leaves 0 there"),
    ({"spoil": {"reward": ((3, 1), np.nan)}}, "NaN"),
    ({"spoil": {"avail_actions": ((1, 1, 0, 2), 2)}},
     "{}: episode 1, step 1: avail_actions has values other than 0 and 1"),
    ({"replace": {"actions": by_hand()["actions"] + 0.5}},
     "{}: episode 0, step 0: an action is no whole number"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "message"), WRONG)
def test_what_is_wrong_is_one_line(
    wrong: dict[str, Any], message: str, tmp_path: Path, capsys: Capture
) -> None:
    path, out = write_arrays(tmp_path / "3m.h5", **wrong), tmp_path / "out.h5"
    code, error = refuse(capsys, "convert", str(path), str(out), "--key=3m")
    assert code == 2
    if message == "NaN":  # found by the check of every row
        assert "episode 3, step 1" in error
    else:
        assert error == f"DataError: {message.format(path)}"
    assert list(tmp_path.iterdir()) == [path]


def test_a_truncated_file_is_one_line(tmp_path: Path, capsys: Capture) -> None:
    path = write_arrays(tmp_path / "3m.h5")
    cut_off(path, 0.6)
    code, error = refuse(capsys, "convert", str(path), str(tmp_path / "o.h5"), "--from=icq")
    assert (code, error) == (
        2, f"DataError: {path} is truncated or damaged; record or copy it again",
    )  # fmt: skip


def test_parts_of_other_sizes_are_refused(tmp_path: Path) -> None:
    write_arrays(tmp_path / "part_0.h5")
    write_arrays(tmp_path / "part_1.h5", replace={"state": np.zeros((4, 4, 9))})
    with pytest.raises(DataError, match=r"part_1.h5 holds .* \(4, 2, 3, 2, 9\), .*part_0.h5"):
        open_source(str(tmp_path), env_config="smaclite", key="2s3z")


def test_of_several_recordings_one_must_be_chosen(tmp_path: Path, capsys: Capture) -> None:
    for token in ("a", "b"):
        write_arrays(tmp_path / "medium" / token / "part_0.h5")
    folder = tmp_path / "medium"
    error = refuse(capsys, "convert", str(folder), str(tmp_path / "out.h5"), "--key=3m")
    assert error == (
        2, f"DataError: {folder} holds 2 recordings (a, b); choose one, such as {folder}/b, which "
        "offpymarl would take",
    )  # fmt: skip
