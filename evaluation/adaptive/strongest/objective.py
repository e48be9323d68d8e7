"""Loss of an attack on original and mutants at once: how far each is from what a test clears.

Each network has a part: the log odds of its doubt of the target, above those that the bounds leave
to it. Whatever is inside its bound counts nothing, so the original is led no further than it has
to be, and all of the change goes into the mutants.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evaluation.adaptive.attack import gradient
from evaluation.adaptive.mutants import Network
from evaluation.adaptive.orthogonal import without_conflict
from evaluation.adaptive.strongest.apgd import Look
from evaluation.adaptive.strongest.balls import Ball
from evaluation.adaptive.strongest.hunt import LEVELS, Hunt
from evaluation.adaptive.strongest.known import KnownGuard, odds

Loss = Literal["odds", "margin", "dlr"]
Combination = Literal["sum", "balanced", "selective", "orthogonal"]

_LEAST = 0.02
"""Share of a bound that is left to a network, whatever the others use up."""
_SURE = 0.45
"""Most doubt of the original's own with which the target certainly is its label."""
_GATE, _UNSEEN = 2.0, 6.0
"""Log odds above its bound up to which a robust mutant lets the others be looked at, and what they
count before."""
_AIMED = 0.95
"""Share of a bound that is aimed at, so that rounding to 8 bits does not lead out of it."""
_SLACK = 1.02
_MANY_LACK = 0.6
"""Share of rows that lack something from which on gradients are computed for all."""
_LOOK_EVERY = 5
_TINY = 1e-12


@dataclass(frozen=True)
class Aim:
    """What an attack of one run is after.

    Attributes:
        heard: number of mutants after which the image is to be cleared.
        policy: place of the policy that is to clear it, among those of the guard.
        loss: form of each network's part: ``odds`` of the doubt, the ``margin`` of the highest
            other logit, or the difference of logits ratio ``dlr`` (Croce, Hein 2020), which does
            not depend on the logits' scale.
        combination: ``sum`` of the gradients, ``balanced`` to the same size first, ``selective``:
            the mutants' only where the original gives the target, or ``orthogonal``: each less what
            works against the other (Bryniarski et al. 2022).
        weight: weight of the mutants' parts, the original's being 1.
        own: share of the bound that is left to the original's own doubt, or of the alarm of the
            first mutant where that is lower.
        through_clips: whether gradients pass clips of the networks, see ``AttackGradients``.
    """

    heard: int
    policy: int = 0
    loss: Loss = "odds"
    combination: Combination = "sum"
    weight: float = 1.0
    own: float = 0.3
    through_clips: bool = False


class GuardLoss:
    """Loss against the bounds of a guard; images that meet them are judged on the way."""

    def __init__(
        self,
        guard: KnownGuard,
        aim: Aim,
        hunt: Hunt,
        ball: Ball,
        places: NDArray[np.int64],
        targets: Tensor,
    ) -> None:
        """Describe the rows of a run.

        Args:
            guard: the guard that the attacker has.
            aim: what to be after.
            hunt: images under attack.
            ball: images allowed.
            places: int64 [M], place in the hunt of each row's image.
            targets: int64 [M], label that each row is to be given.
        """
        self._guard, self._aim, self._hunt, self._ball = guard, aim, hunt, ball
        self._places, self._targets = places, targets
        self._looks = 0
        self._met = np.zeros(len(places), dtype=np.bool_)
        self._lacking = np.ones(1 + guard.mutants)
        policy = guard.policies[aim.policy]
        self._bound = _AIMED * float(policy.clearing[aim.heard])
        self._alarm = _AIMED * float(policy.alarming[1])
        self._heard_first = min(aim.heard, len(guard.firsts))
        self._heard_later = aim.heard - self._heard_first

    def open(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Check which rows' images do not evade the policy yet, nor are within all bounds."""
        return np.asarray(~self._hunt.evaded[self._aim.policy, self._places[rows]] & ~self._met[rows])

    def look(self, images: Tensor, rows: NDArray[np.int64]) -> Look:
        """Return loss and gradient, and have those images judged that may be cleared.

        The loss, by which the best image is kept, is that of the odds with equal weights, whatever
        the gradient is of.
        """
        guard, bound, weights = self._guard, self._bound, self._guard.weights
        targets, places = self._targets[rows], self._places[rows]
        self._looks += 1
        self._hunt.spent[places] += 1
        allowed = min(_SURE, self._aim.own * min(bound, self._alarm) / max(float(weights[0]), _TINY))
        own = self._part(guard.original, 0, images, targets, torch.full((len(rows),), allowed))
        own_sum = weights[0] * own.doubts

        left = (bound - own_sum).clamp_min(_LEAST * bound) / self._heard_first
        most = torch.minimum(left, (self._alarm - own_sum).clamp_min(_LEAST * self._alarm))
        firsts = [
            self._part(network, number, images, targets, most / weights[number])
            for number, network in enumerate(guard.firsts, 1)
        ]
        first_sums = torch.stack([weights[number] * part.doubts for number, part in enumerate(firsts, 1)])
        mutants_gradient = torch.stack([part.gradient for part in firsts]).mean(0)
        lacking = torch.stack([part.beyond.relu() for part in firsts]).mean(0)
        if self._heard_later:
            seen = torch.nonzero(lacking < _GATE).flatten()
            later = torch.full_like(lacking, _UNSEEN)
            if len(seen):
                summed = own_sum[seen] + self._heard_first * first_sums[:, seen].mean(0)
                rest = (bound - summed).clamp_min(_LEAST * bound) / self._heard_later
                parts = [
                    self._part(network, number, images[seen], targets[seen], rest / weights[number])
                    for number, network in enumerate(guard.others, 1 + len(firsts))
                ]
                later[seen] = torch.stack([part.beyond.relu() for part in parts]).mean(0).clamp_max(_UNSEEN)
                mutants_gradient[seen] += torch.stack([part.gradient for part in parts]).mean(0)
            lacking = lacking + later
        loss = own.beyond.relu() + lacking
        met = (loss <= 0).numpy()
        self._met[rows] = met
        labels = self._hunt.labels[places]
        self._hunt.fooled[places[(own.labels != labels).numpy()]] = True
        self._offer(
            images, rows, (own.labels == targets).numpy(), met, (own_sum + first_sums.amin(0)).numpy()
        )
        return Look(loss, self._combined(own, mutants_gradient))

    def _combined(self, own: "_Part", mutants: Tensor) -> Tensor:
        wanting = (own.beyond > 0)[:, None, None, None]
        match self._aim.combination:
            case "sum":
                return own.gradient + self._aim.weight * mutants
            case "balanced":
                return _level(own.gradient) + self._aim.weight * _level(mutants)
            case "selective":
                return torch.where(wanting, own.gradient, mutants)
            case "orthogonal":
                first = without_conflict(own.gradient, mutants)
                return torch.where(wanting, first, without_conflict(mutants, own.gradient))

    def _offer(
        self,
        images: Tensor,
        rows: NDArray[np.int64],
        fooled: NDArray[np.bool_],
        met: NDArray[np.bool_],
        least: NDArray[np.float32],
    ) -> None:
        """Have images judged, rounded to 8 bits, that a policy may clear.

        Args:
            images: float32 [M, C, H, W].
            rows: int64 [M], their rows.
            fooled: bool [M], whether the original gives the target.
            met: bool [M], whether they are within all bounds.
            least: float32 [M], least summed doubt after the first mutant.
        """
        places = self._places[rows]
        passing = met.copy()
        for policy, done in zip(self._guard.policies, self._hunt.evaded[:, places], strict=True):
            cleared = least <= _SLACK * policy.clearing[1]
            if self._looks % _LOOK_EVERY == 0:
                cleared |= least < _SLACK * policy.alarming[1]
            passing |= cleared & ~done
        chosen = np.flatnonzero(passing & fooled)
        if len(chosen):
            levels = torch.round(images[chosen] * LEVELS) / LEVELS
            inside = self._ball.holds(levels, self._hunt.clean[places[chosen]]).numpy()
            self._hunt.offer(levels[inside], places[chosen][inside])

    def _part(self, network: Network, number: int, images: Tensor, targets: Tensor, most: Tensor) -> "_Part":
        """Return a network's part of the loss; ``most`` is the doubt [M] that is left to it.

        Where it was enough lately, gradients are computed for those rows alone that lack something.
        """
        limit = torch.logit(most.clamp(_TINY, 1 - 1e-6))
        every = self._aim.combination == "orthogonal" or self._lacking[number] > _MANY_LACK
        if every:
            part = self._whole_part(network, number, images, targets, limit)
        else:
            with torch.no_grad():
                logits = network(images)
                beyond = odds(logits, targets, self._guard.temperatures[number]) - limit
            part = _Part(torch.zeros_like(images), torch.sigmoid(beyond + limit), beyond, logits.argmax(1))
            rows = torch.nonzero(beyond > 0).flatten()
            if len(rows):
                some = self._whole_part(network, number, images[rows], targets[rows], limit[rows])
                part.gradient[rows] = some.gradient
        self._lacking[number] = float((part.beyond > 0).float().mean())
        return part

    def _whole_part(
        self, network: Network, number: int, images: Tensor, targets: Tensor, limit: Tensor
    ) -> "_Part":
        temperature = self._guard.temperatures[number]
        inputs = images.detach().requires_grad_()
        logits = network(inputs)
        beyond = odds(logits, targets, temperature) - limit
        away = beyond
        if self._aim.loss != "odds":
            away = _ratio(logits, targets, temperature, dlr=self._aim.loss == "dlr") * (beyond > 0)
        if self._aim.combination != "orthogonal":
            away = away.relu()
        found = gradient(away.sum(), inputs)
        doubts = torch.sigmoid(beyond + limit).detach()
        return _Part(found, doubts, beyond.detach(), logits.detach().argmax(1))


@dataclass(frozen=True, eq=False)
class _Part:
    """Gradient of a network's part, its doubts of the target, and its labels.

    ``beyond`` are the doubts' log odds above the limit.
    """

    gradient: Tensor
    doubts: Tensor
    beyond: Tensor
    labels: Tensor


def _ratio(logits: Tensor, targets: Tensor, temperature: Tensor, *, dlr: bool) -> Tensor:
    """Return the margin of the highest other logit over the target's, or its ratio, from 0 on."""
    wanted = logits.gather(1, targets[:, None])[:, 0]
    margin = logits.scatter(1, targets[:, None], -torch.inf).amax(1) - wanted
    if not dlr:
        return torch.nn.functional.softplus(margin / temperature)
    ordered = logits.sort(1, descending=True).values
    low = (ordered[:, 2] + ordered[:, 3]) / 2 if logits.shape[1] > 3 else ordered[:, -1]
    return (1 + margin / (ordered[:, 0] - low).clamp_min(_TINY)).relu()


def _level(directions: Tensor) -> Tensor:
    """Return directions [M, C, H, W] of a mean size of 1 each, or 0."""
    sizes = directions.abs().flatten(1).mean(1).clamp_min(_TINY)
    return directions / sizes[:, None, None, None]
