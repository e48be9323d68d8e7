"""Queries until attacks by queries are seen."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import Figure
from benchmarks.probing.subjects import ProbedData
from benchmarks.sections import Section, Table, held
from evaluation.queries.campaign import campaign
from evaluation.queries.config import QueriesConfig, read_config
from evaluation.queries.counting import quantile
from evaluation.queries.oracle import CampaignOverError, Rules
from evaluation.queries.services.response import Pixels, Query, Response
from evaluation.queries.settings import AttackSettings
from service.probing.memory import QueryMemory
from service.probing.sequence import WITHOUT_VIDEO, Thresholds

_IMAGES, _BUDGET = 30, 200
_LARGE_SHARE = 3
"""One in so many images is attacked where they are large."""
_MOST_QUERIES = 10
_LIMITS = (Thresholds(), WITHOUT_VIDEO)
_CONFIGS = Path(__file__).parents[2] / "evaluation" / "configs"


def measure(subjects: list[ProbedData], quick: bool, say: Callable[[str], None]) -> Section:
    """Attack images by queries, and count those until each attack is seen.

    Raises:
        DataError: a package of the attacks is not installed.
    """
    rows, figures = [], []
    for subject in subjects:
        file = _CONFIGS / f"queries-{subject.key}.toml"
        if not file.exists():
            continue
        config, pooled = read_config(file), []
        fewer = _LARGE_SHARE if subject.large else 1
        images = _IMAGES // (10 if quick else fewer)
        for attack in config.attacks:
            say(f"{subject.title}: {attack.name}")
            seen, evaded = _campaigns(subject, config, attack, images)
            rows.append(_row(f"{subject.title}: {attack.name}", seen, evaded, None))
            if not getattr(attack, "adaptive", False):
                pooled.append((seen, evaded))
        seen, evaded = (np.concatenate(part) for part in zip(*pooled, strict=True))
        middle = quantile(seen[:, 0], 0.5)
        told = _BUDGET if middle is None else middle
        figure = Figure(f"probing_{subject.key}_seen", told, "", _MOST_QUERIES, at_most=True)
        figures.append(figure)
        rows.append(_row(f"{subject.title}: all that do not adapt", seen, evaded, figure))
    table = Table(
        "Queries until an attack is seen",
        ["", "campaigns", "median", "95 %", "seen", "evade unseen", "median, without video"],
        rows,
        [
            f"Attacks by the bare label and confidence of the classifier, {_BUDGET} queries at most; – stands where "
            "more are not seen by then. A campaign that evades first ends: such need few queries because the "
            f"classifier is weak. {_LIMITS[0]}; the last column has settled={WITHOUT_VIDEO.settled}. Settings of the "
            "attacks and largest changes are those of `python -m evaluation queries`.",
        ],
    )
    return Section("Attacks", [table], figures)


class _Remembered:
    """Classifier behind a memory of queries, which only observes.

    Attributes:
        seen: number of the first query of a campaign under each of the thresholds; −1 for none yet.
    """

    def __init__(self, subject: ProbedData) -> None:
        self._subject, self._fingerprint = subject, subject.fingerprint
        self.forget()

    def forget(self) -> None:
        """Begin with an empty memory."""
        self._memory = QueryMemory(4 * _BUDGET, 1e9, radius=self._fingerprint.radius)
        self._count, self.seen = 0, [-1] * len(_LIMITS)

    def ask(self, images: Pixels, queries: Sequence[Query]) -> list[Response]:
        """Respond to images uint8 [N, H, W, C], one after the other.

        Raises:
            CampaignOverError: the campaign is seen under all thresholds.
        """
        labels, confidences = self._subject.classify(images)
        responses = []
        for image, label, confidence in zip(images, labels.tolist(), confidences.tolist(), strict=True):
            digest = hashlib.sha256(image.tobytes()).digest()
            seen = self._memory.seen(self._fingerprint.of(image), digest, "one", 0.0)
            self._memory.answered(seen, label, False, confidence)
            self._count += 1
            for place, limits in enumerate(_LIMITS):
                if self.seen[place] < 0 and seen.sequence.reaches(limits):
                    self.seen[place] = self._count
            responses.append(Response(label, label, confidence))
            if min(self.seen) > 0:
                raise CampaignOverError("budget")
        return responses


def _campaigns(
    subject: ProbedData, config: QueriesConfig, attack: AttackSettings, count: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the first queries seen, int64 [N, thresholds], and whether campaigns evaded before."""
    images, service = subject.images, _Remembered(subject)
    labels, _ = subject.classify(images[: 4 * count])
    random, seen, evaded = np.random.default_rng(0), [], []
    for place in range(count):
        start = int(random.choice(np.flatnonzero(labels != labels[place])))
        _, end = campaign(
            service,
            attack,
            images[place],
            images[start],
            int(labels[place]),
            subject.classes,
            config.limit(attack.norm),
            Rules(_BUDGET, _BUDGET),
            place,
        )
        seen.append(list(service.seen))
        evaded.append(end == "evaded" and service.seen[0] < 0)
    return np.array(seen), np.array(evaded)


def _row(title: str, seen: NDArray[Any], evaded: NDArray[np.bool_], figure: Figure | None) -> list[str]:
    middle, most, without = quantile(seen[:, 0], 0.5), quantile(seen[:, 0], 0.95), quantile(seen[:, 1], 0.5)
    return [
        title,
        f"{len(seen):,}",
        _number(middle) if figure is None or middle is None else held(figure),
        _number(most),
        f"{100 * np.mean(seen[:, 0] > 0):.0f} %",
        f"{100 * np.mean(evaded):.0f} %",
        _number(without),
    ]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"
