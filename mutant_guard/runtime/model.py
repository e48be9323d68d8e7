"""A store version that is loaded and answers."""

import asyncio
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
from mutant_guard.runtime.scheduling.batches import Batches
from mutant_guard.runtime.scheduling.outcome import Outcome
from mutant_guard.runtime.scheduling.profile import RunProfile, measure_runs
from mutant_guard.runtime.scheduling.scheduler import Scheduler
from mutant_guard.store.reader import Store, load_store
from mutant_guard.store.signature import load_public_key
from mutant_guard.wire.verdict import Bounds, UndecidedBecause, Verdict

_VERDICTS = {
    Decision.NORMAL: (Verdict.NORMAL, None),
    Decision.ADVERSARIAL: (Verdict.ADVERSARIAL, None),
    Decision.EXHAUSTED: (Verdict.UNDECIDED, UndecidedBecause.POOL_EXHAUSTED),
    Decision.CAPPED: (Verdict.UNDECIDED, UndecidedBecause.MAX_MUTANTS),
    Decision.CONTINUE: (Verdict.UNDECIDED, UndecidedBecause.DEADLINE),
}

_KIND = attrgetter("input", "operator", "rate", "layers", "neurons", "mutants")
"""Of a manifest: versions where it is the same take the same time, being one network mutated in one way."""


class Model:
    """A store, a policy, and the loop that runs them.

    Attributes:
        path: the store's directory.
        store: the version that is loaded.
        policy: how it decides.
        operators: of every mutant, by its number less one.
        error_bounds: of the policy, None where it has none.
        scheduler: the inference loop.
        provider: onnxruntime's execution provider.
        profile: how its runs are filled, and how long they take.
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
    ) -> None:
        """Open the store's current version and load it on its device.

        Args:
            path: the store's directory.
            options: policy, limits, device.
            key: the secret that orders the mutants.
            workers: the threads of this process.
            observer: told of every run.
            before: the version that this one takes the place of.

        Raises:
            StoreError: the store is missing, unfinished, damaged or not signed as the options require, or has no
                such policy.
            DeviceError: the device asked for is not there.
        """
        signer = load_public_key(options.require_signature) if options.require_signature else None
        self.path = path
        self.store: Store = load_store(path, signed_by=signer)
        self.policy: Policy = self.store.policy(options.policy)
        if options.max_mutants is not None:
            self.policy = self.policy.up_to(options.max_mutants)
        self.operators = self.store.operators()
        bounds = self.policy.error_bounds
        self.error_bounds = Bounds(**bounds._asdict()) if bounds else None
        manifest = self.store.manifest
        self._key, self._order = key, Order(key.value, pool=manifest.mutants, decks=manifest.decks)
        session = load_engine(self.store, device=options.device, workers=workers, observer=observer)
        self.provider = session.provider
        known = None
        if before is not None and _KIND(before.store.manifest) == _KIND(manifest):
            known = before.profile
        self.profile: RunProfile = measure_runs(session, self.store, self.policy, options, observer, known)
        # Handing requests to a thread and back takes longer than such a run, and the two threads share Python's lock.
        self.takes_turns = self.profile.seconds * 1000 <= options.inline_ms
        batches = Batches(session, self.policy, self.profile.budget, observer.ran)
        self.scheduler = Scheduler(batches, max_in_flight=options.max_in_flight, observer=observer)

    @property
    def name(self) -> str:
        """Name of the store."""
        return self.store.name

    @property
    def version(self) -> str:
        """Version that is loaded."""
        return self.store.version

    @property
    def order(self) -> Order:
        """In which images meet the mutants, under the key in use."""
        order = self._order
        if order.key is not self._key.value:
            manifest = self.store.manifest
            self._order = order = Order(self._key.value, pool=manifest.mutants, decks=manifest.decks)
        return order

    def scope(self, order: Order) -> str:
        """What a judgement depends on besides the pixels: store version, policy with its limit, and order key."""
        return f"{self.version}:{self.policy.name}:{self.policy.mutants}:{order.key_id}"

    @property
    def ready(self) -> bool:
        """Whether requests are taken."""
        return self.scheduler.ready

    def start(self, event_loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Start the inference loop: in a thread, unless there is an event loop and runs are short."""
        self.scheduler.start(event_loop if self.takes_turns else None)

    def close(self, seconds: float | None = None) -> None:
        """Finish what is in flight, and stop; see ``Scheduler.close``."""
        self.scheduler.close(seconds)

    def judgement(self, outcome: Outcome, order: NDArray[np.int64]) -> Judgement:
        """What an outcome says, for an image that meets the mutants in this order, int64 [pool]."""
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

    def doubt(self, judgement: Judgement) -> float | None:
        """Mean doubt among the mutants of a judgement; None where label changes are counted, or without mutants."""
        unit = self.policy.evidence.unit
        if unit == 1 or not judgement.evidence:
            return None
        return sum(judgement.evidence) / unit / judgement.mutants


def _confidence(outcome: Outcome, output_kind: str) -> float:
    scores = outcome.scores.astype(np.float64)
    if output_kind == "probabilities":
        return float(scores[outcome.label])
    return float(1 / np.exp(scores - scores[outcome.label]).sum())
