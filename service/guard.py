"""The guard itself, without a protocol: bytes in, judgement out."""

import asyncio
import contextlib
import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from detection.policies import Decision, Policy
from mutant_store.reader import Store, open_store
from mutant_store.signature import load_public_key
from service.cache import MemoryCache, VerdictCache
from service.engine import load_engine
from service.errors import DeadlineError, QueueFullError
from service.images import decode
from service.metrics import Metrics
from service.order import Order, load_key
from service.outcome import Outcome
from service.redis_cache import RedisCache
from service.scheduler import Scheduler
from service.settings import Settings
from service.verdict import Bounds, Explanation, Judgement, UndecidedBecause, Verdict

# How long after the deadline the inference loop may still answer: a run that has begun is not cut short.
_GRACE_SECONDS = 2.0

_VERDICTS = {
    Decision.NORMAL: (Verdict.NORMAL, None),
    Decision.ADVERSARIAL: (Verdict.ADVERSARIAL, None),
    Decision.EXHAUSTED: (Verdict.UNDECIDED, UndecidedBecause.POOL_EXHAUSTED),
    Decision.CAPPED: (Verdict.UNDECIDED, UndecidedBecause.MAX_MUTANTS),
    Decision.CONTINUE: (Verdict.UNDECIDED, UndecidedBecause.DEADLINE),
}


@dataclass(frozen=True)
class _Prepared:
    pixels: NDArray[np.uint8]
    inputs: NDArray[np.float32]
    order: NDArray[np.int64]
    key: str


class Guard:
    """A store, a policy, and the loop that runs them."""

    def __init__(self, settings: Settings, metrics: Metrics | None = None) -> None:
        """Open the store and load it on its device.

        Raises:
            StoreError: the store is missing, unfinished, damaged or not signed as the settings require, or has no
                such policy.
            DeviceError: the device asked for is not there.
        """
        self.settings, self.metrics = settings, metrics or Metrics()
        signer = load_public_key(settings.require_signature) if settings.require_signature else None
        self.store: Store = open_store(settings.store, signed_by=signer)
        self.policy: Policy = self.store.policy(settings.policy)
        if settings.max_mutants is not None:
            self.policy = self.policy.up_to(settings.max_mutants)
        self.operators = self.store.operators()
        bounds = self.policy.error_bounds
        self.error_bounds = Bounds(**bounds._asdict()) if bounds else None
        manifest = self.store.manifest
        self.order = Order(load_key(settings), pool=manifest.mutants, decks=manifest.decks)
        session = load_engine(self.store, device=settings.device, threads=settings.threads)
        self.provider = session.provider
        self.scheduler = Scheduler(
            session,
            self.policy,
            max_in_flight=settings.max_in_flight,
            # Surplus evidence is only cheap where mutants share weights.
            batch_rows=settings.batch_rows if self.store.shares_weights or not self.policy.stops else 1,
            max_batch_rows=settings.max_batch_rows,
            on_run=lambda run: self.metrics.batch_rows.observe(run.rows),
        )
        self._preparing = 0
        self._decoders = ThreadPoolExecutor(settings.decode_threads, thread_name_prefix="decode")
        self._cache = self._make_cache()
        self._describe()

    def start(self) -> None:
        """Start the inference loop."""
        self.scheduler.start()

    async def close(self) -> None:
        """Finish what is in flight and stop."""
        await asyncio.to_thread(self.scheduler.close)
        self._decoders.shutdown()
        if self._cache is not None:
            await self._cache.close()

    @property
    def ready(self) -> bool:
        """Whether requests are taken."""
        return self.scheduler.ready

    async def judge(self, body: bytes) -> tuple[Judgement, bool]:
        """Judge an image; the second value says whether the judgement came from the cache.

        Raises:
            BadImageError: the body is no image this model takes.
            QueueFullError: too many requests in flight.
            DeadlineError: the deadline passed before the first run, or the loop hangs.
            NotReadyError: the inference loop is not running.
        """
        seconds = self.settings.deadline_seconds
        deadline, until = time.perf_counter() + seconds, asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout_at(until) as limit:
                prepared = await self._prepare_beside(body)
                kept = await self._look_up(prepared.key)
                if kept is not None:
                    return kept, True
                future = self.scheduler.submit(prepared.inputs, prepared.order, deadline=deadline)
                limit.reschedule(until + _GRACE_SECONDS)  # the loop minds the deadline, unless it hangs
                outcome = await asyncio.wrap_future(future)
        except (TimeoutError, DeadlineError) as error:
            raise DeadlineError(f"no verdict within {seconds:g} s; try again") from error
        judgement = self._judgement(outcome, prepared.order)
        self._observe(outcome)
        if self._cache is not None and judgement.undecided_because != UndecidedBecause.DEADLINE:
            await self._cache.put(prepared.key, judgement.model_dump_json().encode())
        return judgement, False

    def judge_now(self, body: bytes) -> tuple[Judgement, float]:
        """The same for callers without an event loop: not cached, no deadline; the second value is seconds."""
        started = time.perf_counter()
        prepared = self._prepare(body)
        outcome = self.scheduler.submit(prepared.inputs, prepared.order).result()
        return self._judgement(outcome, prepared.order), time.perf_counter() - started

    def explain(self, judgement: Judgement) -> Explanation:
        """How the test of a judgement of this guard went, kept or not."""
        return explain(self.policy, judgement)

    def doubt(self, judgement: Judgement) -> float | None:
        """Mean doubt among the mutants of a judgement; None where label changes are counted, or without mutants."""
        unit = self.policy.evidence.unit
        return (
            None
            if unit == 1 or not judgement.evidence
            else sum(judgement.evidence) / unit / judgement.mutants
        )

    def is_alarm(self, verdict: Verdict) -> bool:
        """Whether a verdict counts as an alarm under the settings."""
        return verdict == Verdict.ADVERSARIAL or (
            verdict == Verdict.UNDECIDED and self.settings.alarm_on_undecided
        )

    async def _prepare_beside(self, body: bytes) -> _Prepared:
        """Prepare in a thread; what waits for one is bounded like what is in flight."""
        if self._preparing >= self.settings.max_in_flight:
            raise QueueFullError(
                f"{self._preparing} images wait to be decoded already; try again in a moment"
            )
        self._preparing += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._decoders, self._prepare, body)
        finally:
            self._preparing -= 1

    def _prepare(self, body: bytes) -> _Prepared:
        started = time.perf_counter()
        spec = self.store.manifest.input
        pixels = decode(body, spec, self.settings.max_pixels)
        policy = f"{self.policy.name}:{self.policy.mutants}"
        scope = f"{self.store.version}:{policy}:{self.order.key_id}:{pixels.shape}:"
        key = hashlib.sha256(scope.encode() + pixels.tobytes()).hexdigest()
        prepared = _Prepared(pixels, spec.tensor(pixels[None]), self.order.mutants(pixels), key)
        self.metrics.stage_duration.labels("decode").observe(time.perf_counter() - started)
        return prepared

    async def _look_up(self, key: str) -> Judgement | None:
        if self._cache is None:
            return None
        found = None
        kept = await self._cache.get(key)
        if kept is not None:
            with contextlib.suppress(ValidationError):
                found = Judgement.model_validate_json(kept)
        self.metrics.cache_requests.labels("miss" if found is None else "hit").inc()
        return found

    def _judgement(self, outcome: Outcome, order: NDArray[np.int64]) -> Judgement:
        manifest = self.store.manifest
        verdict, undecided_because = _VERDICTS[outcome.decision]
        return Judgement(
            label=outcome.label,
            class_name=manifest.classes[outcome.label],
            confidence=_confidence(outcome, manifest.output_kind),
            verdict=verdict,
            undecided_because=undecided_because,
            mutants=outcome.mutants,
            label_changes=outcome.label_changes,
            labels=outcome.labels.tolist(),
            evidence=outcome.evidence.tolist(),
            own_evidence=outcome.own_evidence,
            operators=[self.operators[number - 1] for number in order[: outcome.mutants].tolist()],
        )

    def _observe(self, outcome: Outcome) -> None:
        self.metrics.stage_duration.labels("queue").observe(outcome.queue_seconds)
        self.metrics.stage_duration.labels("mutants").observe(outcome.run_seconds)
        self.metrics.mutants_evaluated.observe(outcome.mutants)

    def _make_cache(self) -> VerdictCache | None:
        settings = self.settings
        if settings.cache_seconds == 0:
            return None
        if settings.redis_url is not None:
            url = settings.redis_url.get_secret_value()
            return RedisCache(url, seconds=settings.cache_seconds, up=self.metrics.redis_up)
        return MemoryCache(seconds=settings.cache_seconds, entries=settings.cache_entries)

    def _describe(self) -> None:
        manifest, metrics = self.store.manifest, self.metrics
        metrics.watch(lambda: self.scheduler.in_flight, lambda: self.scheduler.waiting)
        labels = (manifest.name, self.store.version, manifest.operator, f"{manifest.rate:g}")
        metrics.store_info.labels(*labels).set(1)
        metrics.store_mutants.labels(manifest.name).set(manifest.mutants)
        record = self.store.calibration.policies[self.policy.name]
        baseline = record.alarms_or_undecided if self.settings.alarm_on_undecided else record.alarms
        metrics.alarm_baseline_ratio.labels(manifest.name).set(baseline.rate)
        for verdict in Verdict:
            for cached in ("false", "true"):
                metrics.verdicts.labels(manifest.name, verdict.value, cached)
        for result in ("hit", "miss"):
            metrics.cache_requests.labels(result)


def _confidence(outcome: Outcome, output_kind: str) -> float:
    scores = outcome.scores.astype(np.float64)
    if output_kind == "probabilities":
        return float(scores[outcome.label])
    return float(1 / np.exp(scores - scores[outcome.label]).sum())


def explain(policy: Policy, judgement: Judgement) -> Explanation:
    """How a policy's test went on what the mutants of a judgement said, and where it would have decided."""
    met = np.arange(1, len(judgement.labels) + 1)
    test, boundaries, unit = policy.statistic, policy.boundaries, policy.evidence.unit
    changed = np.array(judgement.label_changed, dtype=np.bool_)
    return Explanation(
        own_evidence=_share(judgement.own_evidence, unit),
        evidence=[_share(said, unit) for said in judgement.evidence],
        operators=judgement.operators,
        log_ratio=None if test is None else _finite(test.log_ratio(np.cumsum(changed), met)),
        label_changed=judgement.label_changed,
        adversarial_bound=None if test is None else test.lower,
        normal_bound=None if test is None else test.upper,
        normal_at_most=[_share(bound, unit) for bound in boundaries.normal_at_most[met].tolist()],
        adversarial_at_least=[_share(bound, unit) for bound in boundaries.adversarial_at_least[met].tolist()],
    )


def _share(units: int, unit: int) -> float:
    return round(units / unit, 6)


def _finite(ratios: NDArray[np.float64]) -> list[float | None]:
    """JSON has no infinity."""
    return [ratio if isfinite(ratio) else None for ratio in np.round(ratios, 6).tolist()]
