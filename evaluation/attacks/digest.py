"""Digests of the inputs that results depend on."""

import hashlib
from pathlib import Path

from mutant_guard.errors import ModelError


def digest(*parts: bytes) -> str:
    """Return the SHA-256 of the parts one after the other, in hexadecimal."""
    state = hashlib.sha256()
    for part in parts:
        state.update(part)
    return state.hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a classifier's file, in hexadecimal.

    Raises:
        ModelError: there is no such file.
    """
    try:
        return digest(path.read_bytes())
    except OSError as error:
        raise ModelError(
            f"there is no {path}; python -m evaluation.train writes it beside the ONNX file"
        ) from error
