"""Order of ImageNet's 1,000 classes in its classifiers: that of their WordNet numbers.

Source: the class folders of ILSVRC 2012, which its classifiers are trained on in sorted order.
"""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from mutant_store.loading.class_match import wnid_of

_CLASSES = 1_000
_BACKGROUND = "background"


@cache
def wnids() -> tuple[str, ...]:
    """Return the 1,000 WordNet numbers in the order of the classes."""
    return tuple(files(__package__).joinpath("imagenet_wnids.txt").read_text("ascii").split())


def imagenet_positions(names: Sequence[str], outputs: int) -> NDArray[np.int64] | None:
    """Return the classes that names with WordNet numbers are for a classifier of ImageNet.

    Args:
        names: class names, such as those of folders.
        outputs: number of classes of the classifier: 1,000, or 1,001 after a background class.

    Returns:
        Positions int64 [names]; None where a name has no number of ImageNet, or the classifier has
            another number of classes.
    """
    if outputs not in (_CLASSES, _CLASSES + 1):
        return None
    position = {wnid: place for place, wnid in enumerate(wnids())}
    found = [position.get(wnid_of(name) or "") for name in names]
    if any(place is None for place in found):
        return None
    return np.array(found, dtype=np.int64) + (outputs - _CLASSES)


def with_background(names: Sequence[str], outputs: int) -> list[str]:
    """Return 1,000 names after a background class where a classifier has 1,001, else as they are."""
    first = [_BACKGROUND] if len(names) == _CLASSES and outputs == _CLASSES + 1 else []
    return [*first, *names]
