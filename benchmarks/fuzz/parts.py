"""Image files as lists of their parts, read and written: PNG and WebP chunks, JPEG segments."""

import struct
import zlib
from dataclasses import dataclass

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_SCAN = b"\xda"


@dataclass
class Part:
    """Chunk or segment: its kind (4 letters, or a JPEG marker's second byte) and its content."""

    kind: bytes
    content: bytes


@dataclass
class Parts:
    """File of a format (PNG, JPEG, WEBP) in parts, and what is behind them: a JPEG's scans."""

    format: str
    parts: list[Part]
    rest: bytes = b""

    def file(self) -> bytes:
        """Return the file, with every length and checksum right."""
        return {"PNG": _png_file, "JPEG": _jpeg_file, "WEBP": _webp_file}[self.format](self)


def read(body: bytes) -> Parts | None:
    """Read the parts of a file as far as they can be told apart.

    Returns:
        The parts, or None where the file has none of these formats.
    """
    if body.startswith(PNG_MAGIC):
        return _read_png(body)
    if body.startswith(b"\xff\xd8"):
        return _read_jpeg(body)
    return _read_webp(body) if body.startswith(b"RIFF") and body[8:12] == b"WEBP" else None


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _read_png(body: bytes) -> Parts:
    parts, at = [], len(PNG_MAGIC)
    while at + 8 <= len(body):
        end = at + 8 + int.from_bytes(body[at : at + 4], "big")
        parts.append(Part(body[at + 4 : at + 8], body[at + 8 : end]))
        at = end + 4
    return Parts("PNG", parts, body[at:])


def _png_file(parts: Parts) -> bytes:
    chunks = [png_chunk(part.kind[:4].ljust(4, b"x"), part.content) for part in parts.parts]
    return PNG_MAGIC + b"".join(chunks) + parts.rest


def _read_jpeg(body: bytes) -> Parts:
    parts, at = [], 2
    while at + 4 <= len(body) and body[at] == 0xFF:
        end = at + 2 + max(2, int.from_bytes(body[at + 2 : at + 4], "big"))
        kind = body[at + 1 : at + 2]
        parts.append(Part(kind, body[at + 4 : end]))
        at = end
        if kind == _SCAN:
            break
    return Parts("JPEG", parts, body[at:])


def _jpeg_file(parts: Parts) -> bytes:
    segments = [
        b"\xff" + part.kind[:1] + struct.pack(">H", len(part.content[:65_533]) + 2) + part.content[:65_533]
        for part in parts.parts
    ]
    return b"\xff\xd8" + b"".join(segments) + parts.rest


def _read_webp(body: bytes) -> Parts:
    parts, at = [], 12
    while at + 8 <= len(body):
        length = int.from_bytes(body[at + 4 : at + 8], "little")
        parts.append(Part(body[at : at + 4], body[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return Parts("WEBP", parts, body[at:])


def _webp_file(parts: Parts) -> bytes:
    chunks = b"".join(
        part.kind[:4].ljust(4)
        + struct.pack("<I", len(part.content))
        + part.content
        + b"\0" * (len(part.content) % 2)
        for part in parts.parts
    )
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks + parts.rest
