"""False alarms of the memory of queries on clean streams."""

from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.figures import Figure
from benchmarks.probing.subjects import ProbedData, subjects
from benchmarks.sections import Section, Table, held
from evaluation.queries.clean_streams import KINDS, VIDEOS, independent, near_duplicates
from mutant_guard.decision.calibration.intervals import clopper_pearson
from service.probing.sequence import WITHOUT_VIDEO, Thresholds

_STREAMS, _VIDEOS = 1000, 100
_SEED = 21
_MOST_INDEPENDENT, _MOST_NEAR = 0.1, 1.0


def measure(data: Path, quick: bool, say: Callable[[str], None]) -> Section:
    """Measure independent images, and near-duplicates of each kind.

    Raises:
        DataError: the images are not there.
    """
    rows, figures = [], []
    for subject in subjects(data, quick, say):
        found, counted = _rows(subject, quick, say)
        rows += found
        figures += counted
    limits = Thresholds()
    table = Table(
        "False alarms on clean streams",
        ["", "streams", "relatives, median", "edited", "false alarms", "95 % interval", "without video"],
        rows,
        [
            "A stream is the near-duplicates of one image, each fifth sent twice, with a health check every ten "
            "queries; all streams of a line meet one memory. Independent images are one stream each and meet a memory "
            "that holds others. A stream is a false alarm where any query of it is in a sequence taken for an attack.",
            f"Thresholds: {limits}; the last column has settled={WITHOUT_VIDEO.settled}. They were chosen on MNIST's "
            "holdout and CIFAR-10's first 3,000 test images; these are others. Answers are those of "
            "models/mnist-lenet.onnx and models/cifar10-resnet20.onnx; those to ImageNet samples are all alike, so "
            "their lines tell of relatives alone.",
        ],
    )
    return Section("False alarms", [table], figures)


def _rows(
    subject: ProbedData, quick: bool, say: Callable[[str], None]
) -> tuple[list[list[str]], list[Figure]]:
    fingerprint, classify = subject.fingerprint, subject.classify
    say(f"{subject.title}: independent images")
    clean = [
        independent(subject.earlier, subject.images, fingerprint, classify, limits)
        for limits in (Thresholds(), WITHOUT_VIDEO)
    ]
    worst = 100 * clean[0].alarmed / clean[0].streams
    alone = Figure(f"probing_{subject.key}_independent", worst, "%", _MOST_INDEPENDENT, True)
    counts = [(stream.streams, stream.alarmed) for stream in clean]
    label = f"{subject.title}: independent, after {len(subject.earlier):,} others"
    rows = [_row(label, clean[0].related, clean[0].edited, counts, alone)]
    shares = []
    for title, kind in (KINDS | VIDEOS).items():
        say(f"{subject.title}: {title}")
        streams = (_VIDEOS if title in VIDEOS else _STREAMS) // (10 if quick else 1)
        images = subject.images[: streams + 1]
        if subject.key == "imagenet":
            images = images[: 1 + streams // 10]
        clean = [
            near_duplicates(kind, images, fingerprint, classify, limits, _SEED)
            for limits in (Thresholds(), WITHOUT_VIDEO)
        ]
        counts = [(stream.streams, stream.alarmed) for stream in clean]
        if title not in VIDEOS:
            shares.append(100 * clean[0].alarmed / clean[0].streams)
        rows.append(_row(f"{subject.title}: {title}", clean[0].related, clean[0].edited, counts, None))
    near = Figure(f"probing_{subject.key}_near_duplicates", float(np.max(shares)), "%", _MOST_NEAR, True)
    return rows, [alone, near]


def _row(
    title: str, related: list[int], edited: int, counts: list[tuple[int, int]], figure: Figure | None
) -> list[str]:
    streams, alarmed = counts[0]
    interval = clopper_pearson(alarmed, streams)
    share = f"{100 * alarmed / streams:.2f} %"
    return [
        title,
        f"{streams:,}",
        f"{median(related):g}",
        f"{edited:,}",
        share if figure is None else held(figure),
        f"{100 * interval.low:.2f}–{100 * interval.high:.2f} %",
        f"{100 * counts[1][1] / counts[1][0]:.2f} %",
    ]
