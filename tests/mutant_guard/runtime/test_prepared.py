"""Preparation of a request: from its bytes to the inference loop's input."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mutant_guard.bank.views import arrays_of
from mutant_guard.errors import BadImageError
from mutant_guard.runtime.model import Model
from mutant_guard.runtime.prepared import prepare
from service.guard_service import GuardService
from tests.support.service import digits, encode, order_of, settings_for
from tests.support.versions import add_version, copy_of

MOST = 10_000
IMAGE = digits(1, noise=0.3)[0]


@pytest.fixture
def model(digits_store: Path) -> Model:
    return GuardService(settings_for(digits_store)).models.default


def test_a_file_becomes_the_classifiers_input_in_its_own_order(model: Model, digits_store: Path) -> None:
    prepared = prepare(encode(IMAGE), model, MOST)
    pixels = IMAGE[:, :, None]
    expected = model.store.manifest.input.tensor(pixels[None])
    assert arrays_of(prepared.inputs)[0].dtype == np.float32
    assert np.array_equal(arrays_of(prepared.inputs)[0], expected)
    assert np.array_equal(prepared.order, order_of(digits_store).mutants(pixels))
    assert prepared.seconds > 0


def test_pixels_are_taken_as_the_file_that_holds_them(model: Model) -> None:
    file, pixels = prepare(encode(IMAGE), model, MOST), prepare(IMAGE[:, :, None], model, MOST)
    assert np.array_equal(arrays_of(file.inputs)[0], arrays_of(pixels.inputs)[0])
    assert np.array_equal(file.order, pixels.order)
    assert file.key == pixels.key


def test_pixels_need_not_lie_in_a_row(model: Model) -> None:
    wide = np.zeros((8, 16, 1), np.uint8)
    wide[:, ::2, 0] = IMAGE
    found, expected = prepare(wide[:, ::2], model, MOST), prepare(IMAGE[:, :, None], model, MOST)
    assert np.array_equal(arrays_of(found.inputs)[0], arrays_of(expected.inputs)[0])
    assert np.array_equal(found.order, expected.order)
    assert (found.key, found.body_sha256) == (expected.key, expected.body_sha256)


def test_the_hash_is_that_of_what_came(model: Model) -> None:
    small, large = encode(IMAGE), encode(IMAGE, compress_level=0)
    assert small != large
    for body in (small, large):
        assert prepare(body, model, MOST).body_sha256 == hashlib.sha256(body).hexdigest()
    pixels = prepare(IMAGE[:, :, None], model, MOST)
    assert pixels.body_sha256 == hashlib.sha256(IMAGE.tobytes()).hexdigest()


def test_the_key_tells_pixels_apart_and_not_files(model: Model) -> None:
    keys = [prepare(body, model, MOST).key for body in (encode(IMAGE), encode(IMAGE, compress_level=0))]
    assert keys[0] == keys[1]
    other = IMAGE.copy()
    other[3, 3] ^= 1
    assert prepare(encode(other), model, MOST).key != keys[0]


def test_the_key_tells_versions_policies_limits_and_orders_apart(digits_store: Path, tmp_path: Path) -> None:
    copy = copy_of(digits_store, tmp_path)
    add_version(copy, seed=7)
    settings = [
        settings_for(digits_store),
        settings_for(copy),
        settings_for(digits_store, policy="paper"),
        settings_for(digits_store, max_mutants=59),
        settings_for(digits_store, order_key="another key for these tests"),
    ]
    keys = [prepare(encode(IMAGE), GuardService(one).models.default, MOST).key for one in settings]
    assert len(set(keys)) == len(settings)
    unlimited = GuardService(settings_for(digits_store, max_mutants=60)).models.default
    assert prepare(encode(IMAGE), unlimited, MOST).key == keys[0]


@pytest.mark.parametrize("body", [b"", b"no image", encode(IMAGE)[:60], encode(IMAGE[:7])])
def test_what_is_refused_is_known_by_its_hash(body: bytes, model: Model) -> None:
    with pytest.raises(BadImageError) as caught:
        prepare(body, model, MOST)
    assert caught.value.body_sha256 == hashlib.sha256(body).hexdigest()


def test_more_pixels_than_are_decoded_are_refused(model: Model) -> None:
    assert prepare(encode(IMAGE), model, 64).seconds > 0
    with pytest.raises(BadImageError, match="8×8, more than 63 pixels"):
        prepare(encode(IMAGE), model, 63)


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.zeros((8, 8), np.uint8), r"uint8 \[8, 8\]"),
        (np.zeros((8, 8, 3), np.uint8), r"uint8 \[8, 8, 3\]"),
        (np.zeros((7, 8, 1), np.uint8), r"uint8 \[7, 8, 1\]"),
        (np.zeros((1, 8, 8, 1), np.uint8), r"uint8 \[1, 8, 8, 1\]"),
        (np.zeros((8, 8, 1), np.float32), r"float32 \[8, 8, 1\]"),
        (np.zeros((8, 8, 1), np.int8), r"int8 \[8, 8, 1\]"),
    ],
)
def test_other_pixels_are_refused_with_those_the_model_takes(
    pixels: NDArray[np.uint8], said: str, model: Model
) -> None:
    with pytest.raises(BadImageError, match=rf"{said} and model 'digits' takes uint8 \[8, 8, 1\]") as caught:
        prepare(pixels, model, MOST)
    assert caught.value.body_sha256 == hashlib.sha256(pixels.tobytes()).hexdigest()
