"""Cards as text: one with all its provenance, several in a table with a column for each."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from data.card import DEFINITIONS, QUANTILES, Card, labels, spread

WIDTH = 100
LABELS = 23  # characters
SHARED = ("format", "env", "numbers", "licence", "policies")
"""What stands above the table where all files agree."""


def text(cards: Sequence[Card]) -> str:
    """What is in the files, in words."""
    if len(cards) == 1:
        (card,) = cards
        facts = _facts(card) | {"actions": "  ".join(" ".join(a) for a in _actions(card).items())}
        rows = [[name, value] for name, value in facts.items()]
        rows += [[f"policy {i}", _policy(facts)] for i, facts in enumerate(card.policies)]
        rows += [["made with", flat(card.made_with)], ["sha256", f"{card.sha256} (content)"]]
        return "\n".join([f"{'file':25}{card.file}", *_lines(rows), "", *_notes([card])])
    columns = [
        {"": name} | _facts(card) | {"policies": str(len(card.policies))}
        | {"sha256": card.sha256[:12]} | _actions(card)
        for name, card in zip(labels(cards), cards, strict=True)
    ]  # fmt: skip
    names = dict.fromkeys(name for column in columns for name in column)
    rows = [[name, *(column.get(name, "") for column in columns)] for name in names]
    shared = [row for row in rows if row[0] in SHARED and len(set(row[1:])) == 1]
    own = [row for row in rows if row not in shared]
    top = [*_lines([row[:2] for row in shared]), ""] if shared else []
    return "\n".join([*top, *_lines(own), "", *_notes(cards)])


def flat(values: dict[str, Any]) -> str:
    """Facts as KEY=VALUE in one line; what several say, a package's version, is said once."""
    return " ".join(dict.fromkeys(_parts(values)))


def _parts(values: dict[str, Any]) -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _parts(value)
        elif isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
            for i, inner in enumerate(value):
                yield f"{key}[{i}]=({flat(inner)})"
        else:
            yield f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"


def _facts(card: Card) -> dict[str, str]:
    """What is short, by its name."""
    facts = {
        "format": f"{card.format}, {card.precision}",
        **({"size": _size(card.size)} if card.size is not None else {}),
        "env": f"{card.env} {flat(card.env_args)}".strip(),
        "numbers": card.info.numbers(),
        "quality": card.quality,
        "licence": card.licence,
        "episodes": f"{len(card.returns):,}",
        "transitions": f"{card.transitions:,}",
    }
    for name, values in (("return", card.returns), ("length", card.lengths)):
        figures = spread(values)
        facts[f"{name}, mean ± std"] = f"{figures['mean']:.2f} ± {figures['std']:.2f}"
        marks = " / ".join(f"{mark:.1f}" for mark in figures["quantiles"].values())
        facts[f"{name}, {_marks()}"] = marks
        if name == "return" and card.levels:
            facts["level"] = str(card.level)
            facts[" / ".join(card.levels)] = " / ".join(f"{s:.1%}" for s in card.levels.values())
    return facts | {
        "won": f"{card.won:.1%}",
        "terminated": f"{card.terminated:.1%}",
        "truncated (time limit)": f"{card.truncated:.1%}",
        "SACo": f"{card.coverage:.3f} ({card.pairs:,} different pairs)",
        **_entropy(card),
    }


def _marks() -> str:
    return "/".join(f"{100 * mark:g}" for mark in QUANTILES) + "%"


def _entropy(card: Card) -> dict[str, str]:
    choices = card.choices
    if choices is None:
        return {}
    share = f"{choices.entropy_share:.1%} of log {len(choices.shares)}"
    return {
        "decisions": f"{choices.decisions:,}, of {choices.available:.2f} available actions",
        "entropy": f"{choices.entropy:.3f} nats ({share})",
    }


def _actions(card: Card) -> dict[str, str]:
    """Each action's share of the decisions, or each dimension's mean and standard deviation."""
    if card.choices:
        return {name: f"{share:.1%}" for name, share in card.choices.shares.items()}
    return {f"dimension {i}": f"{d.mean:.2f} ± {d.std:.2f}" for i, d in enumerate(card.dimensions)}


def _policy(facts: dict[str, Any]) -> str:
    others = {key: value for key, value in facts.items() if not key.startswith("recorded_")}
    mean = facts["recorded_return_mean"]
    shown = f", mean {mean:.2f}" if mean is not None else ""
    return f"{facts['recorded_episodes']} episodes{shown}: {flat(others)}"


def _notes(cards: Sequence[Card]) -> list[str]:
    """DEFINITIONS of what the cards have."""
    names = ["SACo"]
    names += ["level"] if any(card.levels for card in cards) else []
    names += ["entropy"] if any(card.choices for card in cards) else []
    return [
        line
        for name, meaning in DEFINITIONS.items()
        if name in names
        for line in textwrap.wrap(f"{name}: {meaning}", WIDTH, subsequent_indent="  ")
    ]


def _size(size: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} bytes"


def _lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns two spaces apart."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    if len(widths) == 2:
        widths = [LABELS, 0]
    return [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
