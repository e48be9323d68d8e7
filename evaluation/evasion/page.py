"""Report of the strongest attacks: a page and ``results.json``, of which the page is made."""

from evaluation.evasion.counting import STRONGEST
from evaluation.evasion.results import EvasionResults
from evaluation.report.cells import unique
from evaluation.report.markdown import (
    MISSING,
    bullets,
    change,
    code,
    listed,
    number,
    percent,
    percent_interval,
    section,
    table,
)
from evaluation.report.page import Page

_KNOWN = {"store": "the store", "method": "a store of its own", "answers": "the answers"}
_WEAK = 0.5


def markdown(results: EvasionResults) -> str:
    """Return the page."""
    parts = [
        f"# {results.title}",
        f"Store {code(results.store)}: {results.mutants}. The attacker knows all of it but the order key: networks, "
        "temperatures, weights, stages and thresholds. An image *evades* where it is wrongly labelled and the "
        "policy clears it as served; images are 8-bit, and all were labelled rightly before. Images are of "
        f"{code(results.data)}. Intervals are exact (Clopper–Pearson, 95 %).",
        _strongest(results),
        _earlier(results),
        _attacks(results),
        _checks(results),
        _policies(results),
        _setup(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _strongest(results: EvasionResults) -> str:
    cells = [cell for cell in results.cells if cell.attack == STRONGEST]
    policies, proved = unique(cell.policy for cell in cells), any(cell.proved for cell in cells)
    rows = []
    for norm, size in unique((cell.norm, cell.size) for cell in cells):
        same = [cell for cell in cells if (cell.norm, cell.size) == (norm, size)]
        by_policy = {cell.policy: cell for cell in same}
        figures = [by_policy[name].evading for name in policies]
        bounds = [by_policy[name].proved for name in policies if proved]
        rows.append(
            [
                change(same[0].norm, same[0].size),
                f"{same[0].images:,}",
                *map(percent_interval, [same[0].fooled, *figures, *bounds]),
            ]
        )
    head = ["Largest change", "Images", "Fools the classifier"]
    head += [f"Evades, {name} false alarms" for name in policies]
    head += [f"Proved, {name}" for name in policies if proved]
    said = "Share of the images that any of the attacks below evades with."
    if proved:
        said += " *Proved*: share for which no change of this size can be cleared under a wrong label."
    return section("The strongest attack on each image", "strongest", said, table(head, rows))


def _earlier(results: EvasionResults) -> str:
    """Return the part on a store without robust mutants, at the least strict policy, which it has."""
    if not results.earlier_cells:
        return ""
    policy = results.policies[0].name

    def here(knowledge: str, size: float) -> str:
        rates = [
            (cell.evading.value, cell.evading)
            for cell in results.cells
            if (cell.norm, cell.size, cell.policy) == ("linf", size, policy)
            and cell.knowledge == knowledge
            and (knowledge != "store" or cell.attack == STRONGEST)
        ]
        return percent_interval(max(rates, key=lambda rate: rate[0])[1]) if rates else MISSING

    rows = [
        [
            _KNOWN[cell.knowledge],
            change("linf", cell.size),
            f"{cell.images:,}",
            percent_interval(cell.evading),
            here(cell.knowledge, cell.size),
        ]
        for cell in results.earlier_cells
    ]
    detector = code(results.earlier_cells[0].detector)
    return section(
        "Beside a store without robust mutants",
        "earlier",
        f"What evades {detector} in [reports/{results.earlier}](../{results.earlier}/report.md), by the best of fewer "
        f"and weaker attacks on each image, and what evades here at {policy} false alarms. Images are not the same.",
        table(["Attacker knows", "Largest change", "Images there", "Evades there", "Evades here"], rows),
        level=3,
    )


def _attacks(results: EvasionResults) -> str:
    single = [cell for cell in results.cells if cell.attack != STRONGEST]
    policies = unique(cell.policy for cell in single)
    rows = []
    for attack, norm, size in unique((cell.attack, cell.norm, cell.size) for cell in single):
        same = [cell for cell in single if (cell.attack, cell.norm, cell.size) == (attack, norm, size)]
        by_policy = {cell.policy: cell for cell in same}
        rows.append(
            [
                attack,
                _KNOWN[same[0].knowledge],
                change(same[0].norm, same[0].size),
                percent_interval(same[0].fooled) + (" †" if same[0].fooled.value < _WEAK else ""),
                *(percent_interval(by_policy[name].evading) for name in policies),
                *(" / ".join(percent(share) for share in by_policy[name].after) for name in policies[:1]),
            ]
        )
    head = ["Attack", "Knows", "Largest change", "Fools the classifier"]
    head += [f"Evades, {name}" for name in policies]
    head += [f"after each quarter of the steps, {name}" for name in policies[:1]]
    return section(
        "One by one",
        "attacks",
        bullets(f"{code(name)}: {words}" for name, words in results.steps.items()),
        "† fools the classifier on fewer than half of the images: what fails there proves nothing about the guard.",
        table(head, rows, text=3),
        level=3,
    )


def _checks(results: EvasionResults) -> str:
    lines = [
        f"{'holds' if check.holds else '**does not hold**'}: {check.name} ({check.text})."
        for check in results.checks
    ]
    failed = [check.name for check in results.checks if not check.holds]
    warning = (
        f"**The figures above are not to be believed as they stand**, since a check fails: {listed(failed)}."
        if failed
        else ""
    )
    return section("Checks of the attacks", "checks", warning, bullets(lines))


def _policies(results: EvasionResults) -> str:
    rows = [
        [
            policy.name,
            MISSING if policy.clears_first is None else number(policy.clears_first, 4),
            number(policy.alarms_first, 4),
            number(policy.threshold, 4),
            number(policy.mutants, 2),
            number(policy.passes, 2),
        ]
        for policy in results.policies
    ]
    return section(
        "Policies under attack",
        "policies",
        "Bounds on summed doubts, in mutants of full doubt; each policy is certified for its rate of false alarms. "
        "Mutants and passes are those of a clean image, a pass being the work of the classifier, whose own is one.",
        table(
            [
                "False alarms",
                "Cleared by the first mutant up to",
                "Alarm by the first mutant from",
                "Alarm from",
                "Mutants",
                "Passes",
            ],
            rows,
        ),
        level=3,
    )


def _setup(results: EvasionResults) -> str:
    seconds = results.environment.seconds
    hardware = results.environment.hardware
    lines = [f"{name}: {taken / 60:.1f} minutes" for name, taken in seconds.items()]
    if results.build_seconds is not None:
        lines.insert(
            0, f"training, calibration and publication of the store: {results.build_seconds / 60:.1f} minutes"
        )
    if results.another is not None:
        lines.append(f"the attacker's own store is version {code(results.another)}")
    return section("Cost", "cost", bullets([hardware, *lines]), level=3)


PAGE = Page(EvasionResults, markdown)
