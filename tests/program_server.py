"""Forks a program for each request, a JSON line on stdin, with all that is slow imported already.

["start", program, words, folder for out.txt and err.txt, environment] -> its process.
["ended", process] -> its exit code, null while it runs.
Nothing is computed here, so no GPU, thread or lock is in use at a fork.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path

import controllers
import dataset
import learners
import main
import runners

PROGRAMS = {"main": main.main, "dataset": dataset.main}
SLOW = [
    "torch._dynamo",  # what an optimiser imports
    "sacred.observers", "git", "gridfs", "run", "envs.two_step", "data.making.make", "data.check",
]  # fmt: skip


def start(program: str, words: list[str], folder: str, environment: dict[str, str]) -> int:
    """-> its process."""
    if child := os.fork():
        return child
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, name in ((1, "out.txt"), (2, "err.txt")):
            os.dup2(os.open(Path(folder, name), os.O_WRONLY | os.O_CREAT), number)
        os.environ.update(environment)
        code = PROGRAMS[program](words)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ended(child: int) -> int | None:
    """-> its exit code, -9 if it was killed."""
    found, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def answer(line: str) -> None:
    """On stdout."""
    request, *arguments = json.loads(line)
    found = {"start": start, "ended": ended}[request](*arguments)
    sys.stdout.write(f"{json.dumps(found)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with main.quiet_import():
        for module in SLOW:
            importlib.import_module(module)
    for registry in (controllers.REGISTRY, learners.REGISTRY, runners.REGISTRY):
        for name in registry:
            registry[name]
    for line in sys.stdin:
        answer(line)
