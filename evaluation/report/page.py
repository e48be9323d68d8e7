"""Page of a report that is made of its results alone, without pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from mutant_guard.store.atomic import write_atomically

RESULTS, REPORT = "results.json", "report.md"

_R = TypeVar("_R", bound=BaseModel)


@dataclass(frozen=True)
class Page(Generic[_R]):
    """Page in Markdown, with the results it is made of beside it.

    Attributes:
        model: class of the results.
        markdown: function that returns the page of some results.
    """

    model: type[_R]
    markdown: Callable[[_R], str]

    def write(self, results: _R, folder: Path) -> None:
        """Write the page and the results; the same results give the same bytes.

        Raises:
            OSError: the folder or a file cannot be written.
        """
        write_atomically(folder / RESULTS, (results.model_dump_json(indent=1) + "\n").encode())
        write_atomically(folder / REPORT, self.markdown(results).encode())

    def rerender(self, folder: Path) -> bool:
        """Make the page anew from the ``results.json`` in its folder, if these are such results.

        Returns:
            Whether they are.
        """
        try:
            results = self.model.model_validate_json((folder / RESULTS).read_bytes())
        except (OSError, ValidationError):
            return False
        self.write(results, folder)
        return True
