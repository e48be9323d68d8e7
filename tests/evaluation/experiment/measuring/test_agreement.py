"""Answers of the server held against what the evaluation counts. The real server is posted to in ``test_run.py``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.experiment.measuring.agreement import agreement
from evaluation.experiment.measuring.verdicts import Verdicts
from evaluation.experiment.records.results import AgreementCell
from evaluation.png import encode_png
from evaluation.sample_set import SampleSet
from evaluation.server import ORDER_KEY

_ADVERSARIAL, _UNDECIDED = np.array([False, True, False, False]), np.array([False, False, True, False])
_EXPECTED = Verdicts(_ADVERSARIAL, _UNDECIDED, np.array([9, 5, 24, 7]), np.array([0, 4, 6, 1]), _ADVERSARIAL)
_ANSWERS = [
    {"verdict": verdict, "mutants": mutants, "label_changes": changes, "label": 3}
    for verdict, mutants, changes in (("normal", 9, 0), ("adversarial", 5, 4), ("undecided", 24, 6))
]


@pytest.fixture
def samples() -> dict[str, SampleSet]:
    images = np.arange(4 * 6 * 6, dtype=np.uint8).reshape(4, 6, 6, 1)
    nowhere = np.zeros(4, dtype=np.int64)
    return {kind: SampleSet(kind, images + place, nowhere, nowhere) for place, kind in enumerate("ab")}


class _Server:
    """Answers the same whatever it is asked, and remembers it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[dict[str, Any]] = [dict(answer) for answer in _ANSWERS]
        self.settings: dict[str, str] = {}
        self.posted: list[list[bytes]] = []
        monkeypatch.setattr("evaluation.experiment.measuring.agreement.served", self._served)
        monkeypatch.setattr("evaluation.experiment.measuring.agreement.post_all", self._post_all)

    @contextmanager
    def _served(self, store: Path, *, policy: str, **settings: str) -> Iterator[str]:
        self.settings = {"store": str(store), "policy": policy, **settings}
        yield "http://here"

    async def _post_all(self, url: str, bodies: list[bytes], in_flight: int) -> list[dict[str, Any]]:
        assert url == "http://here"
        assert in_flight >= 1
        self.posted.append(bodies)
        return self.answers


def test_the_first_images_of_each_kind_are_posted(
    samples: dict[str, SampleSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = _Server(monkeypatch)
    found = agreement(Path("store"), "fixed", samples, dict.fromkeys("ab", _EXPECTED), 3)
    assert found == [AgreementCell(kind=kind, policy="fixed", posted=3, same=3) for kind in "ab"]
    assert server.posted == [[encode_png(pixels) for pixels in samples[kind].images[:3]] for kind in "ab"]
    assert server.settings["policy"] == "fixed"
    assert server.settings["order_key"] == ORDER_KEY
    assert server.settings["cache_seconds"] == "0"  # or it would answer what it answered before


@pytest.mark.parametrize(
    ("place", "field", "value"),
    [
        (0, "verdict", "adversarial"),
        (0, "verdict", "undecided"),
        (1, "verdict", "normal"),
        (1, "mutants", 6),
        (2, "label_changes", 5),
        (2, "verdict", "normal"),
    ],
)
def test_an_answer_that_differs_in_anything_is_not_the_same(
    samples: dict[str, SampleSet],
    monkeypatch: pytest.MonkeyPatch,
    place: int,
    field: str,
    value: object,
) -> None:
    server = _Server(monkeypatch)
    server.answers[place][field] = value
    (found,) = agreement(Path("store"), "fixed", {"a": samples["a"]}, {"a": _EXPECTED}, 3)
    assert (found.posted, found.same) == (3, 2)
