"""Interface of a kind of file that is fuzzed."""

from abc import ABC, abstractmethod
from pathlib import Path
from random import Random
from typing import ClassVar


class Target(ABC):
    """Kind of file that a build reads."""

    name: ClassVar[str]

    @abstractmethod
    def seeds(self) -> list[bytes]:
        """Return files that are read without a complaint."""

    @abstractmethod
    def mutated(self, content: bytes, random: Random) -> bytes:
        """Return a file similar to another one."""

    @abstractmethod
    def read(self, content: bytes, folder: Path) -> None:
        """Read a file as a build does.

        Args:
            content: bytes of the file.
            folder: empty folder for it.

        Raises:
            GuardError: the file is refused.
        """
