"""False alarms of the memory of queries on clean streams."""

from collections.abc import Callable
from dataclasses import replace
from statistics import median

from benchmarks.figures import Figure
from benchmarks.probing.subjects import ProbedData
from benchmarks.sections import Section, Table, held
from evaluation.queries.clean_streams import KINDS, VIDEOS, CleanStreams, independent, near_duplicates
from mutant_guard.decision.calibration.intervals import clopper_pearson
from service.probing.sequence import WITHOUT_VIDEO, Thresholds

_STREAMS, _VIDEOS = 500, 200
_SEED = 21
_HALVINGS, _SAMPLED = (1, 2, 3), (1, 2, 3)
_OTHERS = [
    replace(Thresholds(), halvings=steps, sampled=samples) for steps in _HALVINGS for samples in _SAMPLED
]
_LIMITS = (Thresholds(), WITHOUT_VIDEO, *_OTHERS)
_MOST_INDEPENDENT, _MOST_NEAR = 0.1, 1.0


def measure(subjects: list[ProbedData], quick: bool, say: Callable[[str], None]) -> Section:
    """Measure independent images, and near-duplicates of each kind."""
    rows, figures, choices = [], [], []
    for subject in subjects:
        found, counted, shares = _rows(subject, quick, say)
        rows += found
        figures += counted
        per_row = [shares[start : start + len(_SAMPLED)] for start in range(0, len(shares), len(_SAMPLED))]
        choices += [
            [f"{subject.title}: {steps}", *(f"{copies:.2f} / {video:.2f} %" for copies, video in line)]
            for steps, line in zip(_HALVINGS, per_row, strict=True)
        ]
    table = Table(
        "False alarms on clean streams",
        ["", "streams", "relatives, median", "edited", "false alarms", "95 % interval", "without video"],
        rows,
        [
            "A stream is the near-duplicates of one image, each fifth sent twice, with a health check every ten "
            "queries; all streams of a line meet one memory. Independent images are one stream each and meet a memory "
            "that holds others. A stream is a false alarm where any query of it is in a sequence taken for an attack.",
            f"{_LIMITS[0]}; the last column has settled={WITHOUT_VIDEO.settled}. They were chosen on MNIST's "
            "holdout and CIFAR-10's first 3,000 test images; these are others. Answers are those of "
            "models/mnist-lenet.onnx, models/cifar10-resnet20.onnx and EfficientNet-Lite0 with its published weights.",
        ],
    )
    other = Table(
        "False alarms under other thresholds, the worst kind of near-duplicates / of videos",
        ["steps halved in a row", *(f"{count} samples" for count in _SAMPLED)],
        choices,
        [],
    )
    return Section("False alarms", [table, other], figures)


def _rows(
    subject: ProbedData, quick: bool, say: Callable[[str], None]
) -> tuple[list[list[str]], list[Figure], list[tuple[float, float]]]:
    fingerprint, classify = subject.fingerprint, subject.classify
    say(f"{subject.title}: independent images")
    clean = independent(subject.earlier, subject.images, fingerprint, classify, _LIMITS)
    worst = 100 * clean.alarmed[0] / clean.streams
    alone = Figure(f"probing_{subject.key}_independent", worst, "%", _MOST_INDEPENDENT, True)
    label = f"{subject.title}: independent, after {len(subject.earlier):,} others"
    rows = [_row(label, clean, alone)]
    shares: dict[bool, list[list[float]]] = {False: [], True: []}
    for title, kind in (KINDS | VIDEOS).items():
        say(f"{subject.title}: {title}")
        streams = (_VIDEOS if title in VIDEOS else _STREAMS) // (10 if quick else 1)
        images = subject.images[: streams + 1]
        if subject.large:
            images = images[: 1 + streams // 10]
        clean = near_duplicates(kind, images, fingerprint, classify, _LIMITS, _SEED)
        shares[title in VIDEOS].append([100 * alarmed / clean.streams for alarmed in clean.alarmed])
        rows.append(_row(f"{subject.title}: {title}", clean, None))
    copies, videos = ([max(column) for column in zip(*shares[video], strict=True)] for video in (False, True))
    near = Figure(f"probing_{subject.key}_near_duplicates", copies[0], "%", _MOST_NEAR, at_most=True)
    moving = Figure(f"probing_{subject.key}_videos", videos[0], "%", _MOST_NEAR, at_most=True)
    return rows, [alone, near, moving], list(zip(copies, videos, strict=True))[2:]


def _row(title: str, clean: CleanStreams, figure: Figure | None) -> list[str]:
    alarmed, without_video = clean.alarmed[:2]
    interval = clopper_pearson(alarmed, clean.streams)
    return [
        title,
        f"{clean.streams:,}",
        f"{median(clean.related):g}",
        f"{clean.edited:,}",
        f"{100 * alarmed / clean.streams:.2f} %" if figure is None else held(figure),
        f"{100 * interval.low:.2f}–{100 * interval.high:.2f} %",
        f"{100 * without_video / clean.streams:.2f} %",
    ]
