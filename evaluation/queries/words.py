"""Scenarios and attacks in words."""

from evaluation.queries.config import Memory, Scenario
from evaluation.queries.settings import AttackSettings
from mutant_store.reporter import lasting

_POLICIES: dict[Memory, str] = {
    "off": "nothing is remembered",
    "observe": "campaigns are told, and answered",
    "no-scores": "campaigns are answered without scores",
    "429": "campaigns are refused (429)",
    "flat": "campaigns get the label of their first query",
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
    parts += [f"{name} from {value:g}" for name, value in scenario.thresholds.items()]
    return "; ".join(parts)


def attack_in_words(attack: AttackSettings) -> str:
    """Return the settings of an attack."""
    settings = attack.model_dump(exclude={"name", "method", "adaptive", "redraws"})
    told = [f"{name.replace('_', ' ')} {value:g}" for name, value in settings.items()]
    if getattr(attack, "adaptive", False):
        told.append(f"adaptive, up to {getattr(attack, 'redraws', 0)} redraws")
    return f"{attack.method}: {', '.join(told)}"
