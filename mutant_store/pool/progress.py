"""Record of a build's accepted draws, from which a build goes on after it was killed."""

import hashlib
import json
from pathlib import Path

from mutant_guard.store.atomic import write_atomically
from mutant_store.pool.accuracy_filter import Accepted


class FilterCheckpoint:
    """Accepted mutants of an unfinished build.

    They are valid only for the same inputs and the same versions. The change of a mutant is drawn
    again from the mutant's number. Other versions of numpy may draw otherwise, so versions are
    among the inputs.
    """

    def __init__(self, path: Path, **inputs: object) -> None:
        """Name the file and the build.

        Args:
            path: the file.
            **inputs: everything that the accepted mutants depend on.
        """
        text = json.dumps(inputs, sort_keys=True, default=str)
        self._path = path
        self._key = hashlib.sha256(text.encode()).hexdigest()

    def load(self) -> Accepted:
        """Return the candidates accepted so far, with their mutants still to be drawn.

        The result is empty where the file holds nothing of this build.
        """
        try:
            saved = json.loads(self._path.read_text(encoding="ascii"))
            if saved["key"] != self._key:
                return Accepted()
            return Accepted(saved["candidates"], [], saved["accuracies"], saved["drawn"])
        except (OSError, ValueError, KeyError, TypeError):
            return Accepted()

    def save(self, accepted: Accepted) -> None:
        """Replace the content of the file by the mutants accepted now."""
        content = {
            "key": self._key,
            "candidates": accepted.candidates,
            "accuracies": accepted.accuracies,
            "drawn": accepted.drawn,
        }
        write_atomically(self._path, json.dumps(content).encode("ascii"))
