"""Share of images for which no change within ε can be cleared under a wrong label."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mutant_guard.decision.calibration.intervals import clopper_pearson
from mutant_guard.decision.evidence.kinds import Evidence
from mutant_guard.errors import DataError, StoreError
from mutant_guard.runtime.proof import LARGEST_EPSILON, Proof
from mutant_guard.store.calibration_record import RateEstimate
from mutant_guard.store.manifest import Frozen
from mutant_guard.store.reader import Store, load_store
from mutant_store.calibrating.clean_images import CleanImages, load_images
from mutant_store.calibrating.recordings import all_scores
from mutant_store.reporter import Reporter

_BLOCK = 64


class ProvedShare(Frozen):
    """Images that are proved at one ε.

    Attributes:
        epsilon: largest change of a pixel, in units of the pixel range 0 to 1.
        proved: share of all images.
        proved_right: share of the images that the classifier gets right as they are; None where
            there are none.
    """

    epsilon: float
    proved: RateEstimate
    proved_right: RateEstimate | None


class Certification(Frozen):
    """Result of ``mutant-store certify``.

    An image is proved at ε where no image that differs from it by at most ε in every pixel, at the
    size that the classifier reads, can be cleared under another label than the true one.

    Attributes:
        store: name of the store.
        version: name of the version.
        policy: name of the policy whose verdict is proved.
        spec: SPEC of the images.
        images: number of images.
        right: number of images that the classifier gets right as they are.
        obstacle: reason for which nothing can be proved of this store; None where something may be.
        notes: sentences on the images.
        shares: share of proved images at each ε.
    """

    store: str
    version: str
    policy: str
    spec: str
    images: int
    right: int
    obstacle: str | None
    notes: list[str]
    shares: list[ProvedShare]


def certify(
    path: Path, spec: str, epsilons: Sequence[float], report: Reporter, *, policy: str = "calibrated"
) -> Certification:
    """Prove for labelled images that no change within ε is cleared under a wrong label.

    The proof holds for the verdict as served: for the sum of evidence, the stages, the early alarm,
    the weights and every order of the mutants. It is about changes of pixels at the size that the
    classifier reads.

    Args:
        path: the store.
        spec: SPEC of the images.
        epsilons: largest changes of a pixel, 0 to 0.5, in units of the pixel range 0 to 1.
        report: receiver of the progress.
        policy: name of the policy.

    Raises:
        StoreError: the store cannot be opened, has no such policy, or holds bounds of another
            network.
        DataError: the images are not what the SPEC says, or trained the classifier; or an ε is out
            of its range.
    """
    for epsilon in epsilons:
        if not 0 <= epsilon <= LARGEST_EPSILON:
            raise DataError(f"--epsilon {epsilon:g} is not between 0 and {LARGEST_EPSILON:g}")
    store = load_store(path)
    proof = Proof(store, store.policy(policy))
    images = load_images(store, spec)
    said = _said(store, proof, store.policy(policy).evidence, images, report)
    right = said.labels == images.labels
    shares = []
    for epsilon in epsilons:
        report.step(f"proving at ε {epsilon:g}")
        held = _held(proof, images, said, epsilon, report)
        of_right = held[right]
        shares.append(
            ProvedShare(
                epsilon=epsilon, proved=_rate(held), proved_right=_rate(of_right) if of_right.size else None
            )
        )
    return Certification(
        store=store.name,
        version=store.version,
        policy=policy,
        spec=spec,
        images=len(right),
        right=int(right.sum()),
        obstacle=proof.obstacle,
        notes=list(images.data.notes),
        shares=shares,
    )


@dataclass(frozen=True, eq=False)
class _Said:
    """Answers of the classifier and of the mutants that are heard first.

    Attributes:
        labels: int64 [images], the classifier's labels.
        evidence: int64 [images], least evidence of such a mutant against these labels.
    """

    labels: NDArray[np.int64]
    evidence: NDArray[np.int64]


def _said(store: Store, proof: Proof, evidence: Evidence, images: CleanImages, report: Reporter) -> _Said:
    report.step("classifying the images")
    total, asked = len(images.labels), np.array([0, *proof.mutants])
    labels, least = np.empty(total, np.int64), np.full(total, evidence.unit, np.int64)
    with closing(store.session()) as session:
        together = session.images_together(_BLOCK)
        for start in range(0, total, together):
            block = slice(start, start + together)
            scores = all_scores(session, images.inputs[block], asked)
            labels[block] = scores[:, 0].argmax(axis=1)
            for place, number in enumerate(proof.mutants, 1):
                mutants = np.full(len(scores), number)
                found = evidence.of_mutants(scores[:, place], labels[block], mutants, scores[:, 0])
                least[block] = np.minimum(least[block], found)
            report.progress(min(start + together, total), total, "images")
    return _Said(labels, least)


def _held(
    proof: Proof, images: CleanImages, said: _Said, epsilon: float, report: Reporter
) -> NDArray[np.bool_]:
    """Return which images are proved at ε, bool [images].

    Raises:
        StoreError: a mutant says less against a label than its bounds, which are then another
            network's.
    """
    pixels, total = images.inputs.pixels[0], len(images.labels)
    found = np.zeros(total, dtype=np.bool_)
    for start in range(0, total if proof.obstacle is None else 0, _BLOCK):
        block = slice(start, start + _BLOCK)
        labels = said.labels[block]
        least = proof.least_evidence(pixels[block], np.full(len(labels), epsilon))
        if (least[np.arange(len(labels)), labels] > said.evidence[block]).any():
            raise StoreError(
                "the bounds in the store are not those of its robust mutants: these doubt clean images less; build the "
                "store again"
            )
        found[block] = proof.suffices(least, images.labels[block])
        report.progress(min(start + _BLOCK, total), total, "images")
    return found


def _rate(hits: NDArray[np.bool_]) -> RateEstimate:
    return RateEstimate(**asdict(clopper_pearson(int(hits.sum()), int(hits.size))))
