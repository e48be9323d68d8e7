"""What the runs of an attack are after, one after the other."""

from math import lcm

from evaluation.adaptive.strongest.known import KnownGuard
from evaluation.adaptive.strongest.objective import Aim
from evaluation.adaptive.strongest.settings import GradientAttack


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

    Policies that clear alike are the same end.
    """
    found: dict[tuple[int, float], tuple[int, int]] = {}
    for place, policy in enumerate(guard.policies):
        last = len(policy.clearing) - 1
        for heard in sorted({1, last}):
            if policy.clearing[heard] > 0:
                found.setdefault((heard, round(float(policy.clearing[heard]), 3)), (heard, place))
    return list(found.values())
