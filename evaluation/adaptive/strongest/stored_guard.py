"""Guard of a store: as it answers, and as who holds a copy of the store knows it."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.adaptive.stored_networks import networks_of
from evaluation.adaptive.strongest.judge import Judged, Pixels
from evaluation.adaptive.strongest.known import KnownGuard, KnownPolicy
from evaluation.server import ORDER_KEY
from mutant_guard.bank.workers import Workers
from mutant_guard.decision.calibration.simulation import run
from mutant_guard.decision.evidence.kinds import Doubts, labels_of
from mutant_guard.decision.sequential.policies import Decision, Policy
from mutant_guard.runtime.engine import load_engine
from mutant_guard.runtime.options import Device
from mutant_guard.runtime.order import Order
from mutant_guard.store.reader import Store
from mutant_store.calibrating.calibrate import calibrate, first_share_of
from mutant_store.calibrating.recordings import kept_recordings

CALIBRATED = "calibrated"
"""Name of the policy of a verdict."""


class ServedGuard:
    """Judge that answers as the server does, under the key of published figures.

    The attacker does not know the key, but may ask as often as it likes: whatever evades under it
    counts.

    Attributes:
        store: the store.
        policies: names of the policies.
    """

    def __init__(self, store: Store, policies: Mapping[str, Policy], device: Device = "cpu") -> None:
        """Load the bank.

        Args:
            store: the store.
            policies: policies by name, those that are hardest to evade first.
            device: ``cpu`` for one thread, or ``cuda``.

        Raises:
            DeviceError: as for ``load_engine``.
        """
        manifest = store.manifest
        self.store, self.policies = store, tuple(policies)
        self._policies = list(policies.values())
        self._session = (
            store.session(threads=1)
            if device == "cpu"
            else load_engine(store, device=device, workers=Workers())
        )
        self._order = Order(
            ORDER_KEY.encode(), pool=manifest.mutants, decks=manifest.decks, ranks=manifest.ranks
        )

    def judge(self, pixels: Pixels) -> Judged:
        """Answer on images uint8 [M, H, W, C].

        The first mutant is run on all of them, the others on those that it leaves undecided.
        """
        labels, cleared, _ = self._answers(pixels)
        return Judged(labels, cleared)

    def doubted(self, pixels: Pixels) -> tuple[Judged, NDArray[np.float32], NDArray[np.float64]]:
        """Answer as ``judge`` does, with all that an answer tells besides.

        Returns:
            The verdicts, the original's scores float32 [M, classes], and the summed doubt
            float64 [M] after the first mutant, in full doubts.
        """
        labels, cleared, (scores, sums) = self._answers(pixels)
        return Judged(labels, cleared), scores, sums

    def _answers(
        self, pixels: Pixels
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_], tuple[NDArray[np.float32], NDArray[np.float64]]]:
        count, mutants = len(pixels), self.store.manifest.mutants
        orders = np.stack([self._order.mutants(one) for one in pixels])
        features = self._session.features(self.store.manifest.input.tensor(pixels))
        every = np.arange(count)
        original = self._session.scores(features, every, np.zeros(count, dtype=np.int64))
        first = self._session.scores(features, every, orders[:, 0])
        labels = labels_of(original)
        cleared = np.zeros((len(self._policies), count), dtype=np.bool_)
        undecided = np.zeros(count, dtype=np.bool_)
        starts = []
        for number, policy in enumerate(self._policies):
            evidence = policy.evidence
            start = evidence.of_original(original)
            summed = start + evidence.of_mutants(first, labels, orders[:, 0], original)
            decisions = policy.decide(summed, np.ones(count, dtype=np.int64))
            cleared[number] = decisions == Decision.NORMAL
            undecided |= decisions == Decision.CONTINUE
            starts.append((start, summed / evidence.unit))
        rows = np.flatnonzero(undecided)
        if len(rows) and mutants > 1:
            met = orders[rows]
            scores = self._session.scores(features, np.repeat(rows, mutants), met.ravel())
            repeated = np.repeat(rows, mutants)
            for number, policy in enumerate(self._policies):
                found = policy.evidence.of_mutants(
                    scores, labels[repeated], met.ravel(), original[repeated]
                ).reshape(met.shape)
                decisions = run(policy, found, starts[number][0][rows]).decisions
                cleared[number, rows] = decisions == Decision.NORMAL
        cleared &= labels >= 0
        return labels, cleared, (original, starts[0][1])


def policies_at(store: Store, rates: Mapping[str, float]) -> dict[str, Policy]:
    """Calibrate the policy of the verdict at other rates of false alarms, on a store's recordings.

    Args:
        store: the store.
        rates: largest rate of false alarms by the name of the policy.

    Returns:
        Policies by name, those of the largest rate first.

    Raises:
        DataError: the images recorded are too few for a rate.
    """
    kept, doubts = kept_recordings(store), store.calibration.doubts
    found = {}
    for name, rate in sorted(rates.items(), key=lambda entry: -entry[1]):
        record = calibrate(
            kept["choice"],
            kept["certification"],
            store.calibration.settings.changed(max_false_alarm=rate),
            store.manifest.seed,
            None if doubts is None else doubts.doubts,
            store.manifest.ranks,
            first_share=first_share_of(store.manifest.robust),
        )
        found[name] = record.policies[CALIBRATED].policy(name)
    return found


def known_guard(store: Store, policies: Mapping[str, Policy], device: Device = "cpu") -> KnownGuard:
    """Return what who holds a store knows of its guard.

    Args:
        store: the store.
        policies: policies by name, those that are hardest to evade first.
        device: device of the networks, ``cpu`` or ``cuda``.

    Raises:
        ModelError: a policy does not add up doubts of logits, a mutant reads another view of the
            image, or a graph cannot be converted to torch.
    """
    manifest, bounds = store.manifest, [KnownPolicy.of(policy) for policy in policies.values()]
    evidence = next(iter(policies.values())).evidence
    if not isinstance(evidence, Doubts):  # which ``KnownPolicy.of`` has refused
        raise TypeError("need a policy on doubts")
    ranks = manifest.ranks or [0] * manifest.mutants
    numbers = sorted(range(1, manifest.mutants + 1), key=lambda number: ranks[number - 1])
    firsts = [number for number in numbers if ranks[number - 1] == min(ranks)]
    networks = networks_of(store, device)
    told = [(evidence.own_temperature, evidence.own_weight), *map(evidence.of_mutant, numbers)]
    temperatures, weights = torch.tensor(told, dtype=torch.float32).unbind(1)
    return KnownGuard(
        networks[0],
        [networks[number] for number in firsts],
        [networks[number] for number in numbers[len(firsts) :]],
        temperatures,
        weights,
        bounds,
    )
