"""Networks of ImageNet's size: builds, memory, latency, labels and detection, with real weights."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.imagenet import builds, detection, served
from benchmarks.sections import Section
from evaluation.imagenet.photographs import Photographs

_CALIBRATING = 500


def measure(data: Path, work: Path, quick: bool, detect: bool, say: Callable[[str], None]) -> list[Section]:
    """Measure everything; what calibrates is never tested.

    Args:
        data: folder with ``imagenet-samples``.
        work: folder of what takes long: photographs, exported classifiers, attacked pictures.
        quick: whether rounds of the server are few and short.
        detect: whether the experiments on detection are run.
        say: callback that is told what is going on.

    Raises:
        GuardError: the data or the published weights are missing, or something failed.
    """
    folder = work / "imagenet"
    photographs = Photographs.unpacked(data / "imagenet-samples", folder, _CALIBRATING, 0)
    models = folder / "models"
    with TemporaryDirectory() as place:
        built, stores = builds.measure(photographs, models, Path(place), say)
        bodies = {number: path.read_bytes() for number, path in photographs.files.items()}
        tested = [bodies[number] for number in photographs.tested.tolist()]
        sections = [built, served.measure(stores, models, list(bodies.values()), tested, quick, say)]
    if detect:
        sections += detection.measure(data, work, say)
    return sections
