"""What one process of fuzzing is to do."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

_BYTES_A_PIXEL, _COPIES = 64, 8
"""Most memory that decoding takes a pixel, all steps together, and how often a body may be copied."""


@dataclass(frozen=True)
class Plan:
    """What it asks, and what may come of it.

    Attributes:
        stores: directories of the stores that are asked.
        executions: how many requests are made.
        number: which process this is.
        folder: where what is found goes.
        max_pixels: most pixels of an image.
        max_body_bytes: most bytes of a body.
        most_held: longest time in seconds that a request may keep the event loop.
    """

    stores: Sequence[Path]
    executions: int
    number: int
    folder: Path
    max_pixels: int = 1 << 20
    max_body_bytes: int = 1 << 20
    most_held: float = 0.25

    @property
    def most_memory(self) -> int:
        """Bytes the process may grow by in a request."""
        return _BYTES_A_PIXEL * self.max_pixels + _COPIES * self.max_body_bytes

    @property
    def tally(self) -> Path:
        """The file of what it came to."""
        return self.folder / f"tally-{self.number}.json"

    @property
    def log(self) -> Path:
        """What libFuzzer says."""
        return self.folder / f"log-{self.number}"

    @property
    def findings(self) -> Path:
        """The folder of requests with faults."""
        return self.folder / "findings"

    @property
    def corpus(self) -> Path:
        """The folder of requests that reach something new, shared by all processes and kept for the next time."""
        return self.folder / "corpus"

    def write(self) -> Path:
        """Into a file of the folder."""
        path = self.folder / f"plan-{self.number}.json"
        path.write_text(json.dumps(asdict(self), default=str), encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """What was written."""
        entry = json.loads(path.read_text(encoding="utf-8"))
        stores, folder = [Path(store) for store in entry.pop("stores")], Path(entry.pop("folder"))
        return cls(stores=stores, folder=folder, **entry)
