"""Where a recipe's files lie, and whether those that are there are its own."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.levels import Level
from data.making.recipe import SOFTWARE, Recipe, difference
from data.read import RecordedEpisodes
from envs import REGISTRY as env_REGISTRY
from utils.errors import ConfigError, DataError
from utils.provenance import software

BEGUN = "recipe.json"
SHARE_OF_LIMIT = 0.5  # that an episode is taken to last, for the bar


@dataclass(frozen=True)
class Job:
    """A recipe, the folder of its training and measuring, and that of its files."""

    recipe: Recipe
    work: Path
    out: Path

    def run_of(self, seed: int) -> Path:
        """The folder of a seed's checkpoints."""
        return self.work / "models" / f"seed_{seed}"

    def filled(self) -> bool:
        """Whether every level's file is there: nothing is to be trained for them."""
        return all(self.file_of(level).exists() for level in self.recipe.levels)

    def file_of(self, level: Level) -> Path:
        """A level's file."""
        return self.out / f"{level.name}.h5"

    def steps_of(self, episodes: int) -> float:
        """The steps that some episodes are taken to last."""
        run = self.recipe.settings.run
        limit = env_REGISTRY[run.env].env_info(run.env_args).episode_limit
        return max(1.0, episodes * limit * SHARE_OF_LIMIT)


def check_begun(job: Job) -> dict[str, Any]:
    """What a job was begun with, {} if it was not; ConfigError where that is another recipe."""
    keep = "give another folder with --results, or delete that one"
    begun = read_json(job.work / BEGUN, f"{job.work} may be another recipe's; {keep}")
    told, ours = job.recipe.usual() | begun, job.recipe.trained_with()
    if begun and (key := difference(told, ours)):
        raise ConfigError(
            f"{job.work} was begun with {key}={told.get(key)}, {job.recipe.source} now says "
            f"{key}={ours.get(key)}; {keep}"
        )
    return begun


def begin(job: Job) -> None:
    """Write down the recipe and, once, the software: every file of the set names the same."""
    run = job.recipe.settings.run
    stamp = begun_with(job) or software(env_REGISTRY[run.env].versions(run.env_args))
    write_json(job.work / BEGUN, job.recipe.trained_with() | {SOFTWARE: stamp})


def begun_with(job: Job) -> dict[str, Any]:
    """The commit and the packages that a job was begun with."""
    return check_begun(job).get(SOFTWARE, {})


def check_files(job: Job) -> None:
    """DataError where a file that would be made is there already, and not made by this recipe."""
    recipe = job.recipe
    wanted = [recipe.made_with(level) for level in recipe.levels]
    for level, ours in zip(recipe.levels, wanted, strict=True):
        path = job.file_of(level)
        if path.exists():
            _check_recipe(job, path, opened(path).metadata.made_with.get("recipe"), ours)
    path = job.out / f"{recipe.keys.mix}.h5"
    if recipe.keys.mix and path.exists():
        merged = opened(path).metadata.made_with.get("merged", [])
        sources = merged if len(merged) == len(wanted) else [{}] * len(wanted)
        for source, ours in zip(sources, wanted, strict=True):
            _check_recipe(job, path, source.get("recipe"), ours)


def _check_recipe(job: Job, path: Path, theirs: Any, ours: dict[str, Any]) -> None:
    keep = "move it away or give another folder with --out"
    if not isinstance(theirs, dict):
        raise DataError(f"{path} is there already and was not made by this recipe; {keep}")
    theirs = job.recipe.usual() | theirs
    if key := difference(theirs, ours):
        raise DataError(
            f"{path} was made with {key}={theirs.get(key)}, the recipe now says "
            f"{key}={ours.get(key)}; {keep}"
        )


def opened(path: Path) -> RecordedEpisodes:
    """One of the files; DataError where it is none of ours."""
    try:
        return RecordedEpisodes(path, stream=True)
    except DataError as error:
        raise DataError(f"{error}; or move it away, or give another folder with --out") from error


def remove_leftovers(job: Job) -> None:
    """What a kill left of files that were being written."""
    names = [*(level.name for level in job.recipe.levels), job.recipe.keys.mix]
    for name in names:
        for rest in ("incomplete", "packing"):
            (job.out / f"{name}.h5.{rest}").unlink(missing_ok=True)


def read_json(path: Path, advice: str) -> dict[str, Any]:
    """What a file of ours holds, {} if there is none; DataError gives `advice` if it is damaged."""
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text())
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise DataError(f"{path} is damaged; {advice}")
    return values


def write_json(path: Path, values: Any) -> None:
    """Put it in its place whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w") as file:
        json.dump(values, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
