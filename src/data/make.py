"""What `dataset.py make` does: every stage of a recipe that is not done yet, then what was made."""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from data.make_files import Job, check_files, opened, read_json, remove_leftovers, write_json
from data.make_progress import Whole
from data.make_recipe import Recipe, difference, read_recipe
from data.make_stages import Stage, UnfilledError, stages_of
from envs import REGISTRY as env_REGISTRY
from utils.config import ROOT
from utils.errors import ConfigError, DataError, exit_code_of
from utils.logging import console

BEGUN = "recipe.json"
BLOCK = 2**20  # bytes


def make_all(args: argparse.Namespace) -> int:
    """Make the recipes one after the other -> the exit code of the first that failed, or 0.

    Whatever can be wrong with any of them is found before the first is begun.
    """
    jobs = [_job(read_recipe(word), args) for word in dict.fromkeys(args.recipes)]
    for job in jobs:
        _check(job)
        if not args.dry_run:
            run = job.recipe.settings.run
            env_REGISTRY[run.env].check_installed(run.env_args)
    if args.dry_run:
        for job in jobs:
            _show(job)
        return 0
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
    begun, ours = read_json(job.work / BEGUN), job.recipe.trained_with()
    if begun and (key := difference(begun, ours)):
        raise ConfigError(
            f"{job.work} was begun with {key}={begun.get(key)}, {job.recipe.source} now says "
            f"{key}={ours.get(key)}; give another folder with --results, or delete that one"
        )
    check_files(job)


def _show(job: Job) -> None:
    sys.stdout.write(f"{job.recipe.name} -> {job.out}\n")
    for stage in stages_of(job):
        sys.stdout.write(f"  {stage.title:<24}{stage.state()}\n")


def _make(job: Job) -> int:
    began = time.monotonic()
    with _alone(job):
        _check(job)
        write_json(job.work / BEGUN, job.recipe.trained_with())
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
    whole = Whole(sum(works), sum(steps))
    missing = []
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
    whole.close()
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
    """ConfigError where the same recipe is being made there; the lock goes with its process."""
    job.work.mkdir(parents=True, exist_ok=True)
    with (job.work / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"{job.recipe.name} is being made in {job.work} already; wait for it, or give "
                "another folder with --results"
            ) from None
        yield


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m{seconds:02}s" if hours else f"{minutes}m{seconds:02}s"
