"""The sequential test: error rates, distance to the theoretical limits, cost and detection."""

from collections.abc import Callable
from pathlib import Path

from benchmarks.decision import frontier, step, streams
from benchmarks.decision.recorded import Pool
from benchmarks.sections import Section
from evaluation.label_changes import SUBJECTS
from mutant_guard.errors import DataError
from mutant_guard.store.calibration_record import CalibrationSettings

_TITLES = {"mnist-lenet": "LeNet, MNIST", "cifar10-resnet20": "ResNet-20, CIFAR-10 (JPEG)"}
_KEYS = {"mnist-lenet": "mnist", "cifar10-resnet20": "cifar10"}


def measure(quick: bool, recordings: Path, say: Callable[[str], None]) -> list[Section]:
    """Measure every figure of the decision, from recorded label changes.

    Args:
        quick: whether to take fewer runs, one pool and one budget of ``calibrated``.
        recordings: folder of the files of ``evaluation.label_changes``.
        say: callback that is told what is going on.

    Raises:
        DataError: there are no recordings.
    """
    pools = {
        name: [Pool.read(path) for path in sorted(recordings.glob(f"{name}-*.safetensors"))]
        for name in SUBJECTS
    }
    pools = {name: found[:1] if quick else found for name, found in pools.items() if found}
    if not pools:
        raise DataError(
            f"{recordings} holds no recordings; make them with: python -m evaluation.label_changes mnist-lenet "
            f"--data DIR --out {recordings}"
        )
    first = next(iter(pools.values()))[0]
    say("simulating the sequential tests at their hypotheses")
    settings = CalibrationSettings()
    calibrated, fixed = first.calibrated(settings.budget), first.fixed(settings.fixed_mutants)
    sections = [
        streams.measure(first.test, calibrated.test, calibrated.policy, quick),
        step.measure([calibrated.policy, fixed.policy, first.paper()]),
    ]
    for name, found in pools.items():
        sections.append(frontier.measure(_KEYS[name], _TITLES[name], found, quick, say))
    return sections
