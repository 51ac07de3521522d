"""dataset.py check and check --fix: what is told and mended, the exit codes, what is left alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from planting import (
    FIRST,
    LAST,
    as_version_1,
    plant,
    put,
    put_avail,
    set_info,
    write_cfcql,
    write_raw,
    write_sound,
)
from recordings import Capture, record_random, refuse
from test_findings import all_cut, copy_rows

import dataset
from data.read import RecordedEpisodes
from data.schema import Metadata
from data.write import EpisodeWriter, Storage
from utils.paths import ROOT


def run(capsys: Capture, *argv: object) -> tuple[int, list[str], list[str]]:
    """Exit code, and the lines on stdout and stderr."""
    capsys.readouterr()
    code = dataset.main(["check", *map(str, argv)])
    out, error = capsys.readouterr()
    return code, out.splitlines(), error.splitlines()


def spoil(path: Path) -> None:
    """Everything that has one right answer."""
    copy_rows(path)
    plant(
        path,
        put("episodes/return", [1, 2], 9.0),
        put("steps/rewards", LAST[[0, 7]], [1.0, -1.0]),
        put("episodes/truncated", [2, 9], [True, False]),
        put("episodes/policy", ..., 0),
    )


def test_what_has_one_right_answer_is_mended(tmp_path: Path, capsys: Capture) -> None:
    path, out = tmp_path / "a.h5", tmp_path / "new" / "b.h5"
    before = RecordedEpisodes(write_sound(path)).read(np.arange(40))
    spoil(path)
    content = path.read_bytes()
    code, told, error = run(capsys, path, f"--fix={out}")
    assert (code, error, len(told)) == (0, [], 8)
    mended = [
        "returns summed anew from the rewards (2)",
        "rewards at row T set to 0 (2)",
        "episodes given the one end that they can have (2)",
        "repeated episodes left out, the first of each stays (1)",
    ]
    assert told[-1] == f"wrote {out}: 39 episodes, sound; mended: {'; '.join(mended)}"
    assert path.read_bytes() == content
    assert [p.name for p in out.parent.iterdir()] == ["b.h5"]
    assert run(capsys, out) == (0, [f"{out}: 39 episodes, sound, not in the manifest"], [])
    source, data = RecordedEpisodes(path), RecordedEpisodes(out)
    assert data.metadata.made_with == {"fixed": mended, "fixed_from": source.sha256}
    batch = data.read(np.arange(39))
    for name, tensor in before.episodes([i for i in range(40) if i != 5]).tensors().items():
        assert torch.equal(batch.tensors()[name], tensor), name
    assert data.episodes["slot"].tolist() == [i for i in range(40) if i != 5]


def test_mended_again_it_says_all_that_was_mended(tmp_path: Path, capsys: Capture) -> None:
    path, once, twice = (tmp_path / f"{name}.h5" for name in "abc")
    plant(write_sound(path), put("episodes/return", 1, 9.0))
    assert run(capsys, path, f"--fix={once}")[0] == 0
    plant(once, put("steps/rewards", LAST[0], 1.0))
    assert run(capsys, once, f"--fix={twice}")[0] == 0
    assert RecordedEpisodes(twice).metadata.made_with["fixed"] == [
        "returns summed anew from the rewards (1)",
        "rewards at row T set to 0 (1)",
    ]


def test_version_1_and_half_precision_are_mended_to_the_bit(
    tmp_path: Path, capsys: Capture
) -> None:
    sound = RecordedEpisodes(write_sound(tmp_path / "sound.h5"))
    old, half = tmp_path / "old.h5", tmp_path / "half.h5"
    as_version_1(plant(write_sound(old), put("episodes/return", 1, 9.0)))
    metadata = Metadata("game", {}, sound.info, "poor")
    with EpisodeWriter(half, metadata, Storage(half=True)) as writer:
        writer.append(sound.read(np.arange(40)), np.zeros(40, dtype=bool), 0, 1)
    plant(half, put("episodes/return", 1, 9.0))
    for path in (old, half):
        out = tmp_path / f"mended_{path.name}"
        assert run(capsys, path, f"--fix={out}")[0] == 0
        ours, theirs = RecordedEpisodes(out), RecordedEpisodes(path)
        for name, rows in theirs.steps.items():
            assert ours.steps[name].dtype == rows.dtype
            assert np.array_equal(ours.steps[name][:], rows[:]), name


def test_what_cannot_be_mended_is_not_and_nothing_is_written(
    tmp_path: Path, capsys: Capture
) -> None:
    path, out = write_sound(tmp_path / "a.h5"), tmp_path / "b.h5"
    spoil(path)
    plant(path, put("steps/obs", (FIRST[30], 0, 0), np.nan), put("episodes/policy", 30, 5))
    code, told, _ = run(capsys, path, f"--fix={out}")
    assert code == 1
    assert told[-1] == (
        f"{path}: not mended: numbers that are NaN or infinite, policies that are not listed; "
        f"{out} was not written"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


def test_ends_that_may_be_either_are_not_mended(tmp_path: Path, capsys: Capture) -> None:
    """Both ends at the limit, and none below it."""
    for name, at in (("terminated", (1, True)), ("terminated", (0, False))):
        path, out = write_sound(tmp_path / "a.h5"), tmp_path / "b.h5"
        plant(path, put(f"episodes/{name}", *at))
        code, told, _ = run(capsys, path, f"--fix={out}")
        assert code == 1
        assert told[1:] == [
            f"{path}: not mended: episodes that have not exactly one end; {out} was not written"
        ]


def test_changed_content_is_not_given_a_new_checksum(tmp_path: Path, capsys: Capture) -> None:
    path, out = write_sound(tmp_path / "a.h5"), tmp_path / "b.h5"
    write_raw(path, "steps/state", 1, 0xAA)
    code, told, _ = run(capsys, path, f"--fix={out}")
    assert (code, len(told)) == (1, 2)
    assert told[0].startswith(f"{path}: the file was changed after it was written: ")
    assert told[1] == (
        f"{path}: not mended: content that is not what was written; {out} was not written"
    )
    assert not out.exists()


def test_a_copy_that_would_not_be_sound_is_not_left(tmp_path: Path, capsys: Capture) -> None:
    """Of 12 episodes 5 have one step; without the repeated longer ones that is a pattern."""
    path, out = tmp_path / "a.h5", tmp_path / "b.h5"
    lengths = [1, 7] * 5 + [2, 7] * 5
    write_sound(path, lengths)
    data = RecordedEpisodes(path)
    first = data.first_rows
    changes = [put("episodes/slot", range(13, 20, 2), 11)]
    for i in range(13, 20, 2):
        ours, theirs = slice(first[i], first[i] + 8), slice(first[11], first[11] + 8)
        for name in ("obs", "state", "actions", "rewards"):
            changes.append(put(f"steps/{name}", ours, data.steps[name][theirs]))
        changes.append(put_avail(ours, data.steps["avail_actions"][theirs]))
        changes.append(put("episodes/return", i, data.episodes["return"][11]))
    plant(path, *changes)
    code, told, _ = run(capsys, path, f"--fix={out}")
    assert (code, len(told)) == (1, 5)
    assert told[-1] == (
        f"{path}: not mended: episodes of one step between the others; {out} was not written"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


def test_a_cfcql_file_is_mended_into_our_format(tmp_path: Path, capsys: Capture) -> None:
    path, out = write_cfcql(tmp_path / "3m_medium.h5", 0.0), tmp_path / "b.h5"
    code, told, _ = run(capsys, path, "--key=3m", f"--fix={out}")
    assert (code, len(told)) == (0, 2)
    assert told[1] == (
        f"wrote {out}: 40 episodes, sound; mended: the behaviour probabilities left out"
    )
    assert run(capsys, out)[0] == 0
    assert "probs" not in RecordedEpisodes(out).metadata.made_with


def test_a_sound_file_needs_no_mending(tmp_path: Path, capsys: Capture) -> None:
    path, out = write_sound(tmp_path / "a.h5"), tmp_path / "b.h5"
    assert run(capsys, path, f"--fix={out}") == (
        0,
        [
            f"{path}: 40 episodes, sound, not in the manifest",
            f"{path}: nothing to mend, {out} was not written",
        ],
        [],
    )
    assert not out.exists()


def test_mistakes(tmp_path: Path, capsys: Capture) -> None:
    path, there = write_sound(tmp_path / "a.h5"), write_sound(tmp_path / "there.h5")
    for argv, line in (
        ([path, there, f"--fix={tmp_path}/b.h5"],
         f"ConfigError: --fix={tmp_path}/b.h5 takes one file, here are 2"),
        ([path, f"--fix={tmp_path}/b"], f"ConfigError: --fix={tmp_path}/b must end in .h5"),
        ([path, "--limit=-1"], "ConfigError: --limit=-1 must be 0 or more"),
        ([path, "with", "env_args.x=1"],
         "ConfigError: env_args.x (the command line) is not known"),
    ):  # fmt: skip
        code, out = refuse(capsys, "check", *map(str, argv))
        assert code == 2
        assert out.startswith(line)
    plant(path, put("episodes/return", 1, 9.0))
    for out, what in ((path, "is the file to mend; choose another name"),
                      (there, "is there already; choose another name or delete it")):  # fmt: skip
        code, _, error = run(capsys, path, f"--fix={out}")
        assert (code, error) == (2, [f"DataError: {out} {what}"])


def test_every_file_is_told_of_and_the_worst_is_the_exit_code(
    tmp_path: Path, capsys: Capture
) -> None:
    good, bad, none = (tmp_path / f"{name}.h5" for name in ("good", "bad", "none"))
    for path in (good, bad):
        write_sound(path)
    all_cut(bad)
    sound = f"{good}: 40 episodes, sound, not in the manifest"
    wrong = (
        f"{bad}: no episode ends by termination, yet 20 of 40 are cut before 7 steps: were "
        "terminals dropped?; values bootstrap beyond every end"
    )
    missing = f"DataError: {none} is missing; make it with src/dataset.py, or name another file"
    assert run(capsys, bad, good) == (1, [wrong, sound], [])
    assert run(capsys, none, bad, good) == (2, [wrong, sound], [missing])
    assert run(capsys, bad, none) == (2, [wrong], [missing])


def test_the_limit_is_of_each_kind(tmp_path: Path, capsys: Capture) -> None:
    path = plant(write_sound(tmp_path / "a.h5"), set_info(episode_limit=4))
    code, told, _ = run(capsys, path)
    assert (code, len(told)) == (1, 11)
    assert told[-1] == f"{path}: ... and 15 more episodes above the time limit"
    assert len(run(capsys, path, "--limit=3")[1]) == 4
    assert run(capsys, path, "--limit=0")[1] == [f"{path}: 25 episodes above the time limit"]
    assert len(run(capsys, path, "--limit=25")[1]) == 25


def test_the_environment_that_the_flags_name(tmp_path: Path, capsys: Capture) -> None:
    path = record_random(tmp_path, "--episodes=5").path
    assert run(capsys, path, "--env-config=two_step")[0] == 0
    numbers = "2 agents, 2 actions, obs 3, state 3, limit 2"
    assert run(capsys, path, "--env-config=mmdp", "with", "env_args.n_agents=2") == (
        1,
        [
            f"{path}: the file was recorded on env=two_step n_agents=nothing ({numbers}), what the "
            "flags name is on env=mmdp n_agents=2 (2 agents, 2 actions, obs 2, state 2, limit "
            "100); networks and evaluation would be of another game"
        ],
        [],
    )
    plant(path, set_info(obs_shape=3, episode_limit=3))
    code, told, _ = run(capsys, path, "--env-config=two_step")
    assert code == 1
    assert told[0].startswith(f"{path}: the file was recorded on env=two_step (2 agents, 2 actions")


@pytest.mark.parametrize("fault", ["sound", "bad"])
def test_the_command_s_exit_code(tmp_path: Path, fault: str) -> None:
    path = write_sound(tmp_path / "a.h5")
    if fault == "bad":
        all_cut(path)
    command = [sys.executable, str(ROOT / "src" / "dataset.py"), "check", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (int(fault == "bad"), "")
