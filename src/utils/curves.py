"""Learning curves: of many runs, a panel for each task, and of one run."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from utils.records import Run, Task, labels

LEVELS = ["poor", "medium", "good", "mixed"]
NAMES = {
    "data": "data", "script": "script", "bc": "BC-MA", "bcq": "BCQ-MA", "cql": "CQL-MA",
    "icq_official": "ICQ-MA, official code", "icq": "ICQ-MA",
    "bc_continuous": "BC", "icq_softmax": "ICQ, Z by the batch", "icq_vae": "ICQ, Z by a VAE",
}  # fmt: skip


class Result(Protocol):
    """The part of a table's row that is drawn beside the curves."""

    @property
    def task(self) -> Task: ...
    @property
    def algorithm(self) -> str: ...
    @property
    def return_mean(self) -> float: ...


def draw(runs: list[Run], rows: Sequence[Result], path: Path) -> None:
    """Learning curves, a row of panels for each map: mean over seeds, and their range."""
    from matplotlib.figure import Figure

    names = labels(runs)
    colors = {name: f"C{i}" for i, name in enumerate(sorted(set(names), key=method_order))}
    tasks = tasks_in_order(run.task for run in runs)
    maps = list(dict.fromkeys(task[:2] for task in tasks))
    columns = max(sum(task[:2] == place for task in tasks) for place in maps)
    figure = Figure(figsize=(3.4 * columns + 0.6, 2.7 * len(maps) + 0.6), layout="constrained")
    panels = figure.subplots(len(maps), columns, squeeze=False)
    for place, line in zip(maps, panels, strict=True):
        of_map = [task for task in tasks if task[:2] == place]
        for panel in line[len(of_map) :]:
            panel.remove()
        for panel, task in zip(line, of_map, strict=False):
            curves: dict[str, list[list[tuple[int, float]]]] = defaultdict(list)
            for run, name in zip(runs, names, strict=True):
                if run.task == task:
                    curves[name].append(run.stats["test_return_mean"])
            for name in sorted(curves, key=method_order):
                _draw_curves(panel, curves[name], colors[name], NAMES.get(name, name))
            _draw_levels(panel, task, rows)
            panel.set(title=" ".join(filter(None, task)))
        line[0].set_ylabel("test return")
    figure.supxlabel("t_env")
    shown = dict(zip(*reversed(_legend(figure)), strict=True))
    figure.legend(list(shown.values()), list(shown), loc="outside upper center", ncols=2 * columns)
    figure.savefig(path, dpi=100)


def _draw_curves(panel: Any, curves: list[list[tuple[int, float]]], color: str, name: str) -> None:
    common = min(len(curve) for curve in curves)
    times = [t for t, _ in curves[0][:common]]
    values = np.array([[v for _, v in curve[:common]] for curve in curves])
    panel.plot(times, values.mean(0), color=color, label=name)
    panel.fill_between(times, values.min(0), values.max(0), color=color, alpha=0.2)


def _draw_levels(panel: Any, task: Task, rows: Sequence[Result]) -> None:
    for row in rows:
        if row.task == task and row.algorithm == "data":
            panel.axhline(row.return_mean, color="black", linestyle="--", label="data")
        if row.task == (*task[:2], "") and row.algorithm == "script":
            panel.axhline(row.return_mean, color="gray", linestyle=":", label="script")


def _legend(figure: Any) -> tuple[list[Any], list[str]]:
    """Handles and names of all panels; the same name again replaces the first."""
    pairs = [panel.get_legend_handles_labels() for panel in figure.axes]
    return [h for handles, _ in pairs for h in handles], [n for _, names in pairs for n in names]


def method_order(name: str) -> tuple[int, str]:
    """As in NAMES; what is not there comes last."""
    return (list(NAMES).index(name) if name in NAMES else len(NAMES)), name


def tasks_in_order(found: Iterable[Task]) -> list[Task]:
    """In order, each once; live runs' tasks, which have no level, only if there are no others."""
    tasks = sorted(set(found), key=lambda t: (*t[:2], t[2] not in LEVELS, _level(t[2]), t[2]))
    return [task for task in tasks if task[2]] or tasks


def _level(quality: str) -> int:
    return LEVELS.index(quality) if quality in LEVELS else 0


def evaluations(metrics: Path) -> list[tuple[int, float]]:
    """(t_env, test_return_mean) of a run's metrics file; a line cut off by its end is left out."""
    text = metrics.read_text()
    lines = csv.reader(text[: text.rfind("\n") + 1].splitlines())
    return [(int(t), float(value)) for t, stat, value in lines if stat == "test_return_mean"]


def learning_curve(metrics: Path) -> bytes:
    """A PNG of one run's evaluations; the same for the same metrics file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), layout="constrained")
    panel = figure.subplots()
    panel.plot(*zip(*evaluations(metrics), strict=True), marker=".")
    panel.set(title="learning curve", xlabel="t_env", ylabel="test_return_mean")
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=100)
    return image.getvalue()
