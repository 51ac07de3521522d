"""python tests/fuzz.py --cases=100000 --seed=1: damaged files end in one line, or load unchanged.

Small files of our format and of those of HDF5 and Vault are damaged one at a time: a byte is
changed, the end is cut off, or something inside is deleted, renamed, retyped or reshaped. Then the
file is opened, checked and read as `dataset.py check` and a training run do. Each case must end in

  refused     a UserError of one line that names the file
  found       `check` has findings
  same        everything that was read equals the original
  undetected  sound, but other numbers or words, where no checksum covers them: other
              formats, and the metadata of our version 1

A crash, a hang, another exception, or a silently different set of our own format is a failure: it
is printed with its case number, and the exit code is 1. The cases run in worker processes that are
watched; `--case=K` runs one again, here.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / part) for part in ("src", "tests")]

from batches import INFO, random_batch
from damages import DAMAGES, SHARES
from tqdm import tqdm

from data.checks import find
from data.convert import convert
from data.formats import open_source
from data.read import Episodes, RecordedEpisodes
from data.schema import EPISODES, Metadata
from data.write import EXACT, EpisodeWriter, Storage
from utils.errors import UserError
from utils.paths import ROOT

HANG, START, MEMORY = 60, 600, 6 * 2**30  # seconds, seconds, bytes
FAILURES = ("different", "exception", "crash or hang")
ALL = ("metadata", "figures", "batch")
SINGLE = "offline_data/gymnasium/Pendulum-v1/medium-replay.h5"


class Base(NamedTuple):
    """A sound file or folder, how it is opened, and what of it a checksum covers."""

    path: Path
    words: dict[str, Any]
    sealed: tuple[str, ...]


class Outcome(NamedTuple):
    """What became of one case."""

    kind: str
    told: str


def bases(folder: Path) -> list[Base]:
    """The small files, written here by our own writers."""
    plain = folder / "plain.h5"
    metadata = Metadata("two_step", {}, INFO, "poor", [{"algorithm": "a"}], {"epsilon": 0.05})
    for path, storage in ((plain, EXACT), (folder / "packed.h5", Storage(True, True))):
        with EpisodeWriter(path, metadata, storage) as writer:
            writer.append(random_batch(info=INFO), np.array([True, False, False, True]), 0, seed=1)
    sources = [Base(plain, {}, ALL), Base(folder / "packed.h5", {}, ALL)]
    shutil.copy(ROOT / "offline_data/two_step/random.h5", folder / "version_1.h5")
    sources.append(Base(folder / "version_1.h5", {}, ("figures", "batch")))
    words = {"env_config": "two_step"}
    for name in ("icq", "cfcql", "offpymarl", "vault"):
        target = folder / {"offpymarl": "parts", "vault": "game.vlt/Poor"}.get(name, f"{name}.h5")
        target.parent.mkdir(exist_ok=True)
        convert(RecordedEpisodes(plain), str(target), name)
        sources.append(Base(target, words | {"wanted": name}, ()))
    flat = folder / "flat.hdf5"
    convert(RecordedEpisodes(ROOT / SINGLE), str(flat), "d4rl")
    sources.append(Base(flat, {"env_config": "pendulum", "key": "Pendulum-v1"}, ()))
    return sources


def content_of(data: Episodes) -> dict[str, Any]:
    """Everything that is read of a small set, to be compared."""
    batch = data.read(np.arange(len(data)))
    return {
        "metadata": data.metadata.to_attributes(),
        "figures": {name: data.episodes[name].tobytes() for name in EPISODES},
        "batch": {k: (v.shape, v.numpy().tobytes()) for k, v in batch.tensors().items()},
    }


def run_case(base: Base, original: dict[str, Any], rng: np.random.Generator, work: Path) -> Outcome:
    """Damage a copy, load it."""
    copy = work / base.path.name
    _remove(copy)
    (shutil.copytree if base.path.is_dir() else shutil.copy)(base.path, copy)
    damage = DAMAGES[rng.choice(len(DAMAGES), p=SHARES)]
    did = damage(_some_file(copy, rng), rng)
    stream = bool(rng.integers(2))
    try:
        with np.errstate(divide="raise", over="raise", invalid="raise"):  # no warning, either
            data = open_source(str(copy), **base.words, stream=stream)
            found = find(data, 3)
            if found:
                return Outcome("found", f"{did}: {next(iter(found.lines()))}")
            content = content_of(data)
    except UserError as error:
        told = str(error)
        clear = "\n" not in told and (copy.name in told or copy.parent.name in told)
        return Outcome("refused" if clear else "exception", f"{did}: {told}")
    except Exception:
        return Outcome("exception", f"{did}: {traceback.format_exc()}")
    if content == original:
        return Outcome("same", did)
    sealed = any(content[part] != original[part] for part in base.sealed)
    return Outcome("different" if sealed else "undetected", did)


def _some_file(path: Path, rng: np.random.Generator) -> Path:
    if path.is_file():
        return path
    return _pick(sorted(p for p in path.rglob("*") if p.is_file()), rng)


def _pick(paths: list[Path], rng: np.random.Generator) -> Path:
    return paths[int(rng.integers(len(paths)))]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def work_through(cases: range, seed: int, folder: Path) -> None:
    """A worker: a line of JSON for each case."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory(dir=folder) as made, tempfile.TemporaryDirectory() as work:
        sources = bases(Path(made))
        originals = [content_of(open_source(str(b.path), **b.words)) for b in sources]
        _tell("ready")
        for case in cases:
            outcome = one_case(case, seed, sources, originals, Path(work))
            told = outcome.told if outcome.kind in FAILURES else ""
            name = sources[case % len(sources)].path.name
            _tell([case, name, outcome.kind, told])


def _tell(values: Any) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def one_case(
    case: int, seed: int, sources: list[Base], originals: list[dict[str, Any]], work: Path
) -> Outcome:
    """Case number `case`; each has a generator of its own, so that any can be run alone."""
    at = case % len(sources)
    return run_case(sources[at], originals[at], np.random.default_rng([seed, case]), work)


class Watched:
    """A worker and the cases that it has left."""

    def __init__(self, cases: range, seed: int, folder: Path) -> None:
        self.left, self._seed, self._folder = cases, seed, folder
        self.start()

    def start(self) -> None:
        """Begin with the first case that is left."""
        words = [f"--worker={self.left.start}:{self.left.stop}", f"--seed={self._seed}"]
        command = [sys.executable, __file__, *words, f"--folder={self._folder}"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self._rest, self._deadline = b"", time.monotonic() + START

    def heard(self) -> Iterator[list[Any]]:
        """The cases told since, in their order; one that is not told any more as a failure.

        A worker is judged when its pipe is at its end, never while lines may be left in it.
        """
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(timeout=0.2):
                if time.monotonic() > self._deadline:
                    self.process.kill()  # a hang; the end of the pipe follows
                return
        told = os.read(self.process.stdout.fileno(), 65_536)
        *lines, self._rest = (self._rest + told).split(b"\n")
        for line in lines:
            self._deadline = time.monotonic() + HANG
            words = json.loads(line)
            if isinstance(words, list):
                self.left = range(words[0] + 1, self.left.stop)
                yield words
        if not told:
            yield from self._ended()

    def _ended(self) -> Iterator[list[Any]]:
        code = self.process.wait()
        if not self.left:
            return
        case = self.left.start
        self.left = range(case + 1, self.left.stop)
        yield [case, "?", "crash or hang", f"exit code {code}"]
        if self.left:
            self.start()


def run_all(cases: int, seed: int, jobs: int, folder: Path) -> Counter[tuple[str, str]]:
    """All cases in `jobs` workers -> how many of each file came to what; failures are printed."""
    counts: Counter[tuple[str, str]] = Counter()
    edges = np.linspace(0, cases, jobs + 1).astype(int)
    workers = [Watched(range(a, b), seed, folder) for a, b in itertools.pairwise(edges)]
    bar = tqdm(total=cases, unit=" cases", disable=not sys.stderr.isatty())
    while any(worker.left for worker in workers):
        for worker in workers:
            for case, name, kind, told in worker.heard() if worker.left else ():
                _count(counts, case, name, kind, told)
                bar.update()
    bar.close()
    for worker in workers:
        worker.process.wait()
    return counts


def _count(counts: Counter[tuple[str, str]], case: int, name: str, kind: str, told: str) -> None:
    counts[name, kind] += 1
    if kind in FAILURES:
        sys.stdout.write(f"case {case} ({name}) {kind}: {told}\n")
        sys.stdout.flush()


def main() -> int:
    """Run the cases -> 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--case", type=int, help="only this one, in this process")
    parser.add_argument("--worker", default="", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        start, stop = (int(word) for word in args.worker.split(":"))
        work_through(range(start, stop), args.seed, args.folder)
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.case is not None:
            work_through(range(args.case, args.case + 1), args.seed, folder)
            return 0
        counts = run_all(args.cases, args.seed, args.jobs, folder)
    kinds = ("refused", "found", "same", "undetected", *FAILURES)
    sys.stdout.write(f"{'':<14}" + "".join(f"{kind:>15}" for kind in kinds) + "\n")
    for name in sorted({name for name, _ in counts}):
        numbers = "".join(f"{counts[name, kind]:>15,}" for kind in kinds)
        sys.stdout.write(f"{name:<14}{numbers}\n")
    return int(any(counts[key] for key in counts if key[1] in FAILURES))


if __name__ == "__main__":
    sys.exit(main())
