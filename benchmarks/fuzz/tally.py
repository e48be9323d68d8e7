"""Results of fuzzing."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Tally:
    """Counts of one process, or of several.

    Attributes:
        executions: number of requests made.
        seconds: time they took, all processes together.
        statuses: number of answers by route and status, as in ``RAW 422``.
        faults: number of times that each fault occurred.
        files: for each fault, the file of the first request that showed it.
        held: longest time in seconds that one request kept the event loop.
        held_by: file of that request.
        memory: bytes that the process grew by at most in one request.
        pixels: number of pixels of the largest image that was decoded.
    """

    executions: int = 0
    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    files: dict[str, str] = field(default_factory=dict)
    held: float = 0.0
    held_by: str = ""
    memory: int = 0
    pixels: int = 0

    def blame(self, fault: str, data: bytes, folder: Path) -> None:
        """Count a fault and, the first time, keep the request that showed it."""
        self.faults[fault] += 1
        if fault not in self.files:
            self.files[fault] = keep(data, folder)

    def __add__(self, other: "Tally") -> "Tally":
        """Return both together."""
        slower = max(self, other, key=lambda tally: tally.held)
        return Tally(
            self.executions + other.executions,
            self.seconds + other.seconds,
            self.statuses + other.statuses,
            self.faults + other.faults,
            other.files | self.files,
            slower.held,
            slower.held_by,
            max(self.memory, other.memory),
            max(self.pixels, other.pixels),
        )

    def write(self, path: Path) -> None:
        """Write the tally for another process, which never finds it half written."""
        beside = path.with_suffix(".tmp")
        beside.write_text(json.dumps(vars(self)), encoding="utf-8")
        beside.replace(path)

    @classmethod
    def read(cls, path: Path) -> "Tally":
        """Read a tally that was written; an empty one where there is none yet."""
        if not path.exists():
            return cls()
        entry = json.loads(path.read_text(encoding="utf-8"))
        for counted in ("statuses", "faults"):
            entry[counted] = Counter(entry[counted])
        return cls(**entry)


def keep(data: bytes, folder: Path) -> str:
    """Write a request into a folder, under its hash, and return the file's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha256(data).hexdigest()[:16]
    path.write_bytes(data)
    return str(path)
