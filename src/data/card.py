"""A data set's card: what is in the file, in words and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from data.read import Episodes

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


def card(data: Episodes) -> str:
    """Episodes, returns, lengths, wins, action use and provenance, all counted from the file."""
    meta, episodes = data.metadata, data.episodes
    settings = " ".join(f"{k}={v}" for k, v in meta.env_args.items())
    lines = [
        f"file       {data.path}",
        f"env        {meta.env} {settings}",
        f"           {data.info.numbers()}",
        f"quality    {meta.quality}",
        f"episodes   {len(data):,}   transitions {data.n_transitions:,}",
        f"return     mean {episodes['return'].mean():.2f}  {_quantiles(episodes['return'])}",
        f"length     mean {episodes['length'].mean():.1f}  {_quantiles(episodes['length'])}",
        f"won        {episodes['battle_won'].mean():.1%}   time limit met in "
        f"{episodes['truncated'].mean():.1%}",
        "actions    " + _actions(data),
        *_policies(data),
        "made with  " + _flat(meta.made_with),
        f"licence    {meta.licence}",
        f"sha256     {data.sha256} (content)",
    ]
    return "\n".join(lines)


def action_use(data: Episodes) -> list[tuple[str, float]]:
    """Each action's share of all decisions: steps at which the agent had more than one choice."""
    counts = np.zeros(data.info.n_actions)
    played = np.ones(len(data.steps["actions"]), dtype=bool)
    played[data.last_rows] = False  # the last row's action is never played
    for start in range(0, len(data.steps["actions"]), 65_536):
        rows = slice(start, start + 65_536)
        free = data.steps["avail_actions"][rows].sum(-1) > 1
        free &= played[rows, None]
        counts += np.bincount(data.steps["actions"][rows][free], minlength=len(counts))
    names = data.info.action_names or tuple(str(i) for i in range(len(counts)))
    return list(zip(names, counts / max(counts.sum(), 1), strict=True))


def draw(data: Episodes, path: Path) -> None:
    """Histograms of return and length, and the use of actions, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    returns, lengths = data.episodes["return"], data.episodes["length"]
    left.hist(returns, bins=40, color="tab:blue")
    left.axvline(float(returns.mean()), color="black", linestyle="--")
    left.set(xlabel="episode return", ylabel="episodes", title=f"mean {returns.mean():.2f}")
    middle.hist(lengths, bins=40, color="tab:green")
    middle.set(xlabel="episode length (steps)", title=f"mean {lengths.mean():.1f}")
    if data.info.continuous:
        _draw_dimensions(right, data)
    else:
        use = action_use(data)
        right.bar([name for name, _ in use], [share for _, share in use], color="tab:orange")
        right.tick_params(axis="x", rotation=60)
        right.set(title="action use", ylabel="share of decisions")
    figure.suptitle(f"{data.metadata.env} {data.path.parent.name} {data.metadata.quality}")
    figure.savefig(path, dpi=110)


def _actions(data: Episodes) -> str:
    """What was done: each action's share, or each dimension's mean and standard deviation."""
    if not data.info.continuous:
        return "  ".join(f"{name} {share:.1%}" for name, share in action_use(data))
    actions = _played(data)
    pairs = zip(actions.mean(0), actions.std(0), strict=True)
    return "  ".join(f"{i}: {mean:.2f} ± {std:.2f}" for i, (mean, std) in enumerate(pairs))


def _played(data: Episodes) -> np.ndarray:
    """(M,A) continuous actions of all agents, at most about 100,000 steps of them."""
    index = np.arange(0, data.n_transitions, max(1, data.n_transitions // 100_000))
    actions = data.read_transitions(index).actions[:, 0].flatten(0, 1)
    return actions.numpy()


def _draw_dimensions(panel: Any, data: Episodes) -> None:
    actions = _played(data)
    for i in range(actions.shape[1]):
        panel.hist(actions[:, i], bins=60, histtype="step", density=True, label=str(i))
    panel.legend(title="dimension", fontsize=7)
    panel.set(title="actions", ylabel="density")


def _quantiles(values: np.ndarray) -> str:
    marks = np.quantile(values, QUANTILES)
    return "min/25%/50%/75%/max " + " / ".join(f"{m:.1f}" for m in marks)


def _policies(data: Episodes) -> list[str]:
    lines = []
    for i, facts in enumerate(data.metadata.policies):
        mine = data.episodes["policy"] == i
        mean = data.episodes["return"][mine].mean() if mine.any() else float("nan")
        lines.append(f"policy {i:<3} {int(mine.sum())} episodes, mean {mean:.2f}: {_flat(facts)}")
    return lines


def _flat(values: dict[str, Any]) -> str:
    parts = {}  # what several say, a package's version, is said once
    for key, value in values.items():
        if isinstance(value, dict):
            parts[_flat(value)] = None
        else:
            parts[f"{key}={value:.2f}" if isinstance(value, float) else f"{key}={value}"] = None
    return " ".join(dict.fromkeys(" ".join(parts).split(" ")))
