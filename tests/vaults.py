"""Vaults of OG-MARL's kind: by flashbax itself, and with TensorStore alone, also wrong ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
N, A, OBS, STATE = 3, 9, 30, 48  # 3m's


def arrays_of(ends: str, seed: int = 0) -> Arrays:
    """ends: a letter for each step: `.` goes on, `T` terminal, `L` time limit, `B` both."""
    rng, steps = np.random.default_rng(seed), len(ends)
    legals = rng.random((steps, N, A)) < 0.5
    actions = rng.integers(0, A, (steps, N))
    np.put_along_axis(legals, actions[..., None], True, axis=-1)
    letters = np.array(list(ends))
    return {
        "observations": rng.normal(size=(steps, N, OBS)).astype(np.float32),
        "actions": actions.astype(np.int32),
        "rewards": _of_all(rng.integers(0, 8, steps) / 4),
        "terminals": _of_all(np.isin(letters, ["T", "B"])),
        "truncations": _of_all(np.isin(letters, ["L", "B"])),
        "infos.state": rng.normal(size=(steps, STATE)).astype(np.float32),
        "infos.legals": legals.astype(np.float32),
    }


def _of_all(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[:, None], N, axis=1).astype(np.float32)


def flashbax_vault(folder: Path, arrays: Arrays) -> Path:
    """Written by flashbax at `folder`/3m.vlt/Good."""
    import jax.numpy as jnp
    from flashbax.buffers.trajectory_buffer import TrajectoryBufferState
    from flashbax.vault import Vault

    experience: dict[str, Any] = {k: jnp.asarray(v)[None] for k, v in arrays.items()}
    experience["infos"] = {k: experience.pop(f"infos.{k}") for k in ("state", "legals")}
    steps = len(arrays["rewards"])
    state = TrajectoryBufferState(
        experience=experience, current_index=jnp.array(steps), is_full=jnp.array(False)
    )
    vault = Vault(
        "3m.vlt", experience, rel_dir=str(folder), vault_uid="Good", metadata={"by": "us"}
    )
    assert vault.write(state) == steps
    return folder / "3m.vlt" / "Good"


def plain_vault(
    folder: Path, arrays: Arrays, index: int | None = None, version: Any = 1.2, old: bool = False
) -> Path:
    """Written with TensorStore at `folder`/3m.vlt/Good; old: names as before version 1."""
    path = folder / "3m.vlt" / "Good"
    path.mkdir(parents=True)
    for name, values in arrays.items():
        shape = (1, 10**13, *values.shape[1:])
        keystr = "".join(f"['{part}']" for part in name.split("."))
        store = _open(path, keystr if old else f"{name}.", values.dtype.name, shape)
        store[0, : len(values)].write(values).result()
    steps = len(arrays["rewards"]) if index is None else index
    _open(path, "vault_index", "int32", (1,)).write(np.array([steps], np.int32)).result()
    (path / "metadata.json").write_text(json.dumps({"version": version}))
    return path


def _open(path: Path, name: str, dtype: str, shape: tuple[int, ...]) -> Any:
    import tensorstore

    kvstore = {"driver": "ocdbt", "base": f"file://{path}", "path": name}
    spec = {"driver": "zarr", "kvstore": kvstore}
    return tensorstore.open(spec, dtype=dtype, shape=shape, create=True).result()
