"""Our own format; docs/datasets.md describes it."""

from __future__ import annotations

from data.formats.base import Format, Source
from data.open import hdf5_root
from data.read import Episodes, RecordedEpisodes


class Ours(Format):
    """One file of whole episodes, ragged, with its provenance. `data.write` writes it."""

    what = "this project's format"

    def recognises(self, name: str) -> bool:
        """Any HDF5 file that names a format."""
        return "format" in hdf5_root(name)[1]

    def takes(self, target: str) -> bool:
        """FILE.h5."""
        return target.endswith(".h5")

    def read(self, source: Source) -> Episodes:
        """The recorded episodes; what they are of stands in the file."""
        return RecordedEpisodes(source.path, source.stream)
