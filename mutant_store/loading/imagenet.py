"""ImageNet's 1,000 classes in the order of its classifiers: that of their WordNet numbers.

Source: the class folders of ILSVRC 2012, which classifiers are trained on in sorted order, and the
short names of their synsets.
"""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from mutant_store.loading.class_match import match_names, wnid_of

_CLASSES = 1_000
_BACKGROUND = "background"
_MOST_ELSEWHERE = 0.5


@cache
def imagenet_classes() -> tuple[str, ...]:
    """Return the 1,000 classes in their order, each as its WordNet number and a name behind it."""
    text = files(__package__).joinpath("imagenet_classes.txt").read_text("ascii")
    return tuple(text.splitlines())


def imagenet_names(outputs: int) -> list[str]:
    """Return the names of the classes of a classifier of ImageNet; two names are there twice.

    Args:
        outputs: number of its classes: 1,000, or 1,001 after a background class.
    """
    return with_background([line.partition(" ")[2] for line in imagenet_classes()], outputs)


def imagenet_positions(
    known: Sequence[str], outputs: int, names: Sequence[str] | None = None
) -> NDArray[np.int64] | None:
    """Return the classes of a classifier of ImageNet that WordNet numbers stand for.

    They follow from the order of the numbers, unless the classifier's names are those of ImageNet
    in another order.

    Args:
        known: class names with WordNet numbers, such as those of folders.
        outputs: number of classes of the classifier: 1,000, or 1,001 after a background class.
        names: class names of the classifier, in its order.

    Returns:
        Positions int64 [known], −1 for a number whose name is not to be found in another order;
            None where a name has no number of ImageNet, or the classifier has another number of
            classes.
    """
    if outputs not in (_CLASSES, _CLASSES + 1):
        return None
    position = {wnid_of(line): place for place, line in enumerate(imagenet_classes())}
    places = [position.get(wnid_of(name) or "none") for name in known]
    if None in places:
        return None
    found = np.array(places, dtype=np.int64)
    in_order = found + (outputs - _CLASSES)
    by_name = match_names([imagenet_classes()[place] for place in found.tolist()], names or ()).positions
    elsewhere = (by_name >= 0) & (by_name != in_order)
    return by_name if elsewhere.mean() > _MOST_ELSEWHERE else in_order


def with_background(names: Sequence[str], outputs: int) -> list[str]:
    """Return 1,000 names after a background class where a classifier has 1,001, else as they are."""
    first = [_BACKGROUND] if len(names) == _CLASSES and outputs == _CLASSES + 1 else []
    return [*first, *names]
