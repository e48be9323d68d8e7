"""PNG files of all colour types, depths, kinds of transparency and orders of lines."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from mutant_guard.errors import BadImageError
from mutant_guard.images.decoding import convert, decode
from mutant_guard.store.manifest import InputSpec
from tests.support.png import GREY, NONE, RGB, Png, every_png, file_of
from tests.support.service import chunk

FILES = list(every_png())
every_file = pytest.mark.parametrize("file", FILES, ids=[file.name for file in FILES])
TRANSPARENT = "transparent pixels; flatten it onto a background first"


def input_of(shown: np.ndarray) -> InputSpec:
    height, width, channels = shown.shape
    values = [1.0] * channels
    return InputSpec(
        height=height,
        width=width,
        channels=1 if channels == 1 else 3,
        mean=values,
        std=values,
        layout="nchw",
        resize="exact",
    )


@every_file
def test_a_file_shows_what_it_holds_or_is_refused_as_transparent(file: Png) -> None:
    spec = input_of(file.shown)
    if file.transparent:
        with pytest.raises(BadImageError, match=TRANSPARENT):
            decode(file.body, spec, 1000)
    else:
        assert (decode(file.body, spec, 1000) == file.shown).all()


@every_file
def test_an_image_that_the_caller_opened_is_never_read_otherwise(file: Png) -> None:
    spec = input_of(file.shown)
    with Image.open(io.BytesIO(file.body)) as image:
        try:
            found = convert(image, spec, 1000)
        except BadImageError as error:
            # Pillow does not say of how many bits a colour was, so one may be refused that no pixel has.
            assert TRANSPARENT in str(error)
            assert NONE not in file.name
        else:
            assert not file.transparent
            # Of 16-bit grey with alpha Pillow keeps the upper bytes.
            assert np.abs(found.astype(int) - file.shown).max() <= ("type 4, 16" in file.name)


def test_the_table_has_every_kind_of_file() -> None:
    assert len(FILES) == len({file.name for file in FILES}) == 15 * 3 * 2
    assert sum(file.transparent for file in FILES) == 30


@pytest.mark.parametrize(
    ("depth", "stated", "pixel"), [(1, 0xFFFE, 0), (2, 0x0102, 2), (4, 0x00F3, 3), (8, 0x1007, 7)]
)
def test_bits_above_the_depth_do_not_count(depth: int, stated: int, pixel: int) -> None:
    samples = np.full((8, 8, 1), pixel)
    body = file_of(samples, GREY, depth, chunks=(chunk(b"tRNS", struct.pack(">H", stated)),))
    with pytest.raises(BadImageError, match=TRANSPARENT):
        decode(body, input_of(samples), 1000)


@pytest.mark.parametrize("content", [b"", b"\0", b"\0\0\0", b"\0\0\0\0\0\0"])
def test_a_colour_of_another_length_is_refused(content: bytes) -> None:
    samples = np.full((8, 8, 1), 7)
    with pytest.raises(BadImageError, match="tRNS chunk is damaged; save it anew"):
        decode(file_of(samples, GREY, 8, chunks=(chunk(b"tRNS", content),)), input_of(samples), 1000)


def test_a_colour_with_a_wrong_checksum_is_refused() -> None:
    samples = np.full((8, 8, 3), 7)
    damaged = chunk(b"tRNS", bytes(6))[:-1] + b"?"
    with pytest.raises(BadImageError, match="tRNS chunk is damaged"):
        decode(file_of(samples, RGB, 16, chunks=(damaged,)), input_of(samples), 1000)


def test_a_file_that_states_several_colours_or_headers_is_refused() -> None:
    samples = np.full((8, 8, 1), 7)
    colours = tuple(chunk(b"tRNS", struct.pack(">H", value)) for value in (7, 8))
    other = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 3, 0, 0, 0))
    for chunks, kind in ((colours, "tRNS"), ((other,), "IHDR")):
        with pytest.raises(BadImageError, match=f"several {kind} chunks; save it anew"):
            decode(file_of(samples, GREY, 8, chunks=chunks), input_of(samples), 1000)
