"""Tables and lines that the commands show of stores, versions and simulations."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

from mutant_guard.store.calibration_record import CertificateRecord, PolicyRecord, RateEstimate
from mutant_guard.store.doubts_record import StagedRecord
from mutant_guard.store.reader import Store
from mutant_store.calibrating.simulation_report import Grid, ImageSetOutcome, PolicyReport, Simulation
from mutant_store.publishing.housekeeping import Garbage, Version

if TYPE_CHECKING:
    from mutant_store.bank.blocks import Block

_MUTANTS_USED = ("mean mutants", "median", "99 %")


def manifest_table(store: Store) -> Table:
    """Return a table of what the store was built from."""
    m = store.manifest
    table = Table(title=f"{store.name}, version {store.version}", show_header=False, title_justify="left")
    size = f"{m.input.width}×{m.input.height}×{m.input.channels}"
    accuracies = f"{min(m.accuracies):.2%} to {max(m.accuracies):.2%}"
    rates = ", ".join(f"{name} {rate:g}" for name, rate in m.rates.items()) or f"{m.rate:g}"
    rows = {
        "input": f"{size} {m.input.layout}, mean {m.input.mean}, std {m.input.std}, resize {m.input.resize}",
        "classes": f"{len(m.classes)}: {', '.join(m.classes[:10])}{' …' if len(m.classes) > 10 else ''}",
        "output": f"{m.output_name} ({m.output_kind})",
        "mutants": f"{m.mutants} by {m.operator} at rate {rates}, seed {m.seed}, {m.candidates_drawn} drawn",
        "neurons": f"{m.neurons} in {len(m.layers)} layers",
        "accuracy": f"original {m.original_accuracy:.2%}, mutants {accuracies} (at least {m.accuracy_ratio:.0%} of it)",
        "filter": m.data.filter.spec,
        "choice": m.data.choice.spec,
        "certification": m.data.certification.spec,
        "size": f"{sum(entry.size for entry in m.files.values()) / 1e6:.2f} MB",
        "built with": ", ".join(f"{name} {version}" for name, version in m.built_with.items()),
    }
    for name, value in rows.items():
        table.add_row(name, escape(value))
    return table


def calibration_table(store: Store) -> Table:
    """Return a table of every policy: what it decides between, and which error bounds hold."""
    normal = store.calibration.normal_label_change_rate
    title = (
        f"normal label change rate {normal.mean:.2%} ± {normal.half_width:.2%} ({normal.confidence:.0%})"
        if normal
        else "no mutant changes the label of a normal image"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("policy", no_wrap=True)
    for column in (
        "normal up to",
        "adversarial from",
        "misses",
        "false alarms there",
        "false alarms certified",
    ):
        table.add_column(column)
    for name, policy in store.calibration.policies.items():
        table.add_row(name, *_sides(policy), _certified(policy.certificate))
    return table


def estimates_table(store: Store) -> Table:
    """Return a table of every policy's results on the certification images."""
    table = Table(title="on certification images (95 % intervals)", title_justify="left")
    table.add_column("policy", no_wrap=True)
    for column in ("false alarms", "alarms, all clean", "undecided", "mean mutants", "99 %"):
        table.add_column(column)
    for name, policy in store.calibration.policies.items():
        rates = [_rate(value) for value in (policy.false_alarms, policy.alarms, policy.undecided)]
        table.add_row(name, *rates, f"{policy.mean_mutants:.1f}", f"{policy.p99_mutants:.0f}")
    return table


def replay_table(simulation: Simulation) -> Table:
    """Return a table of every policy's results on clean images."""
    clean = simulation.sets["clean"]
    table = _simulation_table(
        f"{clean.images} clean images, {clean.correct} classified correctly: {clean.spec or 'kept in the store'}",
        "policy",
        "false alarms",
        "alarms, all clean",
        "undecided",
        *_MUTANTS_USED,
    )
    for name, policy in _replayed(simulation):
        shown = policy.behaviour.outcomes["clean"]
        rates = f"{shown.adversarial.rate:.1%}", f"{shown.undecided.rate:.1%}"
        table.add_row(name, _short(policy.behaviour.false_alarms), *rates, *_mutants(shown))
    return table


def detection_table(simulation: Simulation) -> Table:
    """Return a table of every policy's results on every kind of suspicious images."""
    table = _simulation_table(
        "images that should raise an alarm", "images", "policy", "detected", "undecided", *_MUTANTS_USED
    )
    for kind in simulation.kinds:
        table.add_section()
        title = f"{escape(kind)} ({simulation.sets[kind].images})"
        for name, policy in _replayed(simulation):
            shown = policy.behaviour.outcomes[kind]
            rates = _short(shown.adversarial), f"{shown.undecided.rate:.1%}"
            table.add_row(title, name, *rates, *_mutants(shown))
            title = ""
    return table


def grid_table(simulation: Simulation, grid: Grid) -> Table:
    """Return a table of ``calibrated`` at other settings: what is asked for, and what was found."""
    table = _simulation_table(
        "calibrated at other settings: asked for, found, and share of each kind detected; ▶ at this store's own",
        "max false alarm",
        "clean mutants",
        "false alarms",
        "mean mutants",
        *simulation.kinds,
    )
    for number, point in enumerate(grid.points):
        if number and point.max_false_alarm != grid.points[number - 1].max_false_alarm:
            table.add_section()
        outcomes = point.behaviour.outcomes
        table.add_row(
            f"{'▶' if point.current else ' '} {point.max_false_alarm:g}",
            f"{point.clean_mutants:g}",
            _short(point.behaviour.false_alarms),
            f"{outcomes['clean'].mean_mutants:.1f}",
            *(f"{outcomes[kind].adversarial.rate:.1%}" for kind in simulation.kinds),
            style="bold" if point.current else None,
        )
    return table


def grid_lines(store: Path, grid: Grid) -> list[str]:
    """Return lines on the settings left out, one a reason, and a line on how to take a setting."""
    reasons = Counter(setting.reason for setting in grid.left_out)
    tried = len(grid.points) + len(grid.left_out)
    return [
        *(f"left out {count} of {tried} settings: {reason}" for reason, count in reasons.items()),
        "to move the store to a setting: "
        f"mutant-store calibrate {quote(str(store))} --max-false-alarm X --clean-mutants Y",
    ]


def blocks_table(blocks: "Sequence[Block]", seconds: Sequence[float], chosen: "Block") -> Table:
    """Return a table of a classifier's blocks, one a row, with the proposed cut marked.

    Args:
        blocks: the blocks.
        seconds: time that a core takes for an image from each block on.
        chosen: the block at whose cut mutants are proposed to begin.
    """
    table = Table(
        title="work and time for an image from each block on; the feature that it begins with",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0,
        show_edge=False,
    )
    for column in ("block", "layers", "the first of them"):
        table.add_column(column, no_wrap=column == "block", overflow="fold")
    for column in ("work", "time", "feature"):
        table.add_column(column, justify="right", no_wrap=True)
    for block, left in zip(blocks, seconds, strict=True):
        first = block.layers[0]
        table.add_row(
            f"{'▶' if block is chosen else ' '} {block.name}",
            f"{len(block.layers)}",
            f"{first.op_type} {first.neurons} {escape(first.name)}",
            f"{block.share:.1%}",
            f"{1000 * left:.3g} ms",
            f"{4 * block.values:,} B",
            style="bold" if block is chosen else None,
        )
    return table


def versions_table(versions: list[Version]) -> Table:
    """Return a table of published versions, one a row."""
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for column in ("version", "published", "operator", "rate", "mutants", "size", "signed", ""):
        table.add_column(column, no_wrap=column != "operator", overflow="fold")
    for version in versions:
        m = version.manifest
        made = (escape(m.operator), f"{m.rate:g}", str(m.mutants)) if m else ("", "", "")
        states = ["[green]current[/]"] * version.current + ["[red]unusable[/]"] * (
            version.problem is not None
        )
        table.add_row(
            version.name,
            f"{datetime.fromtimestamp(version.published):%Y-%m-%d %H:%M}",
            *made,
            f"{version.size / 1e6:.1f} MB",
            "yes" if version.signed else "no",
            "\n".join(states),
        )
    return table


def garbage_lines(store: Path, garbage: list[Garbage], *, dry_run: bool) -> list[str]:
    """Return lines on what was, or would be, removed from a store, and on the sum of bytes."""
    verb = "would remove" if dry_run else "removed"
    lines = [f"{verb} {entry.path.relative_to(store)} ({entry.size:,} bytes)" for entry in garbage]
    freed = sum(entry.size for entry in garbage)
    return [*lines, f"{freed:,} bytes {'would be ' if dry_run else ''}freed"]


def _sides(policy: PolicyRecord) -> tuple[str, str, str, str]:
    """Return what a policy decides between, and its error bounds there."""
    test, bounds = policy.test, policy.error_bounds
    if isinstance(test, StagedRecord):
        unit = test.evidence.doubts.unit
        cleared, alarmed = (
            [f"{bound / unit:.2g} after {mutants}" for mutants, bound in bounds]
            for bounds in (test.stages, test.alarms)
        )
        normal = f"doubts of {', '.join(cleared)}" if cleared else "doubts"
        return normal, ", ".join([*alarmed, f"{test.threshold / unit:.2g}"]), "", ""
    about = policy.hypotheses
    sides = ("", "") if about is None else (about.low, about.high)
    low, high = (
        f"{count} of {policy.pool} ({int(count) / policy.pool:.1%})" if about else "" for count in sides
    )
    if bounds is None:
        return low, high, "too few mutants", ""
    return low, high, f"≤ {bounds['alpha']:.2g}", f"≤ {bounds['beta']:.2g}"


def _certified(certificate: CertificateRecord | None) -> str:
    if certificate is None:
        return "no"
    seen = f"{certificate.alarms} of {certificate.images}"
    return f"≤ {certificate.max_false_alarm:g} with {certificate.confidence:.0%} confidence ({seen})"


def _simulation_table(title: str, *columns: str) -> Table:
    table = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for column in columns:
        table.add_column(escape(column), no_wrap=column in {"policy", "false alarms", "detected"})
    return table


def _replayed(simulation: Simulation) -> "list[tuple[str, PolicyReport]]":
    return [*simulation.policies.items(), ("all mutants", simulation.reference)]


def _mutants(outcome: ImageSetOutcome) -> tuple[str, str, str]:
    return f"{outcome.mean_mutants:.1f}", f"{outcome.median_mutants}", f"{outcome.p99_mutants}"


def _short(value: RateEstimate) -> str:
    return f"{value.rate:.1%} ({100 * value.low:.1f}–{100 * value.high:.1f})"


def _rate(value: RateEstimate) -> str:
    return f"{value.rate:.1%} ({value.low:.1%} to {value.high:.1%})"
