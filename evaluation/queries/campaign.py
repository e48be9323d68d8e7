"""One campaign: an attack on one image in one scenario."""

from collections.abc import Callable
from typing import Any

import numpy as np

from evaluation.queries.attacks import geoda, hop_skip_jump, nes, square, toolbox
from evaluation.queries.attacks.problem import Problem
from evaluation.queries.oracle import LEVELS, CampaignOverError, Limit, Oracle, Record, Rules
from evaluation.queries.services.response import Pixels, Service
from evaluation.queries.settings import AttackSettings
from evaluation.workspace import Arrays

ENDS = ("evaded", "budget", "refused", "gave up")
"""Causes of the end of a campaign."""

_ATTACKS: dict[str, Callable[[Oracle, Problem, Any], None]] = {
    "hopskipjump": hop_skip_jump.attack,
    "square": square.attack,
    "nes": nes.attack,
    "boundary": toolbox.boundary,
    "simba": toolbox.simba,
    "geoda": geoda.attack,
}
_NUMBERS = ("queries", "seen", "evaded", "misled", "refusals")


def campaign(
    service: Service,
    settings: AttackSettings,
    source: Pixels,
    start: Pixels,
    label: int,
    classes: int,
    limit: Limit,
    rules: Rules,
    seed: int,
) -> tuple[Record, str]:
    """Attack an image to the end.

    Args:
        service: the service that is asked; it forgets all before.
        settings: the attack.
        source: uint8 [H, W, C], the image.
        start: uint8 [H, W, C], an image of another label.
        label: the image's true label.
        classes: number of classes.
        limit: largest change that counts.
        rules: rules of the campaign.
        seed: seed of all random choices.

    Returns:
        The record of the campaign, and the cause of its end.

    Raises:
        DataError: a package of the attack is not installed.
    """
    oracle = Oracle(service, source, label, limit, rules)
    problem = Problem(source / LEVELS, start / LEVELS, label, classes, limit, np.random.default_rng(seed))
    try:
        _ATTACKS[settings.method](oracle, problem, settings)
    except CampaignOverError as ended:
        return oracle.record, ended.reason
    return oracle.record, "gave up"


def packed(found: list[tuple[Record, str]]) -> Arrays:
    """Return records and ends of campaigns as arrays [N]."""
    arrays: Arrays = {
        name: np.array([getattr(record, name) for record, _ in found], dtype=np.int64) for name in _NUMBERS
    }
    arrays["distance"] = np.array([record.distance for record, _ in found])
    arrays["end"] = np.array([ENDS.index(end) for _, end in found], dtype=np.int64)
    return arrays


def joined(parts: list[Arrays]) -> Arrays:
    """Join blocks of campaigns."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
