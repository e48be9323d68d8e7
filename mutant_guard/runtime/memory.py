"""Memory that nobody uses any more, back to the system."""

import ctypes
import gc


def give_back() -> None:
    """Collect garbage, and have the C library return what is free; takes some milliseconds.

    What a store needed is free in a hundred places once another took its place. glibc keeps those pages, and with every
    new version there would be more of them. Other C libraries have no such function, or no need of it.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
