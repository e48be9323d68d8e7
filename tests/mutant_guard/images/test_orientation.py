"""Orientation: what Pillow reads, and no other entry is read."""

import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from mutant_guard.images.orientation import UPRIGHT, exif_of, orientation

_TAG = ExifTags.Base.Orientation


def directory(*entries: tuple[int, int, int, int], order: str = "<") -> bytes:
    """Make a TIFF file of one directory.

    Args:
        entries: tag, type, number of values, and value or offset of each entry.
        order: byte order, "<" or ">".
    """
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IH", 8, len(entries))
    return head + b"".join(struct.pack(f"{order}HHII", *entry) for entry in entries) + bytes(4)


def of_pillow(exif: bytes) -> object:
    found = Image.Exif()
    found.load(exif)
    return found.get(_TAG, UPRIGHT)


@pytest.mark.parametrize("said", range(1, 9))
def test_what_pillow_writes_is_read_and_what_is_written_pillow_reads(said: int) -> None:
    exif = Image.Exif()
    exif.update({ExifTags.Base.Make: "maker", _TAG: said, ExifTags.Base.XResolution: 72.0})
    assert orientation(exif.tobytes(), b"") == said
    assert of_pillow(exif_of(said)) == said
    assert orientation(exif_of(said), b"") == said


@pytest.mark.parametrize("magic", [b"II*\0", b"II\0*", b"MM\0*", b"MM*\0"])
@pytest.mark.parametrize("kind", [3, 4])
def test_both_byte_orders_and_both_sizes_of_number_are_read(magic: bytes, kind: int) -> None:
    order = "<" if magic.startswith(b"II") else ">"
    value = struct.pack(f"{order}H", 6) + bytes(2) if kind == 3 else struct.pack(f"{order}I", 6)
    entry = struct.pack(f"{order}HHI", _TAG, kind, 1) + value
    tiff = magic + struct.pack(f"{order}IH", 8, 1) + entry + bytes(4)
    for exif in (tiff, b"Exif\0\0" + tiff, b"Exif\0\0Exif\0\0" + tiff):
        assert orientation(exif, b"") == 6 == of_pillow(exif)


@pytest.mark.parametrize(
    "tiff",
    [
        b"",
        b"Exif\0\0",
        directory(),
        directory((_TAG, 3, 1, 0)),
        directory((_TAG, 3, 1, 9)),
        directory((_TAG, 4, 1, 6 << 16)),
        directory((_TAG, 3, 2, 6)),
        directory((_TAG, 2, 1, 6)),
        directory((_TAG, 999, 1, 6)),
        directory((_TAG + 1, 3, 1, 6)),
        directory((_TAG, 3, 1, 6))[:20],
        b"II*\0" + struct.pack("<I", 1 << 31),
    ],
)
def test_what_does_not_say_a_way_to_turn_is_upright(tiff: bytes) -> None:
    assert orientation(tiff, b"") == UPRIGHT


def test_the_first_of_two_counts() -> None:
    exif = directory((_TAG, 3, 1, 6), (_TAG, 3, 1, 3))
    assert orientation(exif, b"") == 6 == of_pillow(exif)


@pytest.mark.parametrize("exif", [b"I", b"II*\0", b"??*\0" + bytes(20), b"II+\0" + bytes(20)])
def test_exif_that_is_none_says_nothing(exif: bytes) -> None:
    assert orientation(exif, b"") == UPRIGHT
    assert orientation(exif, b'<x tiff:Orientation="6"/>') == 6


@pytest.mark.parametrize("xmp", [b'<x tiff:Orientation="6"/>', b"<tiff:Orientation>6</tiff:Orientation>"])
def test_xmp_is_asked_where_exif_does_not_say(xmp: bytes) -> None:
    assert orientation(b"", xmp) == 6
    assert orientation(directory(), xmp) == 6
    assert orientation(directory((_TAG, 3, 1, 1)), xmp) == 1
    assert orientation(b"", b'<x tiff:Orientation="0"/>') == UPRIGHT


@given(
    st.lists(
        st.tuples(st.sampled_from([_TAG, 1, 2]), st.integers(0, 13), st.integers(0, 2), st.integers(0, 9))
    )
)
@settings(max_examples=300, deadline=None, derandomize=True)
@pytest.mark.filterwarnings("ignore")  # Pillow warns of entries it skips
def test_any_directory_of_whole_numbers_is_read_as_pillow_reads_it(
    entries: list[tuple[int, int, int, int]],
) -> None:
    kept = [entry for entry in entries if entry[1] in (3, 4)]
    said = of_pillow(directory(*kept))
    first = next((entry for entry in kept if entry[0] == _TAG), None)
    expected = said if isinstance(said, int) and 1 <= said <= 8 and first and first[2] == 1 else UPRIGHT
    assert orientation(directory(*kept), b"") == expected


@given(st.binary(max_size=60), st.binary(max_size=40))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_bytes_give_one_of_eight(exif: bytes, xmp: bytes) -> None:
    for body in (exif, b"II*\0" + exif):
        assert 1 <= orientation(body, xmp) <= 8


def test_a_directory_is_not_read_through() -> None:
    """A directory has as many entries as it may, each claiming a value as long as the file."""
    entries = [(1, 5, 60_000, 8)] * 65_534 + [(_TAG, 3, 1, 6)]
    assert orientation(directory(*entries), b"") == 6
    assert io.BytesIO(exif_of(6)).getbuffer().nbytes == 32
