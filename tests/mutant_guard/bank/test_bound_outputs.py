"""Bound inputs and outputs: they give what a plain run gives."""

from pathlib import Path

import numpy as np

from mutant_guard.bank.session import IMAGES, bound_outputs, open_session
from mutant_guard.store.reader import PREFIX, load_store


def test_bound_outputs_are_those_of_a_plain_run(demo_store: Path) -> None:
    session = open_session(load_store(demo_store).path / PREFIX, threads=1)
    images = np.random.default_rng(0).random((5, 1, 8, 8), dtype=np.float32)
    plain = session.run(None, {IMAGES: images})
    bound = bound_outputs(session, {IMAGES: images}, "cpu")
    assert len(bound) == len(plain) > 1
    for one, other in zip(bound, plain, strict=True):
        np.testing.assert_array_equal(one, other)
    first = bound[0].copy()
    bound_outputs(session, {IMAGES: images + 1}, "cpu")
    np.testing.assert_array_equal(bound[0], first)  # a later run does not overwrite it
