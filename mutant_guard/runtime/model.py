"""Loaded version of a store, which judges images."""

import asyncio
from math import exp, isfinite
from operator import attrgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mutant_guard.bank.workers import Workers
from mutant_guard.decision.sequential.policies import Decision, Policy
from mutant_guard.runtime.engine import load_engine
from mutant_guard.runtime.judgement import Judgement
from mutant_guard.runtime.observer import Observer
from mutant_guard.runtime.options import Options
from mutant_guard.runtime.order import Order, OrderKey
from mutant_guard.runtime.proof import Proof, load_proof
from mutant_guard.runtime.scheduling.batches import Batches
from mutant_guard.runtime.scheduling.outcome import Outcome
from mutant_guard.runtime.scheduling.profile import RunProfile, measure_runs
from mutant_guard.runtime.scheduling.scheduler import Scheduler
from mutant_guard.store.reader import CALIBRATION, Store, open_store
from mutant_guard.store.signature import load_public_key
from mutant_guard.wire.verdict import Bounds, UndecidedBecause, Verdict

_VERDICTS = {
    Decision.NORMAL: (Verdict.NORMAL, None),
    Decision.ADVERSARIAL: (Verdict.ADVERSARIAL, None),
    Decision.EXHAUSTED: (Verdict.UNDECIDED, UndecidedBecause.POOL_EXHAUSTED),
    Decision.CAPPED: (Verdict.UNDECIDED, UndecidedBecause.MAX_MUTANTS),
    Decision.CONTINUE: (Verdict.UNDECIDED, UndecidedBecause.DEADLINE),
    Decision.NOT_FINITE: (Verdict.UNDECIDED, UndecidedBecause.NOT_FINITE),
}

_KIND = attrgetter("input", "operator", "rate", "layers", "neurons", "mutants", "companions", "robust")
"""Properties of a manifest that determine how long runs take.

Versions with equal properties are one network mutated in one way, and take the same time.
"""


class Model:
    """Store version, its policy, and the loop that runs them.

    Attributes:
        path: the store's directory.
        store: the version that is loaded.
        policy: the policy that decides.
        operators: operator of every mutant; index is the mutant's number less one.
        error_bounds: error bounds of the policy; None where it has none.
        proof: bounds on what certified mutants say; None for a store without any.
        session: the loaded bank; only the inference loop runs it once the model is started.
        scheduler: the inference loop.
        provider: onnxruntime's execution provider.
        profile: row budget of the runs, and how long they take.
        takes_turns: whether runs are short enough for the loop to take turns with the event loop.
    """

    def __init__(
        self,
        path: Path,
        options: Options,
        *,
        key: OrderKey,
        workers: Workers,
        observer: Observer,
        before: "Model | None" = None,
        version: str | None = None,
    ) -> None:
        """Open a version of the store and load it on its device.

        Args:
            path: the store's directory.
            options: policy, limits, device.
            key: the secret that orders the mutants.
            workers: the threads of this process.
            observer: object that is told of every run.
            before: the version that this one replaces; None if there is none.
            version: name of the version; by default the current one.

        Raises:
            StoreError: the store is missing, unfinished, damaged, not signed as the options
                require, or has no such policy.
            DeviceError: the requested device is not there.
        """
        signer = load_public_key(options.require_signature) if options.require_signature else None
        self.path = path
        self.store: Store = open_store(path, version, signed_by=signer)
        self.policy: Policy = self.store.policy(options.policy)
        if options.max_mutants is not None:
            self.policy = self.policy.up_to(options.max_mutants)
        self.operators = self.store.operators()
        bounds = self.policy.error_bounds
        self.error_bounds = Bounds(**bounds._asdict()) if bounds else None
        self.proof: Proof | None = load_proof(self.store, self.policy)
        self._key, self._order = key, self._dealt(key.value)
        self.session = session = load_engine(
            self.store, device=options.device, workers=workers, observer=observer
        )
        self.store.check_files(but={CALIBRATION, *self.store.bank_files})  # those were read
        self.provider = session.provider
        known = None
        if before is not None and _KIND(before.store.manifest) == _KIND(self.store.manifest):
            known = before.profile
        self.profile: RunProfile = measure_runs(session, self.store, self.policy, options, observer, known)
        # A handover to a thread and back takes longer than such a run, and the two threads share
        # Python's lock.
        self.takes_turns = self.profile.seconds * 1000 <= options.inline_ms
        batches = Batches(session, self.policy, self.profile.budget, observer.ran)
        self.scheduler = Scheduler(batches, max_in_flight=options.max_in_flight, observer=observer)

    @property
    def name(self) -> str:
        """Name of the store."""
        return self.store.name

    @property
    def version(self) -> str:
        """Version of the store that is loaded."""
        return self.store.version

    @property
    def order(self) -> Order:
        """Order in which images meet the mutants, under the key in use."""
        order = self._order
        if order.key is not self._key.value:
            self._order = order = self._dealt(self._key.value)
        return order

    def _dealt(self, key: bytes) -> Order:
        manifest = self.store.manifest
        return Order(key, pool=manifest.mutants, decks=manifest.decks, ranks=manifest.ranks)

    def scope(self, order: Order) -> str:
        """Return the name of everything that a judgement depends on besides the pixels.

        It holds the store version, the policy with its limit of mutants, and the id of the order
        key.
        """
        return f"{self.version}:{self.policy.name}:{self.policy.mutants}:{order.key_id}"

    @property
    def ready(self) -> bool:
        """Whether the model takes requests."""
        return self.scheduler.ready

    def start(self, event_loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Start the inference loop.

        It runs in a thread, unless there is an event loop and runs are short enough to take turns
        with it.
        """
        self.scheduler.start(event_loop if self.takes_turns else None)

    def close(self, seconds: float | None = None) -> None:
        """Finish the requests in flight, and stop; see ``Scheduler.close``."""
        self.scheduler.close(seconds)

    def judgement(self, outcome: Outcome, order: NDArray[np.int64]) -> Judgement:
        """Return the judgement of an outcome.

        Args:
            outcome: end of a request's test.
            order: int64 [pool], mutant numbers in the order in which the image meets them.
        """
        manifest = self.store.manifest
        verdict, undecided_because = _VERDICTS[outcome.decision]
        return Judgement(
            label=outcome.label,
            class_name=manifest.classes[outcome.label],
            confidence=_confidence(outcome, manifest.output_kind),
            raw_scores=outcome.scores.astype("<f4").tobytes(),
            verdict=verdict,
            undecided_because=undecided_because,
            mutants=outcome.mutants,
            label_changes=outcome.label_changes,
            labels=outcome.labels.tolist(),
            evidence=outcome.evidence.tolist(),
            own_evidence=outcome.own_evidence,
            operators=[self.operators[number - 1] for number in order[: outcome.mutants].tolist()],
        )

    def could_have_given(self, judgement: Judgement) -> bool:
        """Check that a judgement that was kept somewhere agrees with itself and with this model.

        Args:
            judgement: a judgement of unknown origin.
        """
        classes, met = self.store.manifest.classes, judgement.mutants
        if not 0 <= judgement.label < len(classes) or not 0 <= met <= self.policy.mutants:
            return False
        total = np.array([judgement.own_evidence + sum(judgement.evidence)])
        decided = Decision(int(self.policy.decide(total, np.array([met]))[0]))
        said = judgement.verdict, judgement.undecided_because
        return (
            judgement.class_name == classes[judgement.label]
            and 0 <= judgement.confidence <= 1
            and len(judgement.raw_scores) == 4 * len(classes)
            and len(judgement.labels) == len(judgement.evidence) == len(judgement.operators) == met
            and 0 <= min(judgement.labels, default=0)
            and max(judgement.labels, default=0) < len(classes)
            and judgement.label_changes == met - judgement.labels.count(judgement.label)
            and (said == _VERDICTS[decided] or self._could_be_not_finite(judgement, decided))
        )

    @staticmethod
    def _could_be_not_finite(judgement: Judgement, decided: Decision) -> bool:
        """Check whether scores that are not finite may have ended a test that decided nothing else."""
        undecided = decided is Decision.CONTINUE or not np.isfinite(judgement.scores).all()
        said = judgement.verdict, judgement.undecided_because
        return undecided and said == _VERDICTS[Decision.NOT_FINITE]

    def doubt(self, judgement: Judgement) -> float | None:
        """Return the mean doubt among the mutants of a judgement.

        It is None where label changes are counted, and without mutants.
        """
        unit = self.policy.evidence.unit
        if unit == 1 or not judgement.evidence:
            return None
        return sum(judgement.evidence) / unit / judgement.mutants


def _confidence(outcome: Outcome, output_kind: str) -> float:
    """Return the probability of the label, 0 where the scores are not finite and give none."""
    scores = outcome.scores.tolist()  # of few classes, arrays take several times as long
    if not all(map(isfinite, scores)):
        return 0.0
    label = scores[outcome.label]
    return label if output_kind == "probabilities" else 1 / sum(exp(score - label) for score in scores)
