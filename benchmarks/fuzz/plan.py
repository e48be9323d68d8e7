"""Task of one process of fuzzing."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

_BYTES_A_PIXEL, _COPIES = 64, 8
"""Most bytes of memory that decoding takes a pixel, all steps together, and most copies of a body.
"""


@dataclass(frozen=True)
class Plan:
    """Task of a process, and the limits of its requests.

    Attributes:
        stores: directories of the stores that are asked.
        executions: number of requests to make.
        number: number of the process.
        folder: folder for what is found.
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
        """Most bytes that the process may grow by in a request."""
        return _BYTES_A_PIXEL * self.max_pixels + _COPIES * self.max_body_bytes

    @property
    def tally(self) -> Path:
        """File of the process's tally."""
        return self.folder / f"tally-{self.number}.json"

    @property
    def log(self) -> Path:
        """File of libFuzzer's output."""
        return self.folder / f"log-{self.number}"

    @property
    def findings(self) -> Path:
        """Folder of requests with faults."""
        return self.folder / "findings"

    @property
    def corpus(self) -> Path:
        """Folder of requests that reach something new, shared by all processes and kept."""
        return self.folder / "corpus"

    def write(self) -> Path:
        """Write the plan into a file of the folder, and return the file's path."""
        path = self.folder / f"plan-{self.number}.json"
        path.write_text(json.dumps(asdict(self), default=str), encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """Read a plan that was written."""
        entry = json.loads(path.read_text(encoding="utf-8"))
        stores, folder = [Path(store) for store in entry.pop("stores")], Path(entry.pop("folder"))
        return cls(stores=stores, folder=folder, **entry)
