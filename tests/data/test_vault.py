"""OG-MARL's vaults: flashbax reads ours, we read flashbax's, and no reward is lost on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recordings import Capture, refuse
from vaults import OBS, STATE, A, N, arrays_of, flashbax_vault, plain_vault

import dataset
from data.check import check_episodes
from data.formats import open_source
from data.formats.base import Source
from data.formats.vault import Vault
from data.read import Episodes, RecordedEpisodes
from utils.config import env_values
from utils.paths import ROOT

PENDULUM = ROOT / "offline_data" / "gymnasium" / "Pendulum-v1" / "medium-replay.h5"
FIELDS = {"obs": "observations", "state": "infos.state", "avail_actions": "infos.legals",
          "actions": "actions"}  # fmt: skip
ENDS = "...T" + "..L" + "T" + ".....B" + "L" + ".."  # the sixth is cut off by the vault's end


def assert_is(data: Episodes, arrays: dict[str, np.ndarray], rows: list[list[int]]) -> None:
    """The episodes are these rows; one more is what follows, the last is repeated at a true end."""
    check_episodes(data)
    assert data.episodes["length"].tolist() == [len(r) - 1 for r in rows]
    for i, own in enumerate(rows):
        batch = data.read(np.array([i]))
        for ours, name in FIELDS.items():
            assert np.array_equal(getattr(batch, ours)[0], arrays[name][own]), name
        assert np.array_equal(batch.rewards[0], arrays["rewards"][own[:-1], 0])
        assert data.episodes["return"][i] == pytest.approx(arrays["rewards"][own[:-1], 0].sum())


def rows_of(ends: str) -> list[list[int]]:
    """Of each episode of `ends`, with the row that follows; without those of no transition."""
    found, own = [], []
    for row, letter in enumerate(ends):
        own = [*own, row]
        if letter in "TB":
            found.append([*own, row])
        elif letter == "L" and len(own) > 1:
            found.append(own)
        own = own if letter == "." else []
    return found


def test_what_flashbax_wrote_reads_with_every_number(tmp_path: Path) -> None:
    arrays = arrays_of(ENDS)
    path = flashbax_vault(tmp_path, arrays)
    data = open_source(str(path))
    assert_is(data, arrays, rows_of(ENDS))
    meta = data.metadata
    assert (meta.env, meta.env_args["map_name"], meta.quality) == ("sc2", "3m", "good")
    assert data.info.numbers() == f"{N} agents, {A} actions, obs {OBS}, state {STATE}, limit 6"
    assert data.episodes["terminated"].tolist() == [True, False, True, True]
    assert data.episodes["truncated"].tolist() == [False, True, False, False]
    lost = arrays["rewards"][[6, 14], 0].sum()
    assert meta.made_with["dropped_transitions"]["count"] == 2
    assert meta.made_with["dropped_transitions"]["rewards"] == lost
    assert meta.made_with["episodes_of_one_row"] == 2
    assert meta.made_with["of_these_without_transition"] == 1
    assert meta.made_with["steps_behind_the_last_end"] == 2
    assert meta.made_with["vault_metadata"] == {"by": "us"}
    in_memory = open_source(str(path), stream=False)
    assert_is(in_memory, arrays, rows_of(ENDS))
    assert all(isinstance(rows, np.ndarray) for rows in in_memory.steps.values())
    assert in_memory.sha256 == data.sha256


def test_flashbax_reads_what_we_wrote_with_every_number(tmp_path: Path) -> None:
    from flashbax.vault import Vault as Theirs

    ours = ROOT / "offline_data" / "smax" / "3s_vs_3z" / "poor.h5"
    target = tmp_path / "3s_vs_3z.vlt" / "Poor"
    assert dataset.main(["subsample", str(ours), f"--out={tmp_path}/some.h5", "--episodes=40"]) == 0
    assert dataset.main(["convert", f"{tmp_path}/some.h5", str(target)]) == 0
    data = RecordedEpisodes(tmp_path / "some.h5")
    vault = Theirs("3s_vs_3z.vlt", rel_dir=str(tmp_path), vault_uid="Poor")
    assert vault.vault_index == data.n_transitions
    read: Any = vault.read().experience
    batch = data.read_transitions(np.arange(data.n_transitions))
    expected = {
        "observations": batch.obs[:, 0], "actions": batch.actions[:, 0],
        "rewards": batch.rewards.expand(-1, 3), "terminals": batch.terminated.expand(-1, 3),
        "truncations": batch.truncated.expand(-1, 3),
    }  # fmt: skip
    read |= {"state": read["infos"]["state"], "legals": read["infos"]["legals"]}
    expected |= {"state": batch.state[:, 0], "legals": batch.avail_actions[:, 0]}
    for name, values in expected.items():
        assert np.array_equal(read[name][0], values.numpy()), name
    kinds = {name: str(read[name].dtype) for name in expected}
    assert kinds == dict.fromkeys(expected, "float32") | {"actions": "int32"}


def test_a_win_at_the_last_step_is_kept_and_jax_is_not_needed(tmp_path: Path) -> None:
    arrays = arrays_of("...T" * 3)
    arrays["rewards"][:] = 8.33 / 3
    arrays["rewards"][3::4] = 11.67
    path, out = flashbax_vault(tmp_path, arrays), tmp_path / "ours.h5"
    code = (
        "import sys, dataset\n"
        f"assert dataset.main(['convert', {str(path)!r}, {str(out)!r}]) == 0\n"
        "assert not {'jax', 'flashbax', 'orbax'} & {*sys.modules}"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "src", capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    data = RecordedEpisodes(out)
    assert data.episodes["return"].tolist() == pytest.approx([20.0] * 3)
    assert data.steps["rewards"][:].sum() == pytest.approx(60.0)
    assert_is(data, arrays, rows_of("...T" * 3))


def test_ours_come_back_from_a_vault(tmp_path: Path, two_step_file: Path) -> None:
    vault, back = tmp_path / "two_step.vlt" / "Random", tmp_path / "back.h5"
    assert dataset.main(["convert", str(two_step_file), str(vault)]) == 0
    assert dataset.main(["convert", str(vault), str(back)]) == 0
    assert dataset.main(["check", str(back)]) == 0
    a, b = RecordedEpisodes(two_step_file), RecordedEpisodes(back)
    assert a.metadata == b.metadata
    for name in ("length", "return", "terminated", "truncated"):
        assert np.array_equal(a.episodes[name], b.episodes[name])
    kept = np.setdiff1d(np.arange(len(a.steps["rewards"])), a.last_rows)
    for name in a.steps:
        assert np.array_equal(a.steps[name][kept], b.steps[name][kept])


def test_continuous_actions_and_no_state_come_back(tmp_path: Path) -> None:
    vault = tmp_path / "Pendulum-v1.vlt" / "Replay with a space"
    assert dataset.main(["convert", str(PENDULUM), str(vault)]) == 0
    a, b = RecordedEpisodes(PENDULUM), open_source(str(vault))
    assert b.info == a.info
    assert b.episodes["length"].tolist() == (a.episodes["length"] - 1).tolist()
    left_out = b.metadata.made_with["left_out_by_vault"]["dropped_transitions"]
    lost = a.episodes["return"].sum() - b.episodes["return"].sum()
    assert left_out["rewards"] == pytest.approx(lost, abs=1e-2)
    index = np.arange(len(a))
    ours, theirs = a.read(index), b.read(index)
    assert np.array_equal(ours.actions[:, :-1], theirs.actions)
    assert np.array_equal(ours.obs[:, :-1], theirs.obs)


def test_shapes_types_and_names_of_other_makers(tmp_path: Path) -> None:
    arrays = arrays_of("..T.T")
    other = {name: values.copy() for name, values in arrays.items()}
    other["actions"] = arrays["actions"][..., None].astype(np.int64)
    other["terminals"] = arrays["terminals"].astype(bool)
    other["rewards"] = arrays["rewards"].astype(np.float64)
    other["observations"][:, 1, -4:] = -np.inf
    arrays["observations"][:, 1, -4:] = 0
    data = open_source(str(plain_vault(tmp_path, other, version=0.1, old=True)))
    assert_is(data, arrays, rows_of("..T.T"))
    padding = data.metadata.made_with["obs_padding"]
    assert padding == {"was": "-inf", "is": 0, "numbers_of_each_agent": [0, 4, 0]}


def test_without_legals_every_action_is_available(tmp_path: Path) -> None:
    arrays = {k: v[:, :2] if k != "infos.state" else v for k, v in arrays_of(".T.T").items()}
    arrays["actions"] %= 2
    arrays["infos.state"] = arrays["infos.state"][:, :3]
    del arrays["infos.legals"]
    data = Vault().read(Source(str(plain_vault(tmp_path, arrays)), "two_step"))
    assert data.info.n_actions == 2
    assert data.steps["avail_actions"][:].all()
    assert "avail_actions" in data.metadata.made_with


def test_blocks_of_any_size_read_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = "....T..L" * 6
    arrays = arrays_of(ends)
    path = str(plain_vault(tmp_path, arrays))
    whole = open_source(path)
    monkeypatch.setattr("data.formats.vault_files.block_rows", lambda store: 7)
    monkeypatch.setattr("data.formats.vault_scan.ROWS", 5)
    data = open_source(path)
    assert_is(data, arrays, rows_of(ends))
    made = [each.metadata.made_with for each in (whole, data)]
    assert made[0] == made[1]


def change(name: str, at: Any, value: float) -> dict[str, np.ndarray]:
    arrays = arrays_of(ENDS)
    arrays[name][at] = value
    return arrays


def without(name: str) -> dict[str, np.ndarray]:
    arrays = arrays_of(ENDS)
    del arrays[name]
    return arrays


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "missing": ({"arrays": without("actions")},
                " lacks actions; a vault has observations, actions, rewards, terminals, "
                "truncations"),
    "index": ({"index": 40}, ": vault_index says 40 steps, but step 39 has only zeros in "
              "every array; copy or download it again"),
    "nothing": ({"index": 0}, " holds no step (vault_index 0)"),
    "version": ({"version": 2.0}, "/metadata.json: the vault has version 2.0, this program reads 0 "
                "and 1; update it"),
    "unversioned": ({"version": None}, "/metadata.json names no version; a vault's does"),
    "nan_end": ({"arrays": change("terminals", 5, np.nan)},
                ": step 5 of the vault: terminals are [nan, nan, nan], not 0 or 1"),
    "legals": ({"arrays": change("infos.legals", (2, 1, 1), 0.5)},
               ": infos.legals has values other than 0 and 1"),
    "rewards": ({"arrays": change("rewards", (9, 2), 9)},
                ": episode 3, step 1: the agents' rewards differ (1.25, 1.25, 9); one reward of "
                "the team is needed"),
    "nan_reward": ({"arrays": change("rewards", 9, np.nan)},
                   ": episode 3, step 1: rewards is NaN or infinite"),
    "endless": ({"arrays": arrays_of("....")}, " has no step at which all agents' terminals or "
                "truncations are 1: where its episodes end is not known"),
    "alone": ({"arrays": arrays_of("L")}, " holds no transition"),
    "shapes": ({"arrays": arrays_of(ENDS) | {"rewards": np.zeros((17, 2), np.float32)}},
               ": rewards does not fit the others; a step has observations (3, 30), actions (3,), "
               "rewards (2,), terminals (3,), truncations (3,), infos.state (48,), "
               "infos.legals (3, 9)"),
}  # fmt: skip


@pytest.mark.parametrize("ends", ["...T", "...L"])
def test_a_last_step_that_shows_nothing_is_a_step(tmp_path: Path, ends: str) -> None:
    arrays = arrays_of(ends)
    for name in ("observations", "infos.state"):
        arrays[name][-1] = 0
    data = open_source(str(plain_vault(tmp_path, arrays)))
    assert_is(data, arrays, rows_of(ends))


def test_what_a_vault_does_not_hold_is_told(tmp_path: Path, two_step_file: Path) -> None:
    data = RecordedEpisodes(two_step_file)
    target = tmp_path / "two_step.vlt" / "Random"
    data.episodes["terminated"][:2], data.episodes["truncated"][:2] = False, True
    data.episodes["length"][0] = 1
    assert Vault().write(data, str(target))[-2:] == [
        "what follows the last step of 2 episodes that met the limit",
        "1 episodes cut after one step, which are left out on reading",
    ]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line(tmp_path: Path, capsys: Capture, fault: str) -> None:
    wrong, message = FAULTS[fault]
    words: dict[str, Any] = {"arrays": arrays_of(ENDS)} | wrong
    path = plain_vault(tmp_path, **words)
    out = tmp_path / "out.h5"
    assert refuse(capsys, "convert", str(path), str(out)) == (2, f"DataError: {path}{message}")
    assert not out.exists()


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_a_copy_with_files_missing_is_one_line(
    tmp_path: Path, capsys: Capture, share: float
) -> None:
    path = plain_vault(tmp_path, arrays_of(ENDS))
    files = sorted((path / "d").iterdir(), key=lambda file: file.stat().st_mtime_ns)
    for file in files[-int(share * len(files)) :]:
        file.unlink()
    code, error = refuse(capsys, "convert", str(path), str(tmp_path / "out.h5"))
    assert code == 2
    assert error.startswith(f"DataError: {path} is damaged or incomplete (")


def test_what_is_no_vault_is_one_line(tmp_path: Path, capsys: Capture) -> None:
    path = plain_vault(tmp_path, arrays_of(ENDS))
    scenario, out = path.parent, str(tmp_path / "out.h5")
    assert refuse(capsys, "convert", str(scenario), out) == (
        2, f"DataError: {scenario} holds Good; name one, {path}"
    )  # fmt: skip
    (path / "metadata.json").write_text('{"version": 1.2')
    code, error = refuse(capsys, "convert", str(path), out)
    assert error.startswith(f"DataError: {path}/metadata.json is damaged (")
    (path / "metadata.json").unlink()
    code, error = refuse(capsys, "convert", str(path), out)
    assert (code, error) == (
        2, f"DataError: {path} is no vault: it has no metadata.json; copy or download it again"
    )  # fmt: skip


def test_a_vault_is_written_whole_or_not_at_all(
    tmp_path: Path, two_step_file: Path, capsys: Capture
) -> None:
    target = tmp_path / "two_step.vlt" / "Random"
    data = RecordedEpisodes(two_step_file)
    data.steps = dict(data.steps) | {"state": data.steps["state"][:10]}  # too few: it breaks off
    with pytest.raises(IndexError):
        Vault().write(data, str(target))
    assert not target.parent.exists()
    assert dataset.main(["convert", str(two_step_file), str(target)]) == 0
    assert sorted(p.name for p in target.iterdir()) == ["d", "manifest.ocdbt", "metadata.json"]
    assert json.loads((target / "metadata.json").read_text())["version"] == 1.2
    assert refuse(capsys, "convert", str(two_step_file), str(target)) == (
        2, f"DataError: {target} is there already; choose another name or delete it"
    )  # fmt: skip


def test_another_map_than_the_vaults_is_refused(tmp_path: Path, capsys: Capture) -> None:
    target = tmp_path / "Pendulum-v1.vlt" / "Replay"
    assert dataset.main(["convert", str(PENDULUM), str(target)]) == 0
    env_args = env_values("d4rl")["env_args"] | {"key": "Hopper-v5"}
    words = ["--env-config=d4rl", f"--key={env_args['key']}"]
    code, error = refuse(capsys, "check", str(target), *words)
    assert (code, error) == (2, f"DataError: {target} is of Pendulum-v1, not of Hopper-v5")
