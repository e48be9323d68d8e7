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
    """A folder of arrays. A run that was killed finds in it what it had finished."""

    def __init__(self, path: Path) -> None:
        """Args: the folder; it is made when something is written."""
        self.path = path

    def within(self, name: str) -> "Workspace":
        """A folder inside this one."""
        return Workspace(self.path / name)

    def file(self, name: str, inputs: Mapping[str, Any], suffix: str = ".safetensors") -> Path:
        """Where a result is kept: its name with a digest of ``inputs``, JSON values that it depends on."""
        text = json.dumps(inputs, sort_keys=True)
        return self.path / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]}{suffix}"

    def arrays(self, name: str, inputs: Mapping[str, Any], make: Callable[[], Arrays]) -> Arrays:
        """The arrays kept under a name and its inputs; made and kept if there are none, or only damaged ones."""
        path = self.file(name, inputs)
        if path.exists():
            try:
                return load(path.read_bytes())
            except SafetensorError:
                path.unlink()
        made = {key: np.ascontiguousarray(value) for key, value in make().items()}
        write_atomically(path, save(made))
        return made
