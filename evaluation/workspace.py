"""Intermediate results on disk: made once, named after all that they depend on."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from mutant_guard.store.atomic import write_atomically

Arrays = dict[str, NDArray[Any]]

_DIGEST = 12


class Workspace:
    """Folder of arrays, in which a run that was killed finds what it had finished."""

    def __init__(self, path: Path) -> None:
        """Name the folder; it is made when something is written."""
        self.path = path

    def within(self, name: str) -> "Workspace":
        """Return a folder inside this one."""
        return Workspace(self.path / name)

    def file(self, name: str, inputs: Mapping[str, Any], suffix: str = ".safetensors") -> Path:
        """Return the file of a result: its name with a digest of its inputs.

        Args:
            name: name of the result.
            inputs: JSON values that the result depends on.
            suffix: suffix of the file.
        """
        text = json.dumps(inputs, sort_keys=True)
        return self.path / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]}{suffix}"

    def arrays(self, name: str, inputs: Mapping[str, Any], make: Callable[[], Arrays]) -> Arrays:
        """Return the arrays kept under a name and its inputs.

        They are made and kept if there are none, or only damaged ones.
        """
        path = self.file(name, inputs)
        if path.exists():
            try:
                return load(path.read_bytes())
            except SafetensorError:
                path.unlink()
        made = {key: np.ascontiguousarray(value) for key, value in make().items()}
        write_atomically(path, save(made))
        return made
