"""Requests read from any bytes, and changed into others like them."""

import io
import json
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks.fuzz import seeds
from benchmarks.fuzz.asks import Ask, Route, drawing, first
from benchmarks.fuzz.mutations import images, messages
from benchmarks.fuzz.mutations.scramble import scramble
from benchmarks.fuzz.parts import PNG_MAGIC

STORES = ["a", "b"]


@given(st.binary(max_size=40))
@settings(derandomize=True)
def test_any_bytes_are_a_request(data: bytes) -> None:
    ask = Ask.read(data)
    assert Ask.read(ask.written()) == ask
    request = ask.request(STORES)
    assert request.path in ("/classify", "/v2/models/a/infer", "/v2/models/b/infer")


def test_the_first_go_every_way_to_every_store() -> None:
    found = {(ask.route, ask.variant & 1) for ask in first()}
    assert found == {(route, store) for route in Route for store in (0, 1)}


def test_binary_data_follows_the_json_as_its_header_says() -> None:
    for ask in first():
        if ask.route == Route.BINARY:
            request = ask.request(STORES)
            length = int(dict(request.headers)[b"inference-header-content-length"])
            declared = json.loads(request.body[:length])["inputs"][0]["parameters"]["binary_data_size"]
            assert length + declared == len(request.body)


def test_the_same_seed_makes_the_same_request() -> None:
    asks = first()
    one = [ask.mutated(drawing(number)) for number, ask in enumerate(asks)]
    again = [ask.mutated(drawing(number)) for number, ask in enumerate(asks)]
    assert one == again
    assert sum(ask != mutated for ask, mutated in zip(asks, one, strict=True)) > len(asks) * 0.9


@pytest.mark.filterwarnings("ignore")  # Pillow warns of damage it reads past
def test_most_changed_pngs_check_out_and_many_are_still_read() -> None:
    random, whole, opened = drawing(1), 0, 0
    bodies = [
        images.mutate(body, random) for body in seeds.images() for _ in range(20) if body[:8] == PNG_MAGIC
    ]
    for body in bodies:
        whole += _checks_out(body)
        try:
            with Image.open(io.BytesIO(body)) as image:
                opened += image.size[0] > 0
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            continue
    assert whole > len(bodies) * 0.7
    assert opened > len(bodies) * 0.4


def _checks_out(body: bytes) -> bool:
    at = 8
    while at + 12 <= len(body):
        end = at + 8 + int.from_bytes(body[at : at + 4], "big")
        if zlib.crc32(body[at + 4 : end]) != int.from_bytes(body[end : end + 4], "big"):
            return False
        at = end + 4
    return at == len(body)


def test_most_changed_messages_are_still_json() -> None:
    random, read = drawing(2), 0
    text = next(ask.content for ask in first() if ask.route == Route.JSON)
    changed = [messages.mutate(text, random) for _ in range(300)]
    for body in changed:
        try:
            json.loads(body)
        except ValueError:
            continue
        read += 1
    assert read > 200
    assert len(set(changed)) > 200


def test_even_nothing_can_be_scrambled() -> None:
    assert any(scramble(b"", drawing(seed)) for seed in range(20))
