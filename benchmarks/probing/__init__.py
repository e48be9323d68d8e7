"""Memory of queries: what it takes, which images it takes for relatives, and its false alarms."""

from collections.abc import Callable
from pathlib import Path

from benchmarks.probing import cost, false_alarms, fingerprints
from benchmarks.sections import Section


def measure(data: Path, quick: bool, say: Callable[[str], None]) -> list[Section]:
    """Measure all of it.

    Args:
        data: folder with ``mnist``, ``cifar10`` and ``imagenet-samples``.
        quick: whether a tenth of the images and queries is enough.
        say: function that is told what is going on.

    Raises:
        DataError: the images are not there.
    """
    return [
        cost.measure(quick, say),
        fingerprints.measure(data, quick, say),
        false_alarms.measure(data, quick, say),
    ]
