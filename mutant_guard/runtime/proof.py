"""Proof that no image near a given one is cleared under a wrong label.

It is a proof of the verdict as served. Whatever is cleared was heard by a mutant of the first rank,
and the original's own evidence is never below 0. Where each mutant that may be heard first doubts a
label so much, on every image near this one, that its doubt alone rules out the verdict normal, no
such image is cleared under that label, whatever the original and the other mutants say.
"""

from dataclasses import dataclass

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mutant_guard.bank.memory import rows_within, run_bytes
from mutant_guard.bank.session import open_session, row_bytes
from mutant_guard.decision.evidence.kinds import UNIT, Doubts
from mutant_guard.decision.sequential.policies import Policy
from mutant_guard.errors import ModelError, StoreError, one_line
from mutant_guard.store.manifest import Manifest
from mutant_guard.store.reader import Store

LOWER, UPPER, TEMPERATURE, LEAST_DOUBTS = "lower", "upper", "temperature", "least_doubts"
"""Names of the inputs of a graph of bounds, and of its output."""

LARGEST_EPSILON = 0.5
STEPS = 510
"""Number of steps from 0 to the largest ε in which a radius is looked for, 1/1020 each."""

_TOGETHER = 23
"""Number of radii that are tried at once: twice so many tell all steps apart."""
_MOST_ROWS = 512
_LEAST_PROBABILITY = 1.001e-12
"""Least probability that evidence tells apart, see ``log_scores``, with room for rounding."""


@dataclass(frozen=True)
class _Bounds:
    """Graph of bounds on the doubts of a mutant.

    Attributes:
        session: the graph.
        temperature: temperature of the mutant's softmax.
        weight: weight of the mutant's doubt.
    """

    session: onnxruntime.InferenceSession
    temperature: float
    weight: float


class Proof:
    """Bounds on what the mutants that are heard first say, under a policy.

    Attributes:
        obstacle: reason for which nothing can be proved of this store and policy; None where
            something may be.
        mutants: numbers of the mutants that may be heard first, as far as their bounds are known.
    """

    def __init__(self, store: Store, policy: Policy) -> None:
        """Read the graphs of bounds of a store, whose hashes are checked.

        Args:
            store: the store.
            policy: the policy as it is served.

        Raises:
            StoreError: a file is missing or changed, or holds no bounds for this store.
        """
        self._manifest, self._path = store.manifest, store.path
        self.obstacle = _obstacle(store.manifest, policy)
        self._first: list[_Bounds] = []
        self.mutants: list[int] = []
        # Sums never fall. From here on they are an alarm after the first mutant, or above whatever
        # is found normal later on.
        limits = policy.boundaries.normal_at_most, policy.boundaries.adversarial_at_least
        self._needed = min(int(limits[1][1]), int(limits[0].max()) + 1)
        evidence = policy.evidence
        if self.obstacle is None and isinstance(evidence, Doubts):
            for record in store.manifest.robust:
                temperature, weight = evidence.of_mutant(record.mutant)
                session = _opened(store, str(record.bounds))
                self._first.append(_Bounds(session, temperature, weight))
                self.mutants.append(record.mutant)
            most = UNIT * min(each.weight for each in self._first)
            if self._needed > most:
                self.obstacle = (
                    f"the doubt of a first mutant alone raises no alarm: it counts at most {most / UNIT:.3g} and an "
                    f"alarm takes {self._needed / UNIT:.3g}, since mutants doubt clean images; train it longer, or "
                    "calibrate with a higher --max-false-alarm"
                )

    def holds(
        self, pixels: NDArray[np.uint8], labels: NDArray[np.int64], epsilons: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Return for which images no image within ε is cleared under another label, bool [N].

        Args:
            pixels: uint8 [N, height, width, channels], as the original's ``InputSpec`` takes them.
            labels: int64 [N], positions of the labels that may be cleared.
            epsilons: float64 [N], largest change of a pixel, in units of the pixel range 0 to 1.

        Raises:
            StoreError: the bounds are not for images and classes of this store.
        """
        if self.obstacle is not None:
            return np.zeros(len(pixels), dtype=np.bool_)
        return self.suffices(self.least_evidence(pixels, epsilons), labels)

    def suffices(self, least: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return for which images such evidence rules out every other label, bool [N].

        Args:
            least: int64 [N, classes], see ``least_evidence``.
            labels: int64 [N], positions of the labels that may be cleared.
        """
        others = np.arange(least.shape[1]) != labels[:, None]
        return np.asarray(((least >= self._needed) | ~others).all(axis=1) & (self.obstacle is None))

    def least_evidence(self, pixels: NDArray[np.uint8], epsilons: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the least evidence of a first mutant against each class, over all images within ε.

        Args:
            pixels: uint8 [N, height, width, channels].
            epsilons: float64 [N], largest change of a pixel, in units of the pixel range 0 to 1.

        Returns:
            int64 [N, classes], in the units of the policy's evidence; 0 where nothing is known.

        Raises:
            StoreError: the bounds are not for images and classes of this store.
        """
        found = np.full((len(pixels), len(self._manifest.classes)), UNIT if self._first else 0, np.int64)
        rows = min(
            (rows_within(run_bytes(1), row_bytes(each.session), _MOST_ROWS) for each in self._first),
            default=_MOST_ROWS,
        )
        for start in range(0, len(pixels), rows):
            block = slice(start, start + rows)
            box = self._manifest.input.box(pixels[block], epsilons[block])
            for each in self._first:
                doubts = np.floor(self._doubts(each, *box) * UNIT)
                found[block] = np.minimum(found[block], np.floor(doubts * each.weight).astype(np.int64))
        return found

    def radius(self, pixels: NDArray[np.uint8], label: int) -> float:
        """Return the largest ε within which no image is cleared under another label than this one.

        It is looked for between 0 and 0.5 in steps of 1/1020 of the pixel range, and rounded down.
        It is 0 where not even the image itself is proved.

        Args:
            pixels: uint8 [height, width, channels], one image.
            label: position of the label.

        Raises:
            StoreError: the bounds are not for images and classes of this store.
        """
        if self.obstacle is not None:
            return 0.0
        step = 0
        wide = -(-STEPS // (_TOGETHER - 1))
        for size, first in ((wide, 0), (1, 1)):
            tried = np.minimum(step + size * np.arange(first, first + _TOGETHER), STEPS)
            several = np.broadcast_to(pixels, (len(tried), *pixels.shape))
            epsilons = tried * (LARGEST_EPSILON / STEPS)
            held = self.holds(several, np.full(len(tried), label), epsilons)
            proved = len(held) if held.all() else int(held.argmin())
            if not proved and first == 0:
                return 0.0
            step = int(tried[proved - 1]) if proved else step
        return float(np.floor(step * (LARGEST_EPSILON / STEPS) * 1e6) / 1e6)

    def _doubts(
        self, bounds: _Bounds, low: NDArray[np.float32], high: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        feed = {LOWER: low, UPPER: high, TEMPERATURE: np.array([bounds.temperature], np.float32)}
        try:
            (found,) = bounds.session.run([LEAST_DOUBTS], feed)
        except Exception as error:  # onnxruntime raises a class of its own for every failure
            raise self._unfit(one_line(error)) from error
        classes = len(self._manifest.classes)
        if np.shape(found) != (len(low), classes):
            raise self._unfit(f"they have the shape {list(np.shape(found))}, not {[len(low), classes]}")
        most = 1.0
        if self._manifest.output_kind == "probabilities":
            # Evidence raises probabilities below the least one to it, and with them this class's.
            most = 1 - (classes * _LEAST_PROBABILITY) ** (1 / bounds.temperature)
        known = np.where(found >= 0, found, 0).astype(np.float64)  # of what overflowed nothing is
        return np.asarray(np.minimum(known, most))

    def _unfit(self, reason: str) -> StoreError:
        return StoreError(f"{self._path}: the bounds do not fit the store ({reason}); build the store again")


def load_proof(store: Store, policy: Policy) -> Proof | None:
    """Return the proof for a store under a policy; None for a store without certified mutants.

    Raises:
        StoreError: a file is missing or changed, or holds no bounds for this store.
    """
    certified = any(record.bounds is not None for record in store.manifest.robust)
    return Proof(store, policy) if certified else None


def _obstacle(manifest: Manifest, policy: Policy) -> str | None:
    """Return the reason for which nothing can be proved, None where there is none."""
    ranks = manifest.ranks or [0] * manifest.mutants
    first = {number for number, rank in enumerate(ranks, 1) if rank == min(ranks)}
    bounded = {record.mutant for record in manifest.robust if record.bounds is not None}
    if not bounded:
        return "the store has no certified mutant; build one with --operator mixed:robust,retrain --certified"
    if unbounded := sorted(first - bounded):
        names = ", ".join(map(str, unbounded[:5])) + (" …" if len(unbounded) > 5 else "")
        return (
            f"an image may be cleared after mutant {names} alone, which has no bounds; build with --certified"
        )
    if not isinstance(policy.evidence, Doubts):
        return f"policy '{policy.name}' counts label changes, and bounds are known for doubts; use calibrated"
    return None


def _opened(store: Store, name: str) -> onnxruntime.InferenceSession:
    try:
        session = open_session(store.read(name), threads=1)
    except ModelError as error:
        raise StoreError(f"{store.path / name} is damaged ({error}); build the store again") from error
    inputs, outputs = (
        {entry.name for entry in part} for part in (session.get_inputs(), session.get_outputs())
    )
    if inputs != {LOWER, UPPER, TEMPERATURE} or outputs != {LEAST_DOUBTS}:
        raise StoreError(f"{store.path / name} holds no bounds on doubts; build the store again")
    return session
