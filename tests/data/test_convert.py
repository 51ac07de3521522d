"""Converting: what comes out is what went in, and what cannot be converted is one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from recordings import Capture, refuse

import dataset
from data.formats import REGISTRY, open_source
from data.read import Episodes, RecordedEpisodes
from envs.gymnasium import make_task
from utils.paths import ROOT

PENDULUM = ROOT / "offline_data" / "gymnasium" / "Pendulum-v1" / "medium-replay.h5"
ID = "minari:tests/pendulum-v0"


@pytest.fixture(autouse=True)
def _own_minari(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))


def assert_same_transitions(ours: Episodes, theirs: Episodes, kept: np.ndarray) -> None:
    """Every (s, a, r, s') and every end; of ours only the transitions of `kept`."""
    assert theirs.n_transitions == len(kept)
    a, b = ours.read_transitions(kept), theirs.read_transitions(np.arange(len(kept)))
    assert np.array_equal(a.obs, b.obs)
    assert np.array_equal(a.state, b.state)
    assert np.array_equal(a.rewards, b.rewards)
    assert np.array_equal(a.terminated, b.terminated)
    follows = ~a.terminated[:, 0]
    assert np.array_equal(a.actions[:, 0], b.actions[:, 0])
    assert np.array_equal(a.actions[follows, 1], b.actions[follows, 1])


def all_of(data: Episodes) -> np.ndarray:
    return np.arange(data.n_transitions)


def test_to_minari_and_back_keeps_everything(tmp_path: Path, capsys: Capture) -> None:
    back = tmp_path / "back.h5"
    assert dataset.main(["convert", str(PENDULUM), ID]) == 0
    assert dataset.main(["convert", ID, str(back)]) == 0
    assert capsys.readouterr().out == f"wrote {ID}: 12 episodes\nwrote {back}: 12 episodes\n"
    assert dataset.main(["check", str(back), ID]) == 0
    original, returned = RecordedEpisodes(PENDULUM), RecordedEpisodes(back)
    assert_same_transitions(original, returned, all_of(original))
    assert returned.metadata == original.metadata
    for name in original.episodes:
        assert np.array_equal(original.episodes[name], returned.episodes[name])


def test_anothers_minari_set_keeps_all_that_can_be_learnt_from() -> None:
    import minari

    assert dataset.main(["convert", str(PENDULUM), ID]) == 0
    theirs = minari.load_dataset("tests/pendulum-v0")
    metadata = theirs.storage.data_path / "metadata.json"
    values = json.loads(metadata.read_text())
    del values["icq_episodes"]  # what another's set lacks
    metadata.write_text(json.dumps(values))
    original, read = RecordedEpisodes(PENDULUM), open_source(ID)
    ends = original.episodes["length"].cumsum() - 1
    kept = np.setdiff1d(all_of(original), ends[original.episodes["truncated"]])
    assert_same_transitions(original, read, kept)
    assert read.info == original.info
    assert read.metadata.env_args == original.metadata.env_args
    assert read.metadata.policies == [{"algorithm": "tests/pendulum-v0"}]


def test_to_d4rl_and_back_keeps_every_transition(tmp_path: Path, capsys: Capture) -> None:
    flat, back = tmp_path / "flat.hdf5", tmp_path / "back.h5"
    assert dataset.main(["convert", str(PENDULUM), str(flat)]) == 0
    assert dataset.main(["convert", str(flat), str(back)]) == 0
    assert dataset.main(["check", str(back), str(flat)]) == 0
    original, returned = RecordedEpisodes(PENDULUM), RecordedEpisodes(back)
    assert original.episodes["truncated"].all()
    assert_same_transitions(original, returned, all_of(original))
    assert returned.metadata.env_args == original.metadata.env_args
    assert returned.metadata.made_with == original.metadata.made_with
    assert not list(tmp_path.glob("*.incomplete"))
    assert refuse(capsys, "check", str(flat), "--key=Hopper-v5") == (
        2, f"DataError: {flat} is of Pendulum-v1, not of Hopper-v5"
    )  # fmt: skip


def test_d4rls_true_ends_have_no_row_more(tmp_path: Path) -> None:
    record = ["record", "--env-config=d4rl", "--key=CartPole-v1", "--episodes=30"]
    assert dataset.main([*record, f"--out={tmp_path}"]) == 0
    flat = tmp_path / "flat.hdf5"
    assert dataset.main(["convert", str(tmp_path / "random.h5"), str(flat)]) == 0
    data, read = RecordedEpisodes(tmp_path / "random.h5"), open_source(str(flat))
    batch = data.read_transitions(all_of(data))
    with h5py.File(flat) as file:
        arrays: Any = {name: values[()] for name, values in file.items() if name != "metadata"}
    assert np.array_equal(arrays["observations"], batch.obs[:, 0, 0])
    assert np.array_equal(arrays["next_observations"], batch.obs[:, 1, 0])
    assert np.array_equal(arrays["actions"], batch.actions[:, 0, 0])
    assert np.array_equal(arrays["rewards"], batch.rewards[:, 0])
    assert np.array_equal(arrays["terminals"], batch.terminated[:, 0])
    assert not arrays["timeouts"].any()
    ours = read.read_transitions(all_of(data))
    assert np.array_equal(ours.rewards, batch.rewards)
    assert np.array_equal(ours.obs[:, 0], batch.obs[:, 0])


def test_others_read_what_was_written_for_minari() -> None:
    import minari

    assert dataset.main(["convert", str(PENDULUM), ID]) == 0
    theirs = minari.load_dataset("tests/pendulum-v0")
    data = RecordedEpisodes(PENDULUM)
    assert (theirs.total_episodes, theirs.total_steps) == (len(data), data.n_transitions)
    assert theirs.spec.env_spec is not None
    assert theirs.spec.env_spec.id == "Pendulum-v1"
    episode = theirs[0]
    batch = data.read(np.array([0]))
    assert np.array_equal(episode.observations, batch.obs[0, :, 0])
    assert np.array_equal(episode.actions, batch.actions[0, :-1, 0])
    assert np.allclose(episode.rewards, batch.rewards[0])
    assert episode.truncations[-1]
    assert not episode.terminations.any()


@pytest.mark.filterwarnings("ignore")
def test_antmazes_dictionaries_are_flat_as_the_environments_are() -> None:
    import gymnasium
    import minari
    from minari.data_collector import EpisodeBuffer

    flat, dicts = make_task("AntMaze_UMaze-v5"), gymnasium.make("AntMaze_UMaze-v5")
    space, rng = dicts.observation_space, np.random.default_rng(0)
    assert isinstance(space, gymnasium.spaces.Dict)
    actions = rng.uniform(-1, 1, (5, 8)).astype(np.float32)
    shown = [dicts.reset(seed=1)[0], *(dicts.step(action)[0] for action in actions)]
    expected = [flat.reset(seed=1)[0], *(flat.step(action)[0] for action in actions)]
    observations = {key: np.array([each[key] for each in shown]) for key in space}
    ends = np.arange(5) == 4
    buffer = EpisodeBuffer(
        id=0, observations=observations, actions=actions, rewards=np.ones(5),
        terminations=ends, truncations=np.zeros(5, dtype=bool),
    )  # fmt: skip
    minari.create_dataset_from_buffers("tests/maze-v0", [buffer], env=dicts.unwrapped.spec,
        observation_space=space, action_space=dicts.action_space)  # fmt: skip
    batch = open_source("minari:tests/maze-v0").read(np.array([0]))
    assert np.array_equal(batch.obs[0, :, 0], np.array(expected))
    assert batch.rewards.tolist() == [[1.0] * 5]


def test_discrete_tasks_with_true_ends_go_there_and_back(tmp_path: Path) -> None:
    record = ["record", "--env-config=d4rl", "--key=CartPole-v1", "--episodes=30"]
    assert dataset.main([*record, f"--out={tmp_path}"]) == 0
    recorded = tmp_path / "random.h5"
    assert dataset.main(["convert", str(recorded), ID]) == 0
    assert dataset.main(["convert", ID, str(tmp_path / "back.h5")]) == 0
    original, back = RecordedEpisodes(recorded), RecordedEpisodes(tmp_path / "back.h5")
    assert original.episodes["terminated"].all()
    assert_same_transitions(original, back, all_of(original))


def test_d4rls_layout_becomes_ours(tmp_path: Path) -> None:
    source, target = tmp_path / "flat.hdf5", tmp_path / "ours.h5"
    data = RecordedEpisodes(PENDULUM)
    with h5py.File(source, "w") as file:
        file["observations"] = data.steps["obs"][:, 0]
        file["actions"] = data.steps["actions"][:, 0]
        file["rewards"] = data.steps["rewards"]
        file["terminals"] = np.zeros(len(data.steps["rewards"]), dtype=bool)
        file["timeouts"] = np.isin(np.arange(len(data.steps["rewards"])), data.last_rows)
    words = ["--key=Pendulum-v1", "--compress"]
    assert dataset.main(["convert", str(source), str(target), *words]) == 0
    assert dataset.main(["check", str(target)]) == 0
    assert dataset.main(["check", str(source), "--key=Pendulum-v1"]) == 0
    assert_same_transitions(data, RecordedEpisodes(target), all_of(data))
    assert_same_transitions(data, open_source(str(source), key="Pendulum-v1"), all_of(data))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{flat}", "{out}"],
         "DataError: {flat} is a D4RL file; name its task, such as --key=HalfCheetah-v5"),
        (["{flat}", "{out}", "--key=HalfCheetah-v5"],
         "DataError: {flat}: observations has the shape (9, 3), HalfCheetah-v5 needs (9, 17)"),
        (["{flat}", "{out}", "--key=Pendulum-v9"],
         "ConfigError: env_args.key=Pendulum-v9: Gymnasium cannot make it: Environment version "
         "`v9` for environment `Pendulum` doesn't exist. It provides versioned environments: [ "
         "`v1` ]."),
        (["{ours}", "{folder}/x.txt"],
         "DataError: {folder}/x.txt: its name tells no format; say --to=" + "|".join(REGISTRY)),
        (["{ours}", "{ours}"], "DataError: {ours} is the source or in it; choose another name"),
        (["{two_step}", "{folder}/two.hdf5"],
         "DataError: {two_step} is of 2 agents, D4RL's layout is for one; convert it to another "
         "format"),
        (["minari:nothing", "{out}"],
         "DataError: minari:nothing has no version; write minari:nothing-v0, say"),
        (["{ours}", "minari:nothing"],
         "DataError: minari:nothing has no version; write minari:nothing-v0, say"),
        (["{ours}", "{out}", "--key=Hopper-v5"],
         "DataError: {ours} is of Pendulum-v1, not of --key=Hopper-v5"),
    ],
)  # fmt: skip
def test_what_cannot_be_converted_is_one_line(
    words: list[str], message: str, tmp_path: Path, two_step_file: Path, capsys: Capture
) -> None:
    flat, out = tmp_path / "flat.hdf5", tmp_path / "out.h5"
    with h5py.File(flat, "w") as file:
        file["observations"], file["actions"] = np.zeros((9, 3)), np.zeros((9, 1))
        file["rewards"], file["terminals"] = np.zeros(9), np.arange(9) == 8
    names = {"flat": flat, "out": out, "folder": tmp_path, "two_step": two_step_file,
             "ours": PENDULUM}  # fmt: skip
    code, error = refuse(capsys, "convert", *(word.format(**names) for word in words))
    assert (code, error) == (2, message.format(**names))
    assert not out.exists()


def test_how_it_is_packed_is_for_our_format(tmp_path: Path, capsys: Capture) -> None:
    for flag in ("--compress", "--float16"):
        target = tmp_path / "flat.hdf5"
        assert refuse(capsys, "convert", str(PENDULUM), str(target), flag) == (
            2,
            f"ConfigError: --compress and --float16 are for icq-episodes, which {target} is not",
        )
        assert not target.exists()


def test_what_is_half_already_loses_nothing(tmp_path: Path, capsys: Capture) -> None:
    half, again = tmp_path / "half.h5", tmp_path / "again.h5"
    assert dataset.main(["convert", str(PENDULUM), str(half), "--float16"]) == 0
    assert "not in it: obs and state beyond half precision" in capsys.readouterr().out
    assert dataset.main(["convert", str(half), str(again), "--float16"]) == 0
    assert "not in it" not in capsys.readouterr().out
    assert RecordedEpisodes(again).sha256 == RecordedEpisodes(half).sha256


def test_a_name_that_is_taken_is_refused(capsys: Capture) -> None:
    assert dataset.main(["convert", str(PENDULUM), ID]) == 0
    code, error = refuse(capsys, "convert", str(PENDULUM), ID)
    assert (code, error) == (
        2, f"DataError: {ID} is on this machine already; choose another name or delete it",
    )  # fmt: skip


def test_what_is_neither_here_nor_there_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "src" / "dataset.py"), "check", "minari:tests/nothing-v0"]
    offline = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=offline)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "DataError: minari:tests/nothing-v0 is not on this machine and could not be downloaded ("
    )
    assert done.stderr.count("\n") == 1


FULL = """
import resource, signal, sys
import dataset
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.exit(dataset.main(["convert", sys.argv[1], sys.argv[2], f"--to={sys.argv[3]}"]))
"""


@pytest.mark.parametrize(("name", "target"), [("d4rl", "new/p.hdf5"), ("vault", "p.vlt/Replay")])
def test_a_disk_that_gets_full_is_one_line_and_leaves_nothing(
    tmp_path: Path, name: str, target: str
) -> None:
    out = tmp_path / target
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, "-c", FULL, str(PENDULUM), str(out), name],
        env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (2, ""), run.stderr
    assert run.stderr.startswith(f"DataError: {out} could not be written: ")
    assert run.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_d4rl_that_does_not_fit_is_refused_before_it_is_written(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.disk.MARGIN", 2**62)
    code, error = refuse(capsys, "convert", str(PENDULUM), str(tmp_path / "p.hdf5"))
    assert code == 2
    assert error.startswith(f"DataError: {tmp_path / 'p.hdf5'} does not fit: 0.1 MiB are to be")
    assert not list(tmp_path.iterdir())
