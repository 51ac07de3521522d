"""write_vault: recorded episodes as a vault that flashbax opens; whole or not at all."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data.formats.flat import transition_rows
from data.formats.vault_files import (
    MAX_STEPS,
    METADATA_FILE,
    OWN,
    VERSION,
    block_rows,
    import_tensorstore,
    spec_of,
)
from data.formats.whole import whole_or_nothing
from data.read import Episodes
from utils.logging import spans

GZIP = {"compressor": {"id": "gzip", "level": 5}}
LOST = [
    "the last observation, state and available actions, and the action there",
    "which policy played what", "seeds", "wins",
]  # fmt: skip


def write_vault(data: Episodes, folder: Path) -> list[str]:
    """Write every step of the episodes into `folder`, a new one -> what is lost.

    Everything is written beside it first, one array after the other and block by block.
    """
    with whole_or_nothing(folder) as work:
        work.mkdir()
        _fill(data, work)
    cut = data.episodes["truncated"]
    short = int((cut & (data.episodes["length"] == 1)).sum())
    learnt = [f"what follows the last step of {cut.sum()} episodes that met the limit"]
    gone = [f"{short} episodes cut after one step, which are left out on reading"]
    return [*LOST, *(learnt if cut.any() else []), *(gone if short else [])]


@contextlib.contextmanager
def _write_errors() -> Iterator[None]:
    """What TensorStore says of a full disk, say, becomes an OSError."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        raise OSError(str(error).partition(" [")[0][:200]) from error


def _fill(data: Episodes, folder: Path) -> None:
    leaves, steps = _leaves(data), data.n_transitions
    shapes, kinds = {}, {}
    for name, (values, dtype) in leaves.items():
        row = values(np.arange(1)).shape[1:]
        shapes[name], kinds[name] = f"{(1, steps, *row)}", np.dtype(dtype).name
        _write_leaf(data, folder, name, row, dtype, values)
    tensorstore = import_tensorstore()
    with _write_errors():
        index = tensorstore.open(
            spec_of(folder, "vault_index"), dtype="int32", shape=(1,), create=True
        ).result()
        index.write(np.array([steps], np.int32)).result()
    described = {
        "version": VERSION, "structure_shape": _tree(shapes), "structure_dtype": _tree(kinds),
        OWN: data.metadata.to_attributes(),
    }  # fmt: skip
    (folder / METADATA_FILE).write_text(json.dumps(described), encoding="utf-8")


def _leaves(data: Episodes) -> dict[str, tuple[Callable[[np.ndarray], np.ndarray], Any]]:
    """Name -> (transitions' numbers -> their values, dtype)."""
    n, steps = data.info.n_agents, data.steps
    ends = data.episodes["length"].cumsum(dtype=np.int64) - 1
    continuous = data.info.continuous

    def of_all(values: np.ndarray) -> np.ndarray:
        return np.repeat(np.asarray(values)[:, None], n, axis=1)

    def field(name: str) -> Callable[[np.ndarray], np.ndarray]:
        return lambda index: np.asarray(steps[name][transition_rows(data, index)])

    def ending(how: str) -> Callable[[np.ndarray], np.ndarray]:
        which = ends[data.episodes[how]]
        return lambda index: of_all(np.isin(index, which))

    leaves: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Any]] = {
        "observations": (field("obs"), np.float32),
        "actions": (field("actions"), np.float32 if continuous else np.int32),
        "rewards": (lambda index: of_all(field("rewards")(index)), np.float32),
        "terminals": (ending("terminated"), np.float32),
        "truncations": (ending("truncated"), np.float32),
    }
    if data.info.state_shape:
        leaves["infos.state"] = (field("state"), np.float32)
    if not continuous:
        leaves["infos.legals"] = (field("avail_actions"), np.float32)
    return leaves


def _write_leaf(
    data: Episodes, folder: Path, name: str, row: tuple[int, ...], dtype: Any,
    values: Callable[[np.ndarray], np.ndarray],
) -> None:  # fmt: skip
    """Whole chunks at once: a chunk that is written twice stays in the files twice."""
    spec = spec_of(folder, f"{name}.") | {"metadata": GZIP}
    tensorstore, kind = import_tensorstore(), np.dtype(dtype)
    with _write_errors():
        store = tensorstore.open(
            spec, dtype=kind.name, shape=(1, MAX_STEPS, *row), create=True
        ).result()
    size = block_rows(store)
    for start, stop in spans(f"writing {name}", data.n_transitions, size, " rows"):
        piece = values(np.arange(start, stop)).astype(kind, copy=False)
        with _write_errors():
            store[0, start:stop].write(piece).result()
        data.note_read(1, stop - start)


def _tree(leaves: dict[str, str]) -> dict[str, Any]:
    """`infos.state` becomes {"infos": {"state": ...}}."""
    tree: dict[str, Any] = {}
    for name, value in leaves.items():
        group, _, leaf = name.rpartition(".")
        (tree.setdefault(group, {}) if group else tree)[leaf] = value
    return tree
