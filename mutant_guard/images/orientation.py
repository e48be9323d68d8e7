"""Orientation of an image, from its metadata without reading the rest of it.

EXIF 2.32, https://www.cipa.jp/std/documents/e/DC-008-Translation-2019-E.pdf: a TIFF file without
the picture. XMP names the same tag (part 2, 2.2).
"""

import re
import struct

UPRIGHT = 1

_TAG = 0x0112
_NAME = b"Exif\0\0"
_NUMBERS = {3: "H", 4: "I"}
_ENTRY_BYTES = 12
_MAGIC = (b"*\0", b"\0*")  # some writers get the byte order of this number wrong
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


def orientation(exif: bytes, xmp: bytes) -> int:
    """Return the orientation that EXIF declares, else the one of XMP.

    EXIF data that is damaged, or none at all, declares nothing: the picture beside it is whole.

    Args:
        exif: EXIF data, with or without its name before it; may be empty.
        xmp: XMP data; may be empty.

    Returns:
        1 (upright) to 8.
    """
    said = _said(exif.removeprefix(_NAME).removeprefix(_NAME))
    if said is None and (found := _XMP.search(xmp)) is not None:
        said = int(found[1])
    return said if said is not None and 1 <= said <= 8 else UPRIGHT


def exif_of(said: int) -> bytes:
    """Return EXIF data that holds an orientation and nothing else."""
    return _NAME + b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, _TAG, 3, 1, said, 0, 0)


def _said(tiff: bytes) -> int | None:
    """Return the orientation in the first directory, or None where it is not there."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or tiff[2:4] not in _MAGIC or len(tiff) < 8:
        return None
    (at,) = struct.unpack_from(f"{order}I", tiff, 4)
    count = int.from_bytes(tiff[at : at + 2], "little" if order == "<" else "big")
    entries = tiff[at + 2 : at + 2 + count * _ENTRY_BYTES]
    for start in range(0, len(entries) - _ENTRY_BYTES + 1, _ENTRY_BYTES):
        tag, kind, values = struct.unpack_from(f"{order}HHI", entries, start)
        if tag == _TAG:
            number = _NUMBERS.get(kind)
            return (
                struct.unpack_from(f"{order}{number}", entries, start + 8)[0]
                if number and values == 1
                else None
            )
    return None
