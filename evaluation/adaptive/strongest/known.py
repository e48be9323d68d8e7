"""Guard in an attacker's hands: networks, temperatures, weights and bounds, but no order key."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evaluation.adaptive.mutants import Network
from mutant_guard.decision.evidence.kinds import Doubts
from mutant_guard.decision.sequential.policies import Policy
from mutant_guard.errors import ModelError

Bounds = NDArray[np.float64]

_CAUTION = 0.25
"""Share of a bound that is aimed at where the guard that judges is another one."""


@dataclass(frozen=True, eq=False)
class KnownPolicy:
    """Bounds of a policy on summed doubts, in full doubts.

    Attributes:
        clearing: float64 [n + 1], most doubt after 0, 1, … mutants that clears; below 0 where none
            does.
        alarming: float64 [n + 1], least doubt that alarms.
    """

    clearing: Bounds
    alarming: Bounds

    @classmethod
    def of(cls, policy: Policy) -> "KnownPolicy":
        """Return the bounds of a policy.

        Raises:
            ModelError: the policy does not add up plain doubts.
        """
        evidence, bounds = policy.evidence, policy.boundaries
        if not isinstance(evidence, Doubts) or evidence.companions or evidence.output_kind != "logits":
            raise ModelError(
                f"policy '{policy.name}' does not add up doubts of logits alone; these attacks follow those of robust "
                "and of retrained mutants"
            )
        unit = float(evidence.unit)
        return cls(bounds.normal_at_most / unit, bounds.adversarial_at_least / unit)


@dataclass(frozen=True, eq=False)
class KnownGuard:
    """All of a guard but its order key.

    Attributes:
        original: the classifier that is guarded.
        firsts: networks of the mutants that are heard first, in any order among themselves.
        others: networks of all other mutants.
        temperatures: float32 [1 + firsts + others], divisors of the logits, the original's first.
        weights: float32 [1 + firsts + others], weights of the doubts.
        policies: bounds of the policies, those that are hardest to evade first.
    """

    original: Network
    firsts: Sequence[Network]
    others: Sequence[Network]
    temperatures: Tensor
    weights: Tensor
    policies: Sequence[KnownPolicy]

    def stricter(self) -> "KnownGuard":
        """Return a guard that clears a quarter of that, for attacks that have to work on others."""
        policies = [
            KnownPolicy(
                np.where(policy.clearing > 0, _CAUTION * policy.clearing, policy.clearing),
                _CAUTION * policy.alarming,
            )
            for policy in self.policies
        ]
        return replace(self, policies=policies)

    @property
    def mutants(self) -> int:
        """Number of mutants."""
        return len(self.firsts) + len(self.others)


def odds(logits: Tensor, targets: Tensor, temperature: Tensor | float = 1.0) -> Tensor:
    """Return log (1 − p)/p of targets int64 [M], of logits float32 [M, classes]; float32 [M].

    Unlike the doubt 1 − p it has a gradient wherever p is.
    """
    scaled = logits / temperature
    wanted = scaled.gather(1, targets[:, None])[:, 0]
    return scaled.scatter(1, targets[:, None], -torch.inf).logsumexp(1) - wanted
