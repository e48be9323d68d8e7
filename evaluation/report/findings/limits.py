"""Findings: kinds that no setting of the guard catches, attackers that pass, other alarms."""

from collections.abc import Sequence

from evaluation.experiment.records.results import ShiftCell
from evaluation.report.cells import SOFTMAX, Cells, setting_name, value_of
from evaluation.report.findings.attackers import knowledges
from evaluation.report.markdown import code, link, percent, plural
from evaluation.report.tables.baseline_tables import AT_5
from evaluation.report.tables.robustness_tables import SHIFTS, WORST

_CAUGHT = 0.5
_HARMLESS = 0.99


def limits(cells: Cells) -> list[str]:
    """Return sentences on blind spots, adaptive attacks and shifts."""
    return [*_uncaught(cells), *_adaptive(cells), *_shifts(cells)]


def _uncaught(cells: Cells) -> list[str]:
    """Return the kinds that no label change rate or policy finds half of, and detectors that do."""
    most = {kind: name for kind in cells.suspicious if (name := cells.most_detected(cells.ours, kind))}
    shares = {kind: _share(cells, name, kind) for kind, name in most.items()}
    if not shares:
        return []
    missed = [kind for kind in shares if shares[kind] <= _CAUGHT]
    if not missed:
        least = min(shares, key=shares.__getitem__)
        return [
            f"**Kinds:** some setting of ours detects more than half of every kind at 5 % false alarms (a policy "
            f"at its own); the least is {least} with {percent(shares[least])} ({code(most[least])}). {link(AT_5)}"
        ]
    settings = ", ".join(f"{kind} {percent(shares[kind])}" for kind in missed)
    return [
        "**Kinds:** no operator and no policy detects more than half, at 5 % false alarms (a policy at its own), of "
        f"{len(missed)} of {plural(len(shares), 'kind')}; the most that any does: {settings}."
        f"{_elsewhere(cells, missed)} {link(AT_5)}"
    ]


def _elsewhere(cells: Cells, missed: Sequence[str]) -> str:
    """Return the detectors that find half of those kinds.

    They are others, only those trained on attacks, or none.
    """
    found: dict[str, list[str]] = {"Others do": [], "Only detectors trained on attacks do": []}
    nobody = []
    for kind in missed:
        for said, names in zip(found, (cells.others, cells.trained), strict=True):
            name = cells.most_detected(names, kind)
            if name is not None and (share := _share(cells, name, kind)) > _CAUGHT:
                found[said].append(f"{kind} ({code(name)} {percent(share)})")
                break
        else:
            nobody.append(kind)
    sentences = [f" {said}: {', '.join(entries)}." for said, entries in found.items() if entries]
    return "".join(sentences) + (f" No detector here does: {', '.join(nobody)}." if nobody else "")


def _share(cells: Cells, name: str, kind: str) -> float:
    return value_of(cells.detected(name, kind)) or 0.0


def _adaptive(cells: Cells) -> list[str]:
    sentences = knowledges(cells)
    if not sentences or cells.default is None:
        return []
    who = code(setting_name(cells.default))
    return [
        f"**Adaptive attackers** against {who}, the worst case of each image. {' '.join(sentences)} {link(WORST)}"
    ]


def _shifts(cells: Cells) -> list[str]:
    """Return how often the default policy alarms on corrupted images, and on those of no class."""
    if cells.default is None:
        return []
    name = setting_name(cells.default)
    found = [shift for shift in cells.results.shifts if name in shift.alarms]
    groups = {
        "corrupted images": {s.shift: s.alarms[name].value for s in found if s.accuracy is not None},
        "images of no class": {s.shift: s.alarms[name].value for s in found if s.accuracy is None},
    }
    clauses = [f"on {group} {_range(alarms)}" for group, alarms in groups.items() if alarms]
    if not clauses:
        return []
    return [f"**Shifts:** {code(name)} alarms {'; '.join(clauses)}. {_harmless(found, name)}{link(SHIFTS)}"]


def _harmless(shifts: Sequence[ShiftCell], name: str) -> str:
    """Return alarms on images that hardly cost the classifier accuracy.

    They stand beside those of softmax confidence.
    """
    kept = [s for s in shifts if s.accuracy is not None and s.accuracy >= _HARMLESS and SOFTMAX in s.alarms]
    if not kept:
        return ""
    entries = [
        f"{s.shift} {percent(s.alarms[name].value)} against {percent(s.alarms[SOFTMAX].value)}" for s in kept
    ]
    return (
        f"Its alarms where at least {percent(_HARMLESS)} of the labels stay right, against those of softmax "
        f"confidence: {'; '.join(entries)}. "
    )


def _range(alarms: dict[str, float]) -> str:
    """Return the fewest alarms and the most, each with its shift; one figure where all have it."""
    fewest, most = min(alarms, key=alarms.__getitem__), max(alarms, key=alarms.__getitem__)
    least, top = percent(alarms[fewest]), percent(alarms[most])
    if least == top:
        return f"{least} ({', '.join(alarms)})"
    return f"from {least} ({fewest}) to {top} ({most})"
