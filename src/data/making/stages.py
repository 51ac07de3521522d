"""The stages of making a data set: each, killed at any point, goes on from what it left."""

from __future__ import annotations

import re
import shutil
from abc import ABC, abstractmethod
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from data.levels import Level, choose
from data.making.files import Job, begun_with, opened, read_json, write_json
from data.making.progress import StageBar
from data.merge import merge
from data.record import (
    MEASURED_EPISODES,
    Recorder,
    checkpoints_of,
    load_policy,
)
from data.write import Storage
from run import Trainer
from utils.checkpoint import BUFFER
from utils.errors import DataError

CHECKPOINT = re.compile(r"(?P<t_env>\d+)|\.\d+(?P<rest>\.partial|\.old)")
MEASURED = {"seed", "return_mean", "checkpoint"}
NOT_NEEDED = "not needed, every level is there"
MERGE_WORK = 0.2  # of recording the same episodes, for the bar


class UnfilledError(DataError):
    """A file that cannot be made of what was trained."""


class Stage(ABC):
    """A part of the work."""

    title: str

    @abstractmethod
    def work(self) -> float:
        """About how many environment steps it takes."""

    @abstractmethod
    def share(self) -> float:
        """How much of it is done, 1.0 if nothing is left to do."""

    @abstractmethod
    def state(self) -> str:
        """The same in words."""

    @abstractmethod
    def run(self, bar: StageBar) -> None:
        """Do the rest."""


class Train(Stage):
    """The online training of one seed, with the buffer beside some of its checkpoints."""

    def __init__(self, job: Job, seed: int) -> None:
        self._job, self._seed, self._folder = job, seed, job.run_of(seed)
        self._t_max = job.recipe.settings.run.t_max
        self.title = f"train seed {seed}"

    def work(self) -> float:
        """Up to t_max."""
        return float(self._t_max)

    def share(self) -> float:
        """By its steps; from the latest checkpoint with a buffer it goes on."""
        if self.finished():
            return 1.0 if not self._with_buffer() else 0.999  # they are yet to be removed
        if self._job.filled():
            return 1.0
        start = self._start()
        return int(start.name) / self._t_max if start else 0.0

    def state(self) -> str:
        """Its steps and checkpoints."""
        if self.finished():
            times = self._times()
            return f"done, {max(times):,} steps, {len(times)} checkpoints"
        if self._job.filled():
            return NOT_NEEDED
        start = self._start()
        return f"{int(start.name):,} of {self._t_max:,} steps" if start else "to do"

    def run(self, bar: StageBar) -> None:
        """Train to the end; then no buffer is needed."""
        if not self.finished():
            start = self._start()
            self._forget_after(int(start.name) if start else -1)
            settings = self._job.recipe.settings_of(self._seed, self._job.work, start)
            Trainer(settings, self._folder.name, make_bar=bar).run()
        for folder in self._with_buffer():
            (folder / BUFFER).unlink()

    def _times(self) -> list[int]:
        return sorted(int(p.name) for p in self._folder.glob("*") if p.name.isdigit())

    def finished(self) -> bool:
        """Whether the checkpoint at the end is there."""
        return max(self._times(), default=-1) >= self._t_max

    def _with_buffer(self) -> list[Path]:
        found = (self._folder / str(t) for t in self._times())
        return [folder for folder in found if (folder / BUFFER).is_file()]

    def _start(self) -> Path | None:
        return max(self._with_buffer(), key=lambda p: int(p.name), default=None)

    def _forget_after(self, t_env: int) -> None:
        """Remove later checkpoints, and what a kill left of one: they are made again."""
        for path in self._folder.glob("*"):
            found = CHECKPOINT.fullmatch(path.name)
            if found and path.is_dir() and (found["rest"] or int(found["t_env"]) > t_env):
                shutil.rmtree(path)


class Candidate(NamedTuple):
    """A checkpoint and what was measured of it."""

    folder: Path
    facts: dict[str, Any]


class Measure(Stage):
    """What every checkpoint brings, kept in measured.json as soon as it is known."""

    def __init__(self, job: Job) -> None:
        self._job, self._file = job, job.work / "measured.json"
        self.title = "measure"
        run, keys = job.recipe.settings.run, job.recipe.keys
        self._expected = max(1, run.t_max // max(run.save_model_interval, 1) // keys.every)
        self._expected *= len(keys.seeds)

    def work(self) -> float:
        """Of every checkpoint that is to be expected."""
        return self._expected * self._job.steps_of(MEASURED_EPISODES)

    def share(self) -> float:
        """By its checkpoints."""
        if self._job.filled():
            return 1.0
        known, wanted = self._known(), self._wanted()
        return sum(_name(folder) in known for folder in wanted) / (len(wanted) or self._expected)

    def state(self) -> str:
        """Its checkpoints."""
        known, wanted = self._known(), self._wanted()
        count = sum(_name(folder) in known for folder in wanted)
        if self._job.filled() and not count:
            return NOT_NEEDED
        if not count:
            return "to do"
        done = "done, " if count == len(wanted) else ""
        return f"{done}{count} of {len(wanted)} checkpoints"

    def run(self, bar: StageBar) -> None:
        """Measure those that are not known yet."""
        known, wanted = self._known(), self._wanted()
        todo = [folder for folder in wanted if _name(folder) not in known]
        part = bar(len(wanted), len(wanted) - len(todo), " checkpoints measured")
        keys = self._job.recipe.keys
        with closing(Recorder(load_policy(todo[0]).config, keys.epsilon, keys.seed)) as recorder:
            for folder in todo:
                known[_name(folder)] = recorder.facts_of(load_policy(folder))
                write_json(self._file, known)
                part.update()
        part.close()

    def candidates(self) -> list[Candidate]:
        """The checkpoints with what was measured, in the order of seeds and steps."""
        known = self._known()
        return [Candidate(folder, known[_name(folder)]) for folder in self._wanted()]

    def _wanted(self) -> list[Path]:
        """Every Nth checkpoint of each seed; none before all trainings are finished."""
        seeds, every = self._job.recipe.keys.seeds, self._job.recipe.keys.every
        trainings = [Train(self._job, seed) for seed in seeds]
        if not all(training.finished() and training.share() == 1 for training in trainings):
            return []
        return [folder for s in seeds for folder in checkpoints_of(self._job.run_of(s))[::every]]

    def _known(self) -> dict[str, dict[str, Any]]:
        advice = "delete it: what it held is measured again"
        known = read_json(self._file, advice)
        if not all(isinstance(f, dict) and f.keys() >= MEASURED for f in known.values()):
            raise DataError(f"{self._file} is damaged; {advice}")
        return known


class Record(Stage):
    """One level's file. It appears when it is whole."""

    def __init__(self, job: Job, level: Level, measure: Measure) -> None:
        self._job, self._level, self._measure = job, level, measure
        self._path = job.file_of(level)
        self.title = f"record {level.name}"

    def work(self) -> float:
        """Of its episodes."""
        return self._job.steps_of(self._job.recipe.keys.episodes)

    def share(self) -> float:
        """All or nothing."""
        return float(self._path.exists())

    def state(self) -> str:
        """Whether it is there."""
        return "done" if self._path.exists() else "to do"

    def run(self, bar: StageBar) -> None:
        """Choose the level's checkpoints and play them; UnfilledError if there are too few."""
        recipe, keys = self._job.recipe, self._job.recipe.keys
        candidates = self._measure.candidates()
        try:
            chosen = choose(candidates, self._level, keys.policies, self._advice(candidates))
        except DataError as error:
            raise UnfilledError(str(error)) from None
        policies = [replace(load_policy(c.folder), facts=c.facts) for c in chosen]
        config = policies[0].config
        stream = recipe.levels.index(self._level) * keys.policies  # no level repeats another's
        made_with = {"recipe": {"name": recipe.name} | recipe.made_with(self._level)}
        made_with |= begun_with(self._job)
        with closing(Recorder(config, keys.epsilon, keys.seed, bar)) as recorder:
            recorder.record(
                policies, keys.episodes, self._path, self._level.name, Storage(keys.compress),
                stream, made_with,
            )  # fmt: skip

    def _advice(self, candidates: list[Candidate]) -> str:
        """What was found instead, and which keys may change it."""
        means: dict[int, list[float]] = {}
        for candidate in candidates:
            means.setdefault(candidate.facts["seed"], []).append(candidate.facts["return_mean"])
        found = ", ".join(
            f"seed {seed}: {len(group)} checkpoints with means {min(group):.1f} to {max(group):.1f}"
            for seed, group in means.items()
        )
        return (
            f"measured were {found}; change t_max or save_model_interval (more training, more "
            f"checkpoints) or levels (other bounds) in {self._job.recipe.source}"
        )


class Merge(Stage):
    """The levels' episodes in one file."""

    def __init__(self, job: Job, path: Path) -> None:
        self._job, self._path = job, path
        self._sources = [job.file_of(level) for level in job.recipe.levels]
        self.title = f"merge {path.stem}"

    def work(self) -> float:
        """A share of that of recording the same episodes."""
        episodes = self._job.recipe.keys.episodes * len(self._sources)
        return MERGE_WORK * self._job.steps_of(episodes)

    def share(self) -> float:
        """All or nothing; one of other files is made again."""
        if not (self._path.exists() and all(path.exists() for path in self._sources)):
            return 0.0
        merged = opened(self._path).metadata.made_with["merged"]
        now = [opened(path).sha256 for path in self._sources]
        return float([source["sha256"] for source in merged] == now)

    def state(self) -> str:
        """Whether it is there."""
        return "done" if self.share() else "to do"

    def run(self, bar: StageBar) -> None:
        """Merge; UnfilledError if a level is missing."""
        missing = [path.stem for path in self._sources if not path.exists()]
        if missing:
            raise UnfilledError(f"{self._path} needs every level; {', '.join(missing)} is missing")
        merge(self._sources, self._path, Storage(self._job.recipe.keys.compress))


def stages_of(job: Job) -> list[Stage]:
    """All stages in their order."""
    recipe, measure = job.recipe, Measure(job)
    stages: list[Stage] = [Train(job, seed) for seed in recipe.keys.seeds]
    stages += [measure, *(Record(job, level, measure) for level in recipe.levels)]
    if recipe.keys.mix:
        stages.append(Merge(job, job.out / f"{recipe.keys.mix}.h5"))
    return stages


def _name(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"
