"""Memory of queries: what it takes, the images it relates, how soon it sees attacks, false alarms."""

from collections.abc import Callable
from pathlib import Path

from benchmarks.probing import cost, false_alarms, fingerprints, searches, subjects
from benchmarks.sections import Section


def measure(data: Path, quick: bool, say: Callable[[str], None]) -> list[Section]:
    """Measure all of it.

    Args:
        data: folder with ``mnist``, ``cifar10`` and ``imagenet-samples``.
        quick: whether a tenth of the images and queries is enough.
        say: function that is told what is going on.

    Raises:
        DataError: the images or the packages of the attacks are not there.
    """
    probed = subjects.subjects(data, quick, say)
    return [
        cost.measure(quick, say),
        fingerprints.measure(probed, quick, say),
        searches.measure(probed, quick, say),
        false_alarms.measure(probed, quick, say),
    ]
