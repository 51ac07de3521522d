"""The checksum of a file of our format, computed while its rows are looked at."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from data.checks.view import View
from data.findings import Finding, Kind
from data.read import Episodes, RecordedEpisodes
from data.schema import BITS, Digest, stored_shapes


class Content:
    """The sum over all blocks; that of version 1 takes a pass of its own, field after field."""

    def __init__(self, data: Episodes) -> None:
        self._data = data if isinstance(data, RecordedEpisodes) else None
        self._digest: Digest | None = None
        if self._data is not None and self._data.version > 1:
            self._digest = Digest(self._data.attributes)

    def see(self, view: View) -> None:
        """The next block, its rows as they are stored."""
        if self._digest is None:
            return
        for name in stored_shapes(view.data.info, half=False):
            if name == BITS:
                avail = view.columns["avail_actions"]
                self._digest.update(f"steps/{name}", np.packbits(avail.reshape(len(avail), -1), -1))
            else:
                self._digest.update(f"steps/{name}", view.columns[name])

    def difference(self) -> str:
        """What there is to say where the sum is not the recorded one, else ""."""
        return "" if self._data is None else differs(self._data, self._found(self._data))

    def _found(self, data: RecordedEpisodes) -> str:
        if self._digest is None:
            return data.digest()
        for name, values in data.episodes.items():
            self._digest.update(f"episodes/{name}", values)
        return self._digest.hexdigest()


def differs(data: RecordedEpisodes, found: str) -> str:
    """Both sums where the content's sha256 is not the recorded one, else ""."""
    if found == data.sha256:
        return ""
    return (
        f"was changed after it was written: its content has sha256 {found[:12]}..., recorded was "
        f"{data.sha256[:12]}..."
    )


def check_content(content: Content) -> Iterator[Finding]:
    """The content is what was written."""
    difference = content.difference()
    if difference:
        yield Finding(
            Kind.CHANGED, f"the file {difference}", "a value is not the one recorded; copy it again"
        )  # fmt: skip
