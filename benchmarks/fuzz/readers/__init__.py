"""Files that a build is given: made, changed, and read as a build reads them."""

from benchmarks.fuzz.readers.base import Target
from benchmarks.fuzz.readers.targets import TARGETS

__all__ = ["TARGETS", "Target"]
