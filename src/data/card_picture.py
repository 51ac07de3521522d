"""Cards as a picture for a paper: returns, lengths, shares, and what the agents do."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.action_use import Dimension
from data.card import Card, labels
from data.levels import LEVELS
from utils.config import scenario

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
"""Of the files, in their order; told apart by the colour-blind (Okabe and Ito)."""

STYLE: dict[Any, Any] = {
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "legend.fontsize": 7,
    "xtick.labelsize": 7, "ytick.labelsize": 7, "axes.linewidth": 0.6,
    "axes.spines.top": False, "axes.spines.right": False,
    "pdf.fonttype": 42, "svg.hashsalt": "card",
}  # fmt: skip
WIDTH = 7.2
"""Inches: two columns of a paper, so that fonts keep their size there."""

LETTERS = 130
"""Of a legend that are side by side in WIDTH."""

BARS = 30
ACROSS = 4  # panels of action use in a row
NAMED = 12  # actions with a colour of their own; the others share grey
AIMED = ("attack", "heal")
UNDATED = {".png": {}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}


def draw(cards: Sequence[Card], path: Path) -> None:
    """One figure for all cards, a colour for each; the file is there whole or not at all."""
    import matplotlib as mpl

    content = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure = _figure(cards)
        form = path.suffix.removeprefix(".")
        figure.savefig(content, format=form, dpi=300, metadata=UNDATED[path.suffix])
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content.getvalue())
    partial.replace(path)


def _figure(cards: Sequence[Card]) -> Any:
    from matplotlib.figure import Figure

    one = len(cards) == 1
    across = min(len(cards), ACROSS)
    lower = -(-len(cards) // across)
    figure: Any = Figure(figsize=(WIDTH, 2.3 * (1 + lower)), layout="constrained")
    upper, below = figure.subfigures(2, 1, height_ratios=[1, lower])
    if one:
        returns, lengths = upper.subplots(1, 2)
        panel, shares = below.subplots(1, 2)
        panels = [panel]
    else:
        returns, lengths, shares = upper.subplots(1, 3)
        grid = below.subplots(lower, across, squeeze=False).ravel()
        panels = grid[: len(cards)]
        for empty in grid[len(cards) :]:
            empty.remove()
    _draw_returns(returns, cards)
    _draw_lengths(lengths, cards)
    _draw_shares(shares, cards)
    _draw_actions(panels, cards, across)
    _draw_titles(figure, panels, cards)
    return figure


def _draw_actions(panels: Sequence[Any], cards: Sequence[Card], across: int) -> None:
    """A panel for each file. Where all have the same actions, these are named once."""
    spaces = [tuple(card.choices.shares) if card.choices else None for card in cards]
    alike = len(set(spaces)) == 1
    top = max(
        (share for card in cards for d in card.dimensions for share in d.histogram), default=1
    )
    for i, (panel, card) in enumerate(zip(panels, cards, strict=True)):
        if card.choices:
            _draw_choices(panel, card, _kept(cards if alike else [card]))
            if not alike or i == across - 1:
                _name_actions(panel)
        elif len(card.dimensions) == 1:
            _draw_dimension(panel, card.dimensions[0], top, _color(i))
        else:
            _draw_dimensions(panel, card.dimensions, _color(i))
        if not alike or i % across == 0:
            many = "dimension" if len(card.dimensions) > 1 else "share of steps"
            panel.set_ylabel("share of decisions" if card.choices else many)


def _draw_titles(figure: Any, panels: Sequence[Any], cards: Sequence[Card]) -> None:
    """What the picture is of; of several files a legend, which names the lower panels, too."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    games = {f"{card.env} {scenario(card.env_args)}".strip(): None for card in cards}
    if len(cards) == 1:
        (card,) = cards
        title = f"{' '.join(games)} {card.quality}: {len(card.returns):,} episodes, "
        figure.suptitle(f"{title}{card.transitions:,} transitions", fontsize=9)
        return
    figure.suptitle(", ".join(games), fontsize=9)
    names = labels(cards)
    for i, (panel, name) in enumerate(zip(panels, names, strict=True)):
        panel.set_title(name, color=_color(i))
    patches = [
        Patch(color=_color(i), label=f"{name}: {len(card.returns):,} episodes")
        for i, (name, card) in enumerate(zip(names, cards, strict=True))
    ]
    mean = Line2D([], [], color="0.3", linestyle="--", linewidth=0.9, label="mean")
    longest = max(len(str(patch.get_label())) for patch in patches)
    figure.legend(
        handles=[*patches, mean], loc="outside lower center", frameon=False,
        ncols=max(1, min(len(cards) + 1, LETTERS // (longest + 7))),
    )  # fmt: skip


def _color(i: int) -> str:
    return COLORS[i % len(COLORS)]


def _draw_returns(panel: Any, cards: Sequence[Card]) -> None:
    _draw_histogram(panel, [card.returns for card in cards], "episode return")
    if not all(card.levels for card in cards):
        return
    panel.set_xticks(sorted({bound for bounds in LEVELS.values() for bound in bounds}))
    for i, (name, (low, high)) in enumerate(LEVELS.items()):
        panel.axvspan(low, high, color=str(0.95 - 0.05 * i), linewidth=0, zorder=0)
        panel.text(
            (low + high) / 2, 1.01, name, transform=panel.get_xaxis_transform(),
            ha="center", va="bottom", fontsize=7, color="0.35",
        )  # fmt: skip


def _draw_lengths(panel: Any, cards: Sequence[Card]) -> None:
    _draw_histogram(panel, [card.lengths for card in cards], "episode length (steps)")
    panel.xaxis.get_major_locator().set_params(integer=True)


def _draw_histogram(panel: Any, values: Sequence[np.ndarray], label: str) -> None:
    """Shares of the episodes in bars that all files have in common; means are dashed."""
    edges = _edges(values)
    for i, those in enumerate(values):
        color, weights = _color(i), np.full(len(those), 1 / len(those))
        alpha = 0.35 if len(values) == 1 else 0.2
        panel.hist(those, edges, weights=weights, color=color, alpha=alpha, linewidth=0)
        panel.hist(those, edges, weights=weights, color=color, histtype="step", linewidth=0.9)
        panel.axvline(float(those.mean()), color=color, linestyle="--", linewidth=0.9)
    mean = f", mean {values[0].mean():.2f}" if len(values) == 1 else ""
    panel.set(xlabel=f"{label}{mean}", ylabel="share of episodes")


def _edges(values: Sequence[np.ndarray]) -> np.ndarray:
    low, high = min(v.min() for v in values), max(v.max() for v in values)
    if all(v.dtype.kind == "i" for v in values):  # they stand in the middle of their bars
        low, high = (max(low - 5, 0), high + 5) if low == high else (low, high)
        width = -(-(high - low + 1) // BARS)
        return np.arange(low - 0.5, high + 0.5 + width, width)
    return np.histogram_bin_edges([low, high], BARS)


def _draw_shares(panel: Any, cards: Sequence[Card]) -> None:
    """Bars for what lies between 0 and 1, with their values."""
    bars = [_shares(card) for card in cards]
    names = list(dict.fromkeys(name for those in bars for name in those))
    if not any(card.won or card.levels for card in cards):
        names.remove("won")
    height = 0.8 / len(cards)
    for i, those in enumerate(bars):
        for row, name in enumerate(names):
            if name in those:
                place = row + (i - (len(cards) - 1) / 2) * height
                panel.barh(place, those[name], height * 0.9, color=_color(i))
                panel.text(
                    max(those[name], 0) + 0.02, place, f"{those[name]:.2f}", va="center",
                    fontsize=7 if len(cards) < 3 else 6 if len(cards) == 3 else 5,
                )  # fmt: skip
    panel.set_yticks(range(len(names)), names)
    panel.set(xlim=(0, 1.18), xticks=[0, 0.5, 1], xlabel="share", ylim=(len(names) - 0.5, -0.5))
    panel.tick_params(axis="y", length=0)


def _shares(card: Card) -> dict[str, float]:
    found = {
        "won": card.won, "terminated": card.terminated, "truncated": card.truncated,
        "SACo": card.coverage,
    }  # fmt: skip
    if card.choices:
        found["entropy share"] = card.choices.entropy_share
    return found


def _draw_choices(panel: Any, card: Card, kept: Sequence[str]) -> None:
    """Each action's share of the decisions over time, stacked; those not kept are one."""
    assert card.choices is not None
    over_time = card.choices.over_time
    layers, names, colors = [over_time[name] for name in kept], list(kept), _action_colors(kept)
    others = [values for name, values in over_time.items() if name not in kept]
    if others:
        layers.append(np.sum(others, axis=0).tolist())
        names.append(f"{len(others)} others")
        colors.append("0.8")
    edges = np.arange(len(layers[0]) + 1) * card.choices.steps_per_bin
    stack = [[*layer, layer[-1]] for layer in layers]
    panel.stackplot(
        edges, stack, labels=names, colors=colors, step="post", linewidth=0.2, edgecolor="white"
    )
    panel.set(xlabel="time step", xlim=(0, edges[-1]), ylim=(0, 1))
    panel.xaxis.get_major_locator().set_params(integer=True)


def _name_actions(panel: Any) -> None:
    handles, names = panel.get_legend_handles_labels()
    panel.legend(
        handles[::-1], names[::-1], loc="center left", bbox_to_anchor=(1, 0.5), frameon=False,
        handlelength=0.8, labelspacing=0.15,
    )  # fmt: skip


def _kept(cards: Sequence[Card]) -> list[str]:
    """The actions that are used most, in their order."""
    found = [card.choices.shares for card in cards if card.choices]
    use = {name: sum(shares[name] for shares in found) for name in found[0]}
    frequent = sorted(use, key=lambda name: -use[name])[:NAMED]
    return [name for name in use if name in frequent]


def _action_colors(names: Sequence[str]) -> list[Any]:
    """Blue to green, of what is aimed at somebody yellow to red."""
    from matplotlib import colormaps

    aimed = sum(name.startswith(AIMED) for name in names)
    warm = iter(colormaps["YlOrRd"](np.linspace(0.2, 0.85, aimed)))
    cold = iter(colormaps["GnBu"](np.linspace(0.9, 0.3, len(names) - aimed)))
    return [next(warm if name.startswith(AIMED) else cold) for name in names]


def _draw_dimension(panel: Any, dimension: Dimension, top: float, color: str) -> None:
    """The distribution of actions of one number; top: the largest share of any file."""
    edges = np.linspace(dimension.low, dimension.high, len(dimension.histogram) + 1)
    _fill(panel, edges, 0, np.array(dimension.histogram), color)
    panel.set(xlabel="action", ylim=(0, 1.05 * top))


def _draw_dimensions(panel: Any, dimensions: Sequence[Dimension], color: str) -> None:
    """The distribution of each number of the actions, one above the other, equally high."""
    for i, dimension in enumerate(dimensions):
        edges = np.linspace(-1, 1, len(dimension.histogram) + 1)
        heights = np.array(dimension.histogram)
        _fill(panel, edges, i, 0.9 * heights / heights.max(), color)
    panel.set(xlabel="action, -1 and 1: its bounds", ylim=(0, None))
    panel.yaxis.get_major_locator().set_params(integer=True)


def _fill(panel: Any, edges: np.ndarray, base: float, heights: np.ndarray, color: str) -> None:
    tops = base + np.append(heights, heights[-1])
    panel.fill_between(edges, base, tops, step="post", color=color, alpha=0.35, linewidth=0)
    panel.step(edges, tops, where="post", color=color, linewidth=0.9)
