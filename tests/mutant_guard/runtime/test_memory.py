"""Tests that only garbage is given back."""

import gc
import weakref

from mutant_guard.runtime.memory import give_back


class Knot:
    """Object that refers to itself, so that only the collector frees it."""

    def __init__(self) -> None:
        self.me = self


def test_garbage_in_cycles_is_gone_and_the_rest_is_not() -> None:
    gc.disable()
    try:
        kept, lost = Knot(), weakref.ref(Knot())
        assert lost() is not None
        give_back()
        assert lost() is None
        assert kept.me is kept
    finally:
        gc.enable()
