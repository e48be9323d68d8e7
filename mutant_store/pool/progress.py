"""What a killed build leaves behind so that the next one goes on: which draws were accepted."""

import hashlib
import json
from pathlib import Path

from mutant_guard.store.atomic import write_atomically
from mutant_store.pool.accuracy_filter import Accepted


class FilterCheckpoint:
    """Accepted mutants of an unfinished build, valid only for the same inputs and the same versions.

    What a mutant changes is drawn again from its number: other versions of numpy may draw otherwise, so versions
    are among the inputs.
    """

    def __init__(self, path: Path, **inputs: object) -> None:
        """Args: the file, and everything the accepted mutants depend on."""
        text = json.dumps(inputs, sort_keys=True, default=str)
        self._path = path
        self._key = hashlib.sha256(text.encode()).hexdigest()

    def load(self) -> Accepted:
        """Candidates accepted so far, their mutants still to be drawn; empty where there is nothing of this build."""
        try:
            saved = json.loads(self._path.read_text(encoding="ascii"))
            if saved["key"] != self._key:
                return Accepted()
            return Accepted(saved["candidates"], [], saved["accuracies"], saved["drawn"])
        except (OSError, ValueError, KeyError, TypeError):
            return Accepted()

    def save(self, accepted: Accepted) -> None:
        """Replace the file by what is accepted now."""
        content = {
            "key": self._key,
            "candidates": accepted.candidates,
            "accuracies": accepted.accuracies,
            "drawn": accepted.drawn,
        }
        write_atomically(self._path, json.dumps(content).encode("ascii"))
