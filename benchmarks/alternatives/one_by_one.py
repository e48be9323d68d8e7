"""The server's sequential test, written plainly: one image, one mutant at a time."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mutant_guard.bank.session import FloatArray
from mutant_guard.bank.views import Inputs
from mutant_guard.decision.evidence.kinds import LABEL_CHANGES
from mutant_guard.decision.sequential.policies import Policy
from mutant_guard.runtime.order import Order
from mutant_guard.store.manifest import Manifest
from mutant_guard.wire.verdict import Verdict


@dataclass(frozen=True)
class Verdicted:
    """Outcome of the test of one image: label, verdict and number of mutants used."""

    label: int
    verdict: Verdict
    mutants: int


class OneByOne:
    """Test of a policy that takes mutants in the server's order, so that verdicts are the same.

    The policy's bounds are plain lists: arrays of one element would slow it down for nothing.
    """

    def __init__(
        self, policy: Policy, order: Order, manifest: Manifest, scores: Callable[[int, Inputs], FloatArray]
    ) -> None:
        """Prepare the test.

        Args:
            policy: policy of the test.
            order: order of the mutants.
            manifest: manifest of the store, with what its networks read.
            scores: function that returns scores float32 [1, classes] of a mutant (0: the original)
                on one image.
        """
        self._policy, self._order, self._manifest, self._scores = policy, order, manifest, scores
        self._normal_at_most = policy.boundaries.normal_at_most.tolist()
        self._adversarial_at_least = policy.boundaries.adversarial_at_least.tolist()
        self._counts = policy.evidence == LABEL_CHANGES

    def judge(self, *pixels: NDArray[np.uint8]) -> Verdicted:
        """Return the verdict on an image, given as pixels uint8 [H, W, C] of each view."""
        inputs = self._manifest.tensors([view[None] for view in pixels])
        return self.test(inputs, self._order.mutants(*pixels))

    def test(self, inputs: Inputs, order: NDArray[np.int64]) -> Verdicted:
        """Return the verdict on an image.

        Args:
            inputs: the image as the networks read it, arrays [1, …].
            order: mutant numbers in the order of the test, int64 [pool].
        """
        own = self._scores(0, inputs)
        label = int(own.argmax())
        evidence = 0 if self._counts else int(self._policy.evidence.of_original(own)[0])
        met = 0
        if self._policy.stops and evidence >= self._adversarial_at_least[0]:
            return Verdicted(label, Verdict.ADVERSARIAL, met)
        for number in order[: self._policy.mutants].tolist():
            evidence += self._said(number, self._scores(number, inputs), label, own)
            met += 1
            if evidence >= self._adversarial_at_least[met]:
                return Verdicted(label, Verdict.ADVERSARIAL, met)
            if evidence <= self._normal_at_most[met]:
                return Verdicted(label, Verdict.NORMAL, met)
        return Verdicted(label, Verdict.UNDECIDED, met)

    def _said(self, number: int, scores: FloatArray, label: int, own: FloatArray) -> int:
        if self._counts:
            return int(scores.argmax()) != label
        found = self._policy.evidence.of_mutants(scores, np.array([label]), np.array([number]), own)
        return int(found[0])
