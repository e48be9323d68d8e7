"""Files taken apart and put together again."""

import io

import pytest
from PIL import Image

from benchmarks.fuzz import seeds
from benchmarks.fuzz.parts import Part, read

SEEDS = seeds.images()


@pytest.mark.parametrize("body", SEEDS, ids=range(len(SEEDS)))
def test_a_file_is_what_its_parts_make(body: bytes) -> None:
    parts = read(body)
    assert parts is not None
    assert len(parts.parts) > 1 or parts.format == "WEBP"
    assert parts.file() == body


def test_what_is_put_in_has_its_length_and_checksum() -> None:
    for body in SEEDS:
        parts = read(body)
        assert parts is not None
        kind = {"PNG": b"prVt", "JPEG": b"\xe5", "WEBP": b"abcd"}[parts.format]
        parts.parts.insert(1, Part(kind, b"odd"))
        with Image.open(io.BytesIO(parts.file())) as image, Image.open(io.BytesIO(body)) as before:
            assert image.tobytes() == before.tobytes()


@pytest.mark.parametrize("body", [b"", b"text", b"RIFF\0\0\0\0AVI "])
def test_other_files_have_none(body: bytes) -> None:
    assert read(body) is None


def test_cut_short_they_are_read_as_far_as_they_go() -> None:
    for body in SEEDS:
        for length in range(12, len(body), 7):
            parts = read(body[:length])
            assert parts is not None
            assert len(parts.file()) > 0


def test_seeds_are_of_every_format_and_kind() -> None:
    kinds = set()
    for body in SEEDS:
        with Image.open(io.BytesIO(body)) as image:
            kinds.add((image.format, image.mode))
            image.load()
    assert {kind for kind, _ in kinds} == {"PNG", "JPEG", "MPO", "WEBP"}
    assert {mode for _, mode in kinds} >= {"1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16"}
