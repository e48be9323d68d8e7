"""Check that servers that are compared answer the same, before anything is measured."""

import json
from collections.abc import Callable, Sequence

import httpx
import numpy as np

from benchmarks.agreement import DisagreementError
from benchmarks.load.ask import ask
from benchmarks.load.plan import Plan
from benchmarks.subjects import ServedStore
from evaluation.server import Server
from mutant_guard.decision.calibration.simulation import run
from mutant_guard.decision.sequential.policies import Decision
from mutant_guard.wire.verdict import Verdict

Entry = dict[str, object]

_VERDICTS = {Decision.NORMAL: Verdict.NORMAL, Decision.ADVERSARIAL: Verdict.ADVERSARIAL}


def answers(
    server: Server, bodies: Sequence[bytes], path: str = "/classify", content_type: str = "image/png"
) -> list[Entry]:
    """Return a server's answer to every body.

    Raises:
        DisagreementError: it answers one with another status than 200.
    """
    plan = Plan(server.port, path, bodies, 1, 1.0, content_type=content_type)
    found = ask(server.port, plan.requests())
    for answer in found:
        if answer.status != httpx.codes.OK:
            raise DisagreementError(f"{server.url}{path} answered {answer.status}: {answer.body[:300]!r}")
    return [json.loads(answer.body) for answer in found]


def check(
    who: str,
    theirs: Sequence[Entry],
    ours: Sequence[Entry],
    what: Sequence[str] = ("label", "verdict", "mutants"),
) -> None:
    """Compare a server's answers with the guard's on the same images; there may be fewer of them.

    Args:
        who: name of the server.
        theirs: answers of the server.
        ours: answers of mutant-guard.
        what: entries that must be the same.

    Raises:
        DisagreementError: the answers differ in any of ``what``.
    """
    for number, (a, b) in enumerate(zip(theirs, ours, strict=False)):
        for name in what:
            if a.get(name) != b.get(name):
                raise DisagreementError(
                    f"{who} and mutant-guard do not agree on image {number}: {name} is {a.get(name)} and "
                    f"{b.get(name)}; nothing was measured"
                )


def labels(theirs: Sequence[Entry], label: Callable[[Entry], object]) -> list[Entry]:
    """Return the answers of a server that knows labels alone as entries."""
    return [{"label": label(entry)} for entry in theirs]


def expected(subject: ServedStore, policy: str, count: int) -> list[Entry]:
    """Compute a policy's answers for the first images from all mutants' labels.

    The policy must count label changes.
    """
    images, manifest = subject.images[:count], subject.store.manifest
    session = subject.store.session()
    found = session.labels(manifest.input.tensor(images), np.arange(manifest.mutants + 1))
    session.close()
    order = np.stack([subject.order.mutants(pixels) for pixels in images])
    changed = np.take_along_axis(found, order, axis=1) != found[:, :1]
    state = run(subject.store.policy(policy), changed)
    return [
        {
            "label": label,
            "verdict": _VERDICTS.get(Decision(decision), Verdict.UNDECIDED).value,
            "mutants": mutants,
        }
        for label, decision, mutants in zip(
            found[:, 0].tolist(), state.decisions.tolist(), state.mutants.tolist(), strict=True
        )
    ]
