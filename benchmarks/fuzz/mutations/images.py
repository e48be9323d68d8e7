"""Changes of image files that keep most of them whole, so that faults are found deep inside."""

import struct
import zlib
from random import Random

from benchmarks.fuzz import seeds
from benchmarks.fuzz.mutations.scramble import Scramble, scramble
from benchmarks.fuzz.parts import Part, Parts, read

_SIZES = (
    *(0, 1, 2, 7, 8, 9, 24, 255, 256, 4096, 16_383, 16_384, 65_535, 65_536),
    *(1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1),
)
_WORDS = (
    b"transparency", b"bbox", b"interlace", b"exif", b"xmp", b"icc_profile", b"duration", b"default_image",
    b"Raw profile type exif", b"XML:com.adobe.xmp", b"a",
)  # fmt: skip


def mutate(body: bytes, random: Random, scrambled: Scramble = scramble) -> bytes:
    """Return a changed image.

    Parts of it are changed with lengths and checksums made right, or any bytes of it.
    """
    parts = read(body)
    if parts is None or not parts.parts or random.random() < 0.15:
        return scrambled(body, random)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        _change_parts(parts, random, scrambled)
    return scrambled(parts.file(), random) if random.random() < 0.05 else parts.file()


def _change_parts(parts: Parts, random: Random, scrambled: Scramble) -> None:
    listed = parts.parts
    at = random.randrange(len(listed)) if listed else 0
    match random.randrange(9):
        case 0:
            listed.insert(at, _new_part(parts.format, random, scrambled))
        case 1 if listed:
            listed.insert(at, Part(listed[at].kind, listed[at].content))
        case 2 if len(listed) > 1:
            del listed[at]
        case 3 if len(listed) > 1:
            other = random.randrange(len(listed))
            listed[at], listed[other] = listed[other], listed[at]
        case 4:
            _change_size(parts, random)
        case 5 if parts.rest:
            parts.rest = scrambled(parts.rest, random)
        case 6 if listed:
            part = listed[at]
            half = random.randint(0, len(part.content))
            listed[at : at + 1] = [Part(part.kind, part.content[:half]), Part(part.kind, part.content[half:])]
        case _ if listed:
            listed[at].content = _change_content(listed[at], random, scrambled)


def _change_content(part: Part, random: Random, scrambled: Scramble) -> bytes:
    """Scramble the content of a part, a PNG's rows or texts unpacked where that works."""
    if part.kind in (b"IDAT", b"iCCP", b"zTXt") and random.random() < 0.5:
        start = 0 if part.kind == b"IDAT" else part.content.find(b"\0") + 2
        try:
            raw = zlib.decompress(part.content[start:])
        except zlib.error:
            return scrambled(part.content, random)
        return part.content[:start] + zlib.compress(scrambled(raw, random) * random.choice((1, 1, 1, 50)))
    return scrambled(part.content, random)


def _change_size(parts: Parts, random: Random) -> None:
    """Write another size, or other colours, where the format has a place for them."""
    place = {"PNG": (b"IHDR", 0, ">I"), "JPEG": (None, 1, ">H"), "WEBP": (b"VP8X", 4, "<I")}[parts.format]
    for part in parts.parts:
        if part.kind == place[0] or (parts.format == "JPEG" and 0xC0 <= part.kind[0] <= 0xC3):
            content = bytearray(part.content.ljust(16, b"\0"))
            if random.random() < 0.3:
                content[random.randrange(8, 13) if parts.format == "PNG" else 0] = random.choice(
                    (0, 1, 2, 3, 4, 6, 8, 16)
                )
            else:
                size = struct.calcsize(place[2])
                at = place[1] + size * random.randrange(2)
                struct.pack_into(place[2], content, at, random.choice(_SIZES) % (1 << 8 * size))
            part.content = bytes(content[: len(part.content)])


def _new_part(kind: str, random: Random, scrambled: Scramble) -> Part:
    if kind == "PNG":
        return _new_chunk(random, scrambled)
    if kind == "WEBP":
        content = random.choice((seeds.exif()[6:], exif(random), b"profile", b"", random.randbytes(24)))
        return Part(
            random.choice((b"EXIF", b"XMP ", b"ICCP", b"ANIM", b"ANMF", b"ALPH", b"VP8X", b"abcd")), content
        )
    content = random.choice(
        (
            b"Exif\0\0" + exif(random),
            b"MPF\0" + exif(random),
            b"http://ns.adobe.com/xap/1.0/\0<tiff:Orientation>3</tiff:Orientation>",
            b"ICC_PROFILE\0" + random.randbytes(2) + b"x",
            b"Adobe\0\x64\0\0\0\0" + random.randbytes(1),
            b"JFIF\0" + random.randbytes(9),
            b"Photoshop 3.0\x008BIM\x03\xed" + random.randbytes(20),
            random.randbytes(random.randrange(70)),
        )
    )
    return Part(bytes([random.choice((*range(0xC0, 0xD0), *range(0xDA, 0xF0), 0xFE))]), content)


def _new_chunk(random: Random, scrambled: Scramble) -> Part:
    word, text = random.choice(_WORDS), scrambled(b"\nexif\n 99\n" + exif(random).hex().encode(), random)
    packed = zlib.compress(text * random.choice((1, 1, 1000)))
    return random.choice(
        (
            Part(b"tEXt", word + b"\0" + text),
            Part(b"zTXt", word + b"\0\0" + packed),
            Part(b"iTXt", word + random.choice((b"\0\0\0\0\0" + text, b"\0\1\0\0\0" + packed, b"\0\1"))),
            Part(b"iCCP", word + b"\0\0" + packed),
            Part(b"eXIf", exif(random)),
            Part(b"tRNS", random.randbytes(random.choice((0, 1, 2, 6, 16, 256)))),
            Part(b"PLTE", random.randbytes(random.choice((0, 1, 3, 48, 768)))),
            Part(b"acTL", struct.pack(">II", random.choice(_SIZES), 0)),
            Part(
                b"fcTL", struct.pack(">IIIIIHHBB", 0, *(random.choice(_SIZES) for _ in range(4)), 1, 1, 0, 0)
            ),
            Part(b"fdAT", struct.pack(">I", random.randrange(3)) + zlib.compress(bytes(72))),
            Part(
                random.choice((b"gAMA", b"pHYs", b"cHRM", b"sRGB", b"IDAT", b"IEND", b"abCd")),
                random.randbytes(5),
            ),
        )
    )


def exif(random: Random) -> bytes:
    """Return a directory whose values lie anywhere, over each other, or nowhere."""
    order = random.choice("<>")
    entries = [
        (
            random.choice((0x0112, 0x8769, 0x8825, 0xA005, 0x010F, random.randrange(1 << 16))),
            random.randrange(14),
        )
        for _ in range(random.randrange(12))
    ]
    directory = b"".join(
        struct.pack(
            f"{order}HHII", tag, kind, random.choice((0, 1, 1, 2, 50, 1 << 30)), random.randrange(200)
        )
        for tag, kind in entries
    )
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(entries))
    return head + directory + bytes(4) + random.randbytes(40)
