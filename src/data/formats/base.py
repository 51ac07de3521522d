"""What a format of recorded episodes is asked: is this yours, read it, write it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from data.read import Episodes
from data.schema import Metadata
from envs.base import EnvInfo
from utils.config import scenario
from utils.errors import DataError


@dataclass(frozen=True)
class Source:
    """A file, a folder or `minari:ID`, and what is known of it from elsewhere.

    stream: chunked files are read block by block, for passing through them once; else they are
    unpacked into memory. trust_pickle: code in the file may run.
    """

    name: str
    env: str = ""
    env_args: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = False
    trust_pickle: bool = False

    @property
    def path(self) -> Path:
        """Where it lies, if it is a file or folder."""
        return Path(self.name)

    @property
    def scenario(self) -> str:
        """The map or task."""
        return scenario(dict(self.env_args))

    def metadata(self, info: EnvInfo, quality: str, **made_with: Any) -> Metadata:
        """Of episodes whose file says nothing of policies and licence; made_with: what is known."""
        return Metadata(
            self.env, dict(self.env_args), info, quality,
            policies=[{"algorithm": quality}], made_with=made_with, licence="unknown",
        )  # fmt: skip


class Format(ABC):
    """One way to keep recorded episodes."""

    what: ClassVar[str]
    """In a few words, for messages and --help."""

    env_config: ClassVar[str] = "sc2"
    """The environment whose recordings usually have this format, where nothing says it."""

    @abstractmethod
    def recognises(self, name: str) -> bool:
        """Whether a source has this format; False for what is missing or damaged."""

    def takes(self, target: str) -> bool:
        """Whether a new file, folder or `minari:ID` of that name will have this format."""
        return False

    @abstractmethod
    def read(self, source: Source) -> Episodes:
        """Open the source; DataError where it is not what it should be."""

    def write(self, data: Episodes, target: str) -> list[str]:
        """Write all episodes to `target`, which is new -> what is lost, a sentence for each."""
        raise DataError(f"{target}: {self.what} is read, not written; choose another format")

    def key_of(self, name: str) -> str:
        """The map or task that the source's own name or metadata tells, or ""."""
        return ""
