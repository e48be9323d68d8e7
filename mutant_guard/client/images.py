"""Images that the client takes."""

from os import PathLike
from pathlib import Path
from typing import BinaryIO

Image = bytes | PathLike[str] | BinaryIO
"""Bytes of an image file, its path, or a file that is open for reading bytes."""


def content(image: Image) -> bytes:
    """Return the bytes of an image file.

    Raises:
        OSError: the file cannot be read.
        TypeError: the image is of none of these types.
    """
    if isinstance(image, bytes):
        return image
    if isinstance(image, PathLike):
        return Path(image).read_bytes()
    if isinstance(image, bytearray | memoryview):
        return bytes(image)
    found = image.read() if hasattr(image, "read") else None
    if not isinstance(found, bytes):
        raise TypeError(
            f"an image is bytes, a Path or a file that is open for reading bytes, not {type(image).__name__}"
            + ("; wrap the name of a file in Path()" if isinstance(image, str) else "")
        )
    return found
