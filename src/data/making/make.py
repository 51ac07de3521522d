"""What `dataset.py make` does: every stage of a recipe that is not done yet, then what was made."""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

from data.making.files import Job, begin, check_begun, check_files, opened, remove_leftovers
from data.making.progress import Whole
from data.making.recipe import Recipe, read_recipe
from data.making.stages import Stage, UnfilledError, stages_of
from envs import REGISTRY as env_REGISTRY
from utils.errors import ConfigError, DataError, exit_code_of
from utils.logging import console
from utils.paths import ROOT

LOCK = ".lock"
BLOCK = 2**20  # bytes


def make_all(args: argparse.Namespace) -> int:
    """Make the recipes one after the other -> the exit code of the first that failed, or 0.

    Whatever can be wrong with any of them is found before the first is begun.
    """
    jobs = [_job(read_recipe(word), args) for word in dict.fromkeys(args.recipes)]
    _check_apart(jobs)
    for job in jobs:
        _check(job)
        if not args.dry_run:
            run = job.recipe.settings.run
            env_REGISTRY[run.env].check_installed(run.env_args)
    if args.dry_run:
        for job in jobs:
            _show(job)
        return 0
    for job in jobs:
        _check_writable(job.work, "--results")
        _check_writable(job.out, "--out")
    codes = []
    for job in jobs:
        codes.append(exit_code_of(partial(_make, job)))
        if codes[-1] > 128:  # stopped by a signal
            sys.stderr.write("The same command goes on where it was.\n")
            return codes[-1]
    return next(filter(None, codes), 0)


def _job(recipe: Recipe, args: argparse.Namespace) -> Job:
    results = (args.results or ROOT / "results").resolve()
    out = (args.out or recipe.out).resolve()
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is not a folder; the files of {recipe.name} go there")
    return Job(recipe, results / "recipes" / recipe.name, out)


def _check(job: Job) -> None:
    """What was begun and what is there already must be this recipe's."""
    check_begun(job)
    check_files(job)


def _check_apart(jobs: list[Job]) -> None:
    """ConfigError where two recipes would train in one folder."""
    first: dict[Path, Job] = {}
    for job in jobs:
        other = first.setdefault(job.work, job).recipe
        if other is not job.recipe:
            raise ConfigError(
                f"{other.source} and {job.recipe.source} would both be trained in {job.work}; "
                "rename one, or make them one by one with another --results"
            )


def _check_writable(folder: Path, flag: str) -> None:
    """ConfigError where no file can be written; that is known before hours of training."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"nothing can be written in {folder}: {error.strerror}; give another folder with {flag}"
        ) from error


def _show(job: Job) -> None:
    sys.stdout.write(f"{job.recipe.name} -> {job.out}\n")
    for stage in stages_of(job):
        sys.stdout.write(f"  {stage.title:<24}{stage.state()}\n")


def _make(job: Job) -> int:
    began = time.monotonic()
    with _alone(job):
        _check(job)
        begin(job)
        remove_leftovers(job)
        missing = _run_stages(job, stages_of(job))
        _report(job)
    sys.stdout.write(f"{job.recipe.name}: {_duration(time.monotonic() - began)} in all\n")
    for message in missing:
        sys.stderr.write(f"DataError: {message}\n")
    return DataError.exit_code if missing else 0


def _run_stages(job: Job, stages: list[Stage]) -> list[str]:
    """Do what is left -> what is wrong with the levels that could not be filled."""
    works = [stage.work() for stage in stages]
    steps = [stage.share() * work for stage, work in zip(stages, works, strict=True)]
    missing: list[str] = []
    with closing(Whole(sum(works), sum(steps))) as whole:
        for i, (stage, work, done) in enumerate(zip(stages, works, steps, strict=True), start=1):
            line = f"{job.recipe.name} [{i}/{len(stages)}] {stage.title}"
            console().info(f"{line}: {stage.state()}")
            if stage.share() == 1:
                continue
            bar, began = whole.stage(line, work, done), time.monotonic()
            try:
                stage.run(bar)
            except UnfilledError as error:
                missing.append(str(error))
            bar.reach(1.0)
            outcome = stage.state() if stage.share() == 1 else "not possible"
            console().info(f"{line}: {outcome} ({_duration(time.monotonic() - began)})")
    return missing


def _report(job: Job) -> None:
    """A line for each file."""
    names = [level.name for level in job.recipe.levels]
    for name in [*names, *filter(None, [job.recipe.keys.mix])]:
        path = job.out / f"{name}.h5"
        if path.exists():
            data = opened(path)
            returns, won = data.episodes["return"], data.episodes["battle_won"]
            sys.stdout.write(
                f"{path}  {len(data):,} episodes  return {returns.mean():.2f}  won {won.mean():.1%}"
                f"  {path.stat().st_size / 2**20:.1f} MiB  sha256 {_sha256(path)}\n"
            )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def _alone(job: Job) -> Iterator[None]:
    """ConfigError where another process makes the same recipe, or files in the same folder."""
    with ExitStack() as locks:
        locks.enter_context(_locked(job.work, f"{job.recipe.name} is being made in", "--results"))
        locks.enter_context(_locked(job.out, "another data set is being made in", "--out"))
        yield


@contextmanager
def _locked(folder: Path, what: str, flag: str) -> Iterator[None]:
    """A lock in a folder; it goes with its process, whose file the next one takes over."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    while True:
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(
                    f"{what} {folder} already; wait for it, or give another folder with {flag}"
                ) from None
            if not _is_at(lock.fileno(), path):
                continue  # it was removed in between by the one who had it
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m{seconds:02}s" if hours else f"{minutes}m{seconds:02}s"
