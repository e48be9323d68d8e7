"""What the runs of an attack are after, one after the other."""

from math import lcm

from evaluation.adaptive.strongest.known import KnownGuard, KnownPolicy
from evaluation.adaptive.strongest.objective import Aim
from evaluation.adaptive.strongest.settings import GradientAttack

_ALIKE = 3
"""Factor between bounds that are worth aiming at one by one."""


def plan(settings: GradientAttack, guard: KnownGuard) -> list[Aim]:
    """Return an aim for each run.

    Runs take turns between what is cleared after the first mutant, which needs to fool only that
    one, and what is cleared after the last, which may be doubted up to the threshold, of each
    policy. Losses, weights between the parts and the original's share of the bound change from run
    to run. Every other round goes through clips of the networks: the sign of a small gradient is
    all that L∞ needs, other norms also need its size.

    Args:
        settings: settings of the attack.
        guard: the guard that the attacker has.
    """
    ends = _ends(guard)
    if settings.combination != "joint":
        shapes = [
            {"loss": loss, "combination": settings.combination, "own": own}
            for loss, own in (("odds", 0.3), ("dlr", 0.1), ("margin", 0.3))
        ]
    else:
        shapes = [
            {"loss": "odds"},
            {"loss": "dlr"},
            {"loss": "odds", "weight": 4.0, "own": 0.1},
            {"loss": "margin", "combination": "balanced", "weight": 2.0},
            {"loss": "odds", "combination": "balanced", "own": 0.1},
        ]
    together = lcm(len(shapes), len(ends))
    aims = []
    for run in range(settings.runs):
        heard, policy = ends[(run + run // together) % len(ends)]
        through = (run // len(ends) + (settings.norm != "linf")) % 2 == 1
        aims.append(Aim(heard, policy, through_clips=through, **shapes[run % len(shapes)]))  # type: ignore[arg-type]
    return aims


def _ends(guard: KnownGuard) -> list[tuple[int, int]]:
    """Return pairs of a number of mutants heard and the place of a policy, the strictest first.

    Policies whose bounds are within a factor of 3 are the same end.
    """
    found: list[tuple[int, int]] = []
    for place, policy in enumerate(guard.policies):
        for heard in sorted({1, len(policy.clearing) - 1}, reverse=True):
            others = [guard.policies[other] for number, other in found if number == heard]
            if policy.clearing[heard] > 0 and not any(_alike(policy, other, heard) for other in others):
                found.append((heard, place))
    return found


def _alike(one: KnownPolicy, other: KnownPolicy, heard: int) -> bool:
    """Check whether policies clear alike, and let as much pass the first mutant."""
    pairs = [(one.clearing[heard], other.clearing[heard])]
    if heard > 1:
        pairs.append((one.alarming[1], other.alarming[1]))
    return all(max(pair) <= _ALIKE * min(pair) for pair in pairs)
