"""The shipped service on images of every kind, compared with the evaluation's verdicts."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluation.experiment.measuring.verdicts import Verdicts
from evaluation.experiment.records.results import AgreementCell
from evaluation.over_http import post_all
from evaluation.png import encode_png
from evaluation.sample_set import SampleSet
from evaluation.server import ORDER_KEY, served

_IN_FLIGHT = 8


def agreement(
    store: Path,
    policy: str,
    samples: Mapping[str, SampleSet],
    expected: Mapping[str, Verdicts],
    posted: int,
) -> list[AgreementCell]:
    """Start a real server, post the first images of each kind as PNG, and compare.

    An answer is the same where verdict, mutants and label changes all are.

    Args:
        store: directory of the store.
        policy: name of the policy to serve.
        samples: images by kind.
        expected: verdicts of the evaluation on them, by kind.
        posted: largest number of images of each kind.

    Raises:
        RuntimeError: the server does not start.
        httpx.HTTPStatusError: the server gives an answer other than 200.
    """
    cells = []
    with served(store, policy=policy, cache_seconds="0", order_key=ORDER_KEY, deadline_seconds="60") as url:
        for kind, found in samples.items():
            part = found.head(posted)
            answers = asyncio.run(post_all(url, [encode_png(pixels) for pixels in part.images], _IN_FLIGHT))
            same = sum(_same(answer, expected[kind], number) for number, answer in enumerate(answers))
            cells.append(AgreementCell(kind=kind, policy=policy, posted=len(part), same=same))
    return cells


def _same(answer: dict[str, Any], expected: Verdicts, number: int) -> bool:
    verdict = "adversarial" if expected.adversarial[number] else "normal"
    return (answer["verdict"], answer["mutants"], answer["label_changes"]) == (
        "undecided" if expected.undecided[number] else verdict,
        int(expected.mutants[number]),
        int(expected.label_changes[number]),
    )
