"""Scenarios and attacks in words."""

from evaluation.queries.config import Scenario
from evaluation.queries.settings import AttackSettings
from mutant_store.reporter import lasting
from service.probing.policy import QueryPolicy

_POLICIES = {
    QueryPolicy.OFF: "nothing is remembered",
    QueryPolicy.OBSERVE: "campaigns are told, and answered",
    QueryPolicy.NO_SCORES: "campaigns are answered without scores",
    QueryPolicy.REFUSE: "campaigns are refused (429)",
    QueryPolicy.FLAT: "campaigns get label and verdict of their first query",
}


def scenario_in_words(scenario: Scenario) -> str:
    """Return what a scenario is."""
    parts = ["label and verdict" if scenario.guard else "label alone", _POLICIES[scenario.memory]]
    if scenario.guard and not scenario.heeds_verdict:
        parts.append("the attacker looks at labels alone")
    if not scenario.scores:
        parts.append("no scores")
    if scenario.accounts != 1:
        parts.append(f"{scenario.accounts:,} accounts" if scenario.accounts else "an account each query")
    if scenario.pause:
        parts.append(f"{lasting(scenario.pause)} between queries")
    if scenario.frames is not None:
        parts.append(f"from {scenario.frames} images of a scene they are a campaign")
    return "; ".join(parts)


def attack_in_words(attack: AttackSettings) -> str:
    """Return the settings of an attack."""
    settings = attack.model_dump(exclude={"name", "method", "adaptive", "redraws"})
    told = [f"{name.replace('_', ' ')} {value:g}" for name, value in settings.items()]
    if getattr(attack, "adaptive", False):
        told.append(f"adaptive, up to {getattr(attack, 'redraws', 0)} redraws")
    return f"{attack.method}: {', '.join(told)}"
