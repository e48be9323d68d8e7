"""Reduction of image files to the parts that make the picture.

Pillow reads metadata in Python, piece by piece, and unpacks it when the file is opened, before a
limit can be checked. A file within every limit on bytes and pixels kept it busy for half a minute.
So metadata of that size never reaches Pillow.

PNG: https://www.w3.org/TR/png-3/#5DataRep. JPEG: ITU-T T.81, annex B,
https://www.w3.org/Graphics/JPEG/itu-t81.pdf.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from mutant_guard.errors import BadImageError

MAX_PARTS = 1 << 14
"""Most chunks of a PNG file, and segments of a JPEG file before its first scan."""

MAX_SCANS = 100
"""Most scans of a JPEG file.

Each scan goes through the whole picture, and takes eleven bytes. Encoders write ten or so.
"""

_MAX_TEXT = 1 << 18
"""Most bytes that a text of a PNG file is unpacked to."""

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_PICTURE_CHUNKS = frozenset(
    (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT")  # the last three: of animations
)
_SINGLE_CHUNKS = frozenset((b"IHDR", b"tRNS"))
_SAMPLES = {0: 1, 2: 3}
"""Samples of a pixel by colour type, where a tRNS chunk names one colour: grey and RGB."""
_TEXT_CHUNKS = frozenset((b"tEXt", b"zTXt", b"iTXt"))
_EXIF_KEY, _XMP_KEY = b"Raw profile type exif\0", b"XML:com.adobe.xmp\0"
CHUNK = struct.Struct(">I4s")
_WEBP_HEADER_BYTES = 30

_JFIF, _EXIF, _ADOBE, _LAST_APP, _COMMENT = 0xE0, 0xE1, 0xEE, 0xEF, 0xFE
SCAN, _END = 0xDA, 0xD9
_EXIF_NAME, _XMP_NAME = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
# Markers of segments. 0xFF before one of the excluded bytes begins no segment: a stuffed byte,
# arithmetic coding, a restart, the start of the image, padding.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
# Bytes that are searched in one go; no other thread runs meanwhile.
_STRETCH = 1 << 18


@dataclass(frozen=True)
class Colour:
    """Colour as a PNG file states it.

    Attributes:
        samples: one number for grey, three for RGB; bits above the depth do not count.
        depth: bits a sample of the file: 1, 2, 4, 8 or 16.
    """

    samples: tuple[int, ...]
    depth: int


@dataclass(frozen=True)
class Picture:
    """Image file for the decoder.

    Attributes:
        file: the parts of the file that make the picture.
        exif: EXIF data of the file; empty where there is none.
        xmp: XMP data of the file; empty where there is none.
        transparent: the one colour that a PNG file without palette calls transparent; None where
            there is none.
    """

    file: bytes
    exif: bytes = b""
    xmp: bytes = b""
    transparent: Colour | None = None


def picture(body: bytes) -> Picture:
    """Take the picture out of a PNG or JPEG file; leave other files as they are.

    Metadata that cannot be unpacked counts as none.

    Raises:
        BadImageError: the file has more parts or scans than any encoder writes, its metadata is
            too large unpacked, or it is ambiguous what is transparent in it.
    """
    if body.startswith(PNG):
        return _png(body)
    return _jpeg(body) if body.startswith(JPEG) else Picture(body)


def webp_size(body: bytes) -> tuple[int, int] | None:
    """Return the width and height that a WebP file declares, or None for another file.

    Pillow allocates memory for them when it opens a WebP file. Source:
    https://www.rfc-editor.org/rfc/rfc9649, sections 2.5 to 2.7.
    """
    if not (body.startswith(b"RIFF") and body[8:12] == b"WEBP" and len(body) >= _WEBP_HEADER_BYTES):
        return None
    match body[12:16]:
        case b"VP8X":
            return int.from_bytes(body[24:27], "little") + 1, int.from_bytes(body[27:30], "little") + 1
        case b"VP8L":
            bits = int.from_bytes(body[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", body, 26)
            return width & 0x3FFF, height & 0x3FFF
    return None


def _png(body: bytes) -> Picture:
    kept, exif, texts = [PNG], b"", {}
    once: dict[bytes, bytes] = {}
    at, parts = len(PNG), 0
    while at + CHUNK.size <= len(body) and parts < MAX_PARTS:
        length, kind = CHUNK.unpack_from(body, at)
        data, end = at + CHUNK.size, at + length + 12
        if kind in _SINGLE_CHUNKS and once.setdefault(kind, body[at:end]) != body[at:end]:
            raise BadImageError(f"the image has several {kind.decode()} chunks; save it anew")
        if kind == b"tRNS" and _colour_type(once) in _SAMPLES:
            pass  # Pillow takes its samples for 8-bit ones, and so changes or clips others
        elif kind in _PICTURE_CHUNKS:
            kept.append(body[at:end])
        elif kind == b"eXIf":
            exif = body[data : data + length]
        elif kind in _TEXT_CHUNKS:
            texts[body[data : data + len(_EXIF_KEY)]] = (kind, body[data : data + length])
        at, parts = end, parts + 1
        if kind == b"IEND":
            break
    if parts == MAX_PARTS:
        raise _too_many("chunks", MAX_PARTS)
    transparent, file = _transparent(once), b"".join(kept)
    if not texts:
        return Picture(file, exif, transparent=transparent)
    return Picture(file, exif or _raw_profile(texts), _text(texts, _XMP_KEY), transparent)


def _colour_type(once: dict[bytes, bytes]) -> int:
    """Return the colour type of the header; one that there is not where the header is missing or short."""
    return int.from_bytes(once.get(b"IHDR", b"")[17:18] or b"\xff")


def _transparent(once: dict[bytes, bytes]) -> Colour | None:
    """Return the transparent colour of a grey or RGB image."""
    samples, found = _SAMPLES.get(_colour_type(once), 0), once.get(b"tRNS")
    if found is None or not samples:
        return None
    if len(found) != 12 + 2 * samples or zlib.crc32(found[4:-4]) != int.from_bytes(found[-4:]):
        raise BadImageError("the image's tRNS chunk is damaged; save it anew")
    return Colour(struct.unpack_from(f">{samples}H", found, CHUNK.size), once[b"IHDR"][16])


def _text(texts: dict[bytes, tuple[bytes, bytes]], key: bytes) -> bytes:
    """Return the text of a keyword, which ends with a zero byte; empty where there is none."""
    found = next((text for start, text in texts.items() if start.startswith(key)), None)
    if found is None:
        return b""
    kind, content = found[0], found[1][len(key) :]
    packed = kind == b"zTXt"
    if kind == b"iTXt":
        packed = content[:1] != b"\0"
        content = (
            content[:2] + content[2:].split(b"\0", 2)[-1]
        )  # behind the language and the translated keyword
        content = content[1:] if packed else content[2:]
    if not packed:
        return content
    try:
        text = zlib.decompressobj().decompress(
            content[1:], _MAX_TEXT + 1
        )  # behind the compression method: there is only one
    except zlib.error:
        return b""
    if len(text) > _MAX_TEXT:
        raise BadImageError(f"the image's metadata unpacks to more than {_MAX_TEXT:,} bytes; save it without")
    return text


def _raw_profile(texts: dict[bytes, tuple[bytes, bytes]]) -> bytes:
    """Return EXIF data from a text that ImageMagick writes.

    The text has an empty line, the kind of data, its length, and lines of hexadecimal.
    """
    lines = _text(texts, _EXIF_KEY).split(b"\n", 3)
    try:
        return bytes.fromhex(lines[3].decode("ascii")) if len(lines) > 3 else b""
    except ValueError:
        return b""


def _jpeg(body: bytes) -> Picture:
    kept, exif, xmp = [JPEG], [], b""
    for count, (code, start, end) in enumerate(segments(body, len(JPEG))):
        if count == MAX_PARTS:
            raise _too_many("segments", MAX_PARTS)
        if code == SCAN:
            _check_scans(body, start)
            kept.append(body[start:])
            break
        if code == _EXIF:
            content = body[start + 4 : end]
            if content.startswith(_EXIF_NAME):
                exif.append(content[len(_EXIF_NAME) :])
            elif content.startswith(_XMP_NAME):
                xmp = content[len(_XMP_NAME) :]
        elif code in (_JFIF, _ADOBE) or not (_JFIF < code <= _LAST_APP or code == _COMMENT):
            kept.append(body[start:end])
    return Picture(b"".join(kept), b"".join(exif), xmp)


def _check_scans(body: bytes, at: int) -> None:
    if body.count(b"\xff\xda", at) <= MAX_SCANS:
        return
    # Bytes after the picture may hold more such markers; a part of the picture does not.
    scans = 0
    for code, _, _ in segments(body, at):
        scans += code == SCAN
        if scans > MAX_SCANS:
            raise _too_many("scans", MAX_SCANS)


def segments(body: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of every segment with a length, up to the end of the image."""
    while at < len(body):
        found = _MARKER.search(body, at, at + _STRETCH)
        if found is None:
            at += _STRETCH - 1
            continue
        start, code = found.start(), body[found.start() + 1]
        if code == _END:
            return
        at = start + 2 + max(2, int.from_bytes(body[start + 2 : start + 4], "big"))
        yield code, start, at


def _too_many(what: str, most: int) -> BadImageError:
    return BadImageError(f"the image is in more than {most:,} {what}; save it anew")
