"""EpisodesOnDevice: recorded episodes in a device's memory, drawn there without the host."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from components.episode_batch import EpisodeBatch
from data.read import Episodes, Place
from data.schema import STEPS
from utils.errors import ConfigError

SHARE = 0.5  # of a GPU's free memory that the data may take


class EpisodesOnDevice:
    """Reads what `data` reads, from a copy of its rows on `device`, as they are stored."""

    def __init__(self, data: Episodes, device: torch.device) -> None:
        self._data, self._device = data, device
        n_rows = len(data.steps["rewards"])
        self._steps = {name: self._empty(name, n_rows) for name in STEPS}
        for start, columns, _ in data.blocks():
            for name, values in columns.items():
                self._steps[name][start : start + len(values)] = torch.from_numpy(np.array(values))

    def read(self, index: np.ndarray) -> EpisodeBatch:
        """The episodes of `index` (B,), padded to the longest of them by their last row."""
        return self._batch(self._data.place(index))

    def read_transitions(self, index: np.ndarray) -> EpisodeBatch:
        """The transitions of `index` (B,), counted through all episodes: B episodes of T = 1."""
        return self._batch(self._data.place_transitions(index))

    def _empty(self, name: str, n_rows: int) -> Tensor:
        field = self._data.steps[name]
        dtype = torch.from_numpy(np.empty(0, field.dtype)).dtype
        return torch.empty((n_rows, *field.shape[1:]), dtype=dtype, device=self._device)

    def _batch(self, place: Place) -> EpisodeBatch:
        rows, mask, terminated, truncated = (self._sent(values) for values in place)
        columns = {name: self._steps[name][rows] for name in STEPS}
        kind = torch.float32 if self._data.info.continuous else torch.int64
        return EpisodeBatch(
            obs=columns["obs"].float(),
            state=columns["state"].float(),
            avail_actions=columns["avail_actions"],
            actions=columns["actions"].to(kind),
            rewards=(columns["rewards"][:, :-1] * mask).float(),
            terminated=terminated,
            truncated=truncated,
            mask=mask,
        )

    def _sent(self, values: np.ndarray) -> Tensor:
        """On the device; from page-locked memory, so that the host does not wait."""
        tensor = torch.from_numpy(values)
        if self._device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self._device, non_blocking=True)


def place_data(
    data: Episodes, data_device: str, device: torch.device
) -> tuple[Episodes | EpisodesOnDevice, str]:
    """(what batches are read from, a line about it or "") for the run's `data_device`.

    auto: in the GPU's memory if the run is there and the data takes at most half of what is free,
    else where it lies. ConfigError where `cuda` is asked for and cannot be.
    """
    if data_device == "cpu" or (data_device == "auto" and device.type != "cuda"):
        return data, ""
    if device.type != "cuda":
        raise ConfigError("data_device=cuda goes with device=cuda; this run is on the CPU")
    size = data.row_bytes * len(data.steps["rewards"])
    free = torch.cuda.mem_get_info(device)[0]
    sizes = f"{size / 2**30:.2f} GiB of data, {free / 2**30:.2f} GiB free on the GPU"
    if size > SHARE * free:
        if data_device == "cuda":
            raise ConfigError(f"data_device=cuda: {sizes}, of which half may be used; use auto")
        return data, f"The data stays on disk: {sizes}"
    return EpisodesOnDevice(data, device), f"The data is in the GPU's memory: {sizes} before"
