"""Finding Minari's sets on this machine, or downloading them; Minari is imported when needed."""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator
from typing import Any

from data.schema import MINARI, Metadata
from utils.errors import DataError, MissingExtraError

OWN = "icq_episodes"
"""The key of a set's metadata under which this project keeps its own."""


def load(name: str) -> Any:
    """The set `minari:ID`; what is not on this machine is downloaded."""
    minari, dataset_id = import_minari(), checked_id(name)
    try:
        with quiet():
            if dataset_id not in minari.list_local_datasets():
                minari.download_dataset(dataset_id)
            return minari.load_dataset(dataset_id)
    except Exception as error:  # of every library below it: HTTP, hub, files
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(
            f"{name} is not on this machine and could not be downloaded ({reason}); "
            "`minari list local` and `minari list remote` say what there is"
        ) from error


def own_metadata(name: str, dataset: Any) -> Metadata | None:
    """Where the episodes come from, if this project wrote the set."""
    stored = dataset.storage.metadata.get(OWN)
    if stored is None:
        return None
    try:
        return Metadata.from_attributes(stored)
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{name}: {OWN} in its metadata is damaged ({error})") from error


def checked_id(name: str) -> str:
    """ID of `minari:ID`; DataError where Minari does not take it."""
    import_minari()
    from minari.dataset.minari_dataset import parse_dataset_id

    dataset_id = name.removeprefix(MINARI)
    if not re.search(r"-v\d+$", dataset_id):
        raise DataError(f"{name} has no version; write {name}-v0, say")
    try:
        parse_dataset_id(dataset_id)
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{name} is no name of a Minari set: {reason}") from error
    return dataset_id


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without advice to authors and without a line for every try of the network."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def import_minari() -> Any:
    """The module; MissingExtraError without it."""
    try:
        import minari
    except ImportError as error:
        raise MissingExtraError("Minari", "d4rl") from error
    return minari
