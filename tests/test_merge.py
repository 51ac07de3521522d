"""Merging, subsampling and mixing recorded files: what is in the new one, and one-line mistakes."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from batches import INFO, random_batch
from recordings import Capture, record_poor, record_random, refuse

import dataset
from data import disk
from data.merge import merge
from data.read import RecordedEpisodes
from data.schema import EPISODES, STEPS, Metadata
from data.write import EpisodeWriter
from utils.errors import DataError
from utils.paths import ROOT


def test_merging_keeps_every_episode_and_its_provenance(
    runs: list[str], tmp_path: Path, capsys: Capture
) -> None:
    poor, random = record_poor(runs, tmp_path), record_random(tmp_path, "--episodes=100")
    out = tmp_path / "mixed.h5"
    assert dataset.main(["merge", str(poor.path), str(random.path), f"--out={out}"]) == 0
    assert capsys.readouterr().out.endswith(f"wrote {out}: 180 episodes\n")
    merged = RecordedEpisodes(out)
    for name in STEPS:
        both = np.concatenate([poor.steps[name], random.steps[name]])
        assert np.array_equal(merged.steps[name], both), name
    for name in EPISODES:
        both = np.concatenate([poor.episodes[name], random.episodes[name]])
        if name == "policy":
            both[80:] += len(poor.metadata.policies)
        assert np.array_equal(merged.episodes[name], both), name
    assert merged.metadata.policies == poor.metadata.policies + random.metadata.policies
    assert merged.metadata.quality == "mixed"
    sources = merged.metadata.made_with["merged"]
    assert [s["sha256"] for s in sources] == [poor.sha256, random.sha256]
    assert [s["epsilon"] for s in sources] == [0.05, 1.0]
    assert dataset.main(["check", str(out)]) == 0


def test_what_cannot_be_merged_is_one_line(
    two_step_file: Path, tmp_path: Path, capsys: Capture
) -> None:
    smax = ROOT / "offline_data/smax/3s_vs_3z/poor.h5"
    out = tmp_path / "mixed.h5"
    code, message = refuse(capsys, "merge", str(two_step_file), str(smax), f"--out={out}")
    assert (code, out.exists()) == (2, False)
    assert f"{smax} was recorded on " in message
    code, message = refuse(capsys, "merge", str(two_step_file), f"--out={two_step_file}")
    itself = f"{two_step_file} is one of the files that it is made of; choose another --out"
    assert (code, message) == (2, f"DataError: {itself}")
    code, message = refuse(capsys, "merge", str(two_step_file), str(two_step_file), f"--out={out}")
    assert message == (
        f"DataError: {two_step_file} holds the episodes of {two_step_file}; name it once"
    )
    changed = tmp_path / "changed.h5"
    changed.write_bytes(two_step_file.read_bytes())
    with h5py.File(changed, "r+") as file:
        file["steps/obs"][0] += 1
    code, message = refuse(capsys, "merge", str(changed), f"--out={out}")
    assert (code, out.exists()) == (2, False)
    assert "was changed after it was written" in message
    code, message = refuse(capsys, "merge", str(two_step_file), f"--out={tmp_path / 'x.txt'}")
    assert (code, message) == (2, f"ConfigError: --out={tmp_path / 'x.txt'} must end in .h5")


class Terminal(io.StringIO):
    """What is written to it, as if someone watched."""

    def isatty(self) -> bool:
        return True


def test_long_passes_show_a_bar_to_who_watches(
    two_step_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    words = ["merge", str(two_step_file)]
    bars = ("reading random.h5", "copying random.h5", "packing a.h5")
    assert dataset.main([*words, f"--out={tmp_path / 'a.h5'}"]) == 0
    assert capfd.readouterr().err == "", "nobody watches"
    terminal = Terminal()
    monkeypatch.setattr("sys.__stderr__", terminal)
    assert dataset.main([*words, f"--out={tmp_path / 'a.h5'}"]) == 0
    assert terminal.getvalue() == "", "it is done at once"
    monkeypatch.setattr("utils.logging.PATIENCE", 0)
    assert dataset.main([*words, f"--out={tmp_path / 'a.h5'}"]) == 0
    shown = terminal.getvalue()
    assert [bar for bar in bars if f"{bar}:" not in shown] == []
    assert shown.endswith(" \r"), "they are gone"


POOR, GOOD = (ROOT / f"offline_data/smax/3s_vs_3z/{level}.h5" for level in ("poor", "good"))


def episodes_of(data: RecordedEpisodes) -> set[bytes]:
    """Each episode's rows and figures as bytes; no two of those used here are equal."""
    found = set()
    for i in range(len(data)):
        rows = slice(int(data.first_rows[i]), int(data.last_rows[i]) + 1)
        parts = [data.steps[name][rows].tobytes() for name in STEPS]
        parts += [data.episodes[n][i].tobytes() for n in EPISODES if n != "policy"]
        found.add(b"".join(parts))
    return found


def test_a_subsample_is_drawn_with_a_seed_and_keeps_its_provenance(tmp_path: Path) -> None:
    def drawn(name: str, *words: str) -> RecordedEpisodes:
        out = tmp_path / f"{name}.h5"
        assert dataset.main(["subsample", str(GOOD), f"--out={out}", *words]) == 0
        return RecordedEpisodes(out)

    source = RecordedEpisodes(GOOD)
    one, same, other = (
        drawn(f"{seed}_{i}", "--episodes=50", f"--seed={seed}")
        for seed, i in ((1, 0), (1, 1), (2, 0))
    )
    everything = episodes_of(source)
    assert len(everything) == len(source), "the test's own ground"
    assert len(episodes_of(one)) == 50
    assert episodes_of(one) <= everything
    assert episodes_of(one) == episodes_of(same) != episodes_of(other)
    assert one.metadata.policies == source.metadata.policies
    origin = one.metadata.made_with["merged"][0]
    assert origin["sha256"] == source.sha256
    assert (origin["episodes"], origin["of"], one.metadata.made_with["seed"]) == (50, 800, 1)
    assert origin["epsilon"] == 0.05


def test_a_subsample_by_return_or_level_takes_all_that_fit(tmp_path: Path) -> None:
    returns = RecordedEpisodes(POOR).episodes["return"]
    for words, wanted in (
        ("--returns=2.5:7.5", (returns >= 2.5) & (returns < 7.5)),
        ("--level=poor", returns < 10),
        ("--level=good", returns >= 15),
    ):
        out = tmp_path / "a.h5"
        assert dataset.main(["subsample", str(POOR), f"--out={out}", words]) == 0
        found = RecordedEpisodes(out).episodes["return"]
        assert found.tolist() == returns[wanted].tolist(), words


def test_a_mix_has_the_shares_that_were_asked_for(tmp_path: Path) -> None:
    def mixed(*words: str) -> RecordedEpisodes:
        out = tmp_path / "mix.h5"
        assert dataset.main(["mix", *words, f"--out={out}"]) == 0
        return RecordedEpisodes(out)

    def shares(data: RecordedEpisodes) -> list[int]:
        return [len(episodes_of(data) & episodes_of(RecordedEpisodes(p))) for p in (POOR, GOOD)]

    equal = mixed(str(POOR), str(GOOD), "--episodes=41")
    assert shares(equal) == [21, 20]
    unequal = mixed(f"{POOR}=5", f"{GOOD}=30", "--compress")
    assert shares(unequal) == [5, 30]
    assert unequal.episodes["policy"][:5].max() < len(RecordedEpisodes(POOR).metadata.policies)
    assert unequal.episodes["policy"][5:].min() >= len(RecordedEpisodes(POOR).metadata.policies)
    assert [m["of"] for m in unequal.metadata.made_with["merged"]] == [800, 800]
    assert unequal.metadata.quality == "mix"


def test_half_precision_is_what_float16_holds_and_no_more(tmp_path: Path) -> None:
    out = tmp_path / "half.h5"
    assert dataset.main(["merge", str(POOR), f"--out={out}", "--float16"]) == 0
    half, full = RecordedEpisodes(out), RecordedEpisodes(POOR)
    assert half.steps["obs"].dtype == half.steps["state"].dtype == np.float16
    assert np.array_equal(half.steps["obs"][:], full.steps["obs"][:].astype(np.float16))
    for name in ("avail_actions", "actions", "rewards"):
        assert np.array_equal(half.steps[name][:], full.steps[name][:])
    batch = half.read(np.arange(3))
    assert batch.obs.dtype == full.read(np.arange(3)).obs.dtype
    assert dataset.main(["check", str(out)]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["subsample", "{file}", "--episodes=801"], "DataError: {file} has 800 episodes, not 801"),
        (["subsample", "{file}", "--episodes=0"], "ConfigError: --episodes=0 is out of range"),
        (
            ["subsample", "{file}", "--returns=100:200"],
            "DataError: {file} has 0 episodes with returns from 100 to 200, not 1",
        ),
        (
            ["subsample", "{file}", "--returns=7:5"],
            "ConfigError: --returns=7:5 is not LOW:HIGH, say 5:12.5",
        ),
        (
            ["subsample", "{file}", "--level=best"],
            "ConfigError: --level=best: there are poor, medium, good",
        ),
        (
            ["subsample", "{file}", "--level=good", "--returns=1:2"],
            "ConfigError: --level stands for --returns; give one of them",
        ),
        (["mix", "{file}"], "ConfigError: mix needs --episodes=N, or FILE=EPISODES for each file"),
        (
            ["mix", "{file}=5", "--episodes=3"],
            "ConfigError: --episodes=3 is for all files; leave out FILE=EPISODES",
        ),
        (
            ["mix", "{file}", "{file}", "--episodes=1"],
            "ConfigError: --episodes=1 is less than one of each file",
        ),
        (
            ["mix", "{file}=5", "{file}=5"],
            "DataError: {file} holds the episodes of {file}; name it once",
        ),
        (["mix", "{file}=5", "--seed=-1"], "ConfigError: --seed=-1 is out of range"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "new.h5"
    argv = [word.format(file=GOOD) for word in words]
    assert refuse(capsys, *argv, f"--out={out}") == (2, message.format(file=GOOD))
    assert not out.exists()


def written(path: Path, env: str, policies: int, played: int, n_actions: int = 4) -> Path:
    """Four random episodes, all of policy `played`."""
    info = replace(INFO, n_actions=n_actions)
    named = [{"algorithm": f"{path.stem}_{i}"} for i in range(policies)]
    with EpisodeWriter(path, Metadata(env, {}, info, "poor", named)) as writer:
        writer.append(random_batch(info=info), np.zeros(4, dtype=bool), played, seed=len(path.stem))
    return path


def test_policies_keep_their_origin_however_many(tmp_path: Path, capsys: Capture) -> None:
    many = written(tmp_path / "many.h5", "game", 20_000, 19_999)
    none = written(tmp_path / "none_named.h5", "game", 0, 0)
    few = written(tmp_path / "few_policies.h5", "game", 3, 2)
    out = tmp_path / "out.h5"
    assert dataset.main(["merge", str(none), str(many), str(few), f"--out={out}"]) == 0
    merged = RecordedEpisodes(out)
    of = [merged.metadata.policies[i]["algorithm"] for i in merged.episodes["policy"]]
    assert of == ["unknown"] * 4 + ["many_19999"] * 4 + ["few_policies_2"] * 4
    others = written(tmp_path / "others.h5", "game", 20_000, 0)
    code, message = refuse(capsys, "merge", str(many), str(others), f"--out={tmp_path / 'x.h5'}")
    assert (code, message) == (
        2, f"DataError: {tmp_path / 'x.h5'} would be of 40000 policies, 32768 are possible"
    )  # fmt: skip
    wrong = written(tmp_path / "wrong.h5", "game", 1, 2)
    code, message = refuse(capsys, "merge", str(wrong), str(few), f"--out={tmp_path / 'x.h5'}")
    assert message == f"DataError: {wrong}: episode 0 is of policy 2, the file describes 0..0"


def test_what_does_not_fit_on_the_disk_is_one_line(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "MARGIN", 2**60)  # as if the disk had no room
    out = tmp_path / "out.h5"
    code, message = refuse(capsys, "merge", str(POOR), f"--out={out}")
    assert code == 2
    assert message.startswith(f"DataError: {out}.incomplete does not fit: ")
    assert message.endswith("make room, or choose another folder")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_put_in_its_place_leaves_nothing(
    two_step_file: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "out.h5").mkdir()
    words = ["merge", str(two_step_file), f"--out={tmp_path / 'out.h5'}"]
    assert refuse(capsys, *words) == (
        2, f"ConfigError: --out={tmp_path / 'out.h5'} is a folder; name a new file"
    )  # fmt: skip
    with pytest.raises(DataError, match="could not be written: "):
        merge([two_step_file], tmp_path / "out.h5")
    assert list(tmp_path.iterdir()) == [tmp_path / "out.h5"]
