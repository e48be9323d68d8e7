"""Page that all figures are kept on."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.sections import Section, figures_table
from mutant_guard.store.atomic import write_atomically

_DPI = 110


@dataclass(frozen=True)
class Circumstances:
    """Date, machine and versions of a measurement.

    ``load`` is the load average before it, ``how`` says how the page is made.
    """

    date: str
    hardware: str
    versions: dict[str, str]
    load: float
    quick: bool
    how: str


def markdown(sections: list[Section], circumstances: Circumstances) -> str:
    """Return the page: circumstances, missed targets, every table, and all figures."""
    figures = [figure for section in sections for figure in section.figures]
    versions = ", ".join(f"{name} {version}" for name, version in circumstances.versions.items())
    lines = [
        "# Benchmarks",
        "",
        circumstances.how,
        "",
        f"* {circumstances.date}",
        f"* {circumstances.hardware}; load average {circumstances.load:.2f} before the start",
        f"* {versions}",
    ]
    if circumstances.quick:
        lines.append("* **a quick run: few repetitions, not to be quoted**")
    lines += ["", summary(figures), ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        lines += [f"![{section.title}]({name})\n" for name in section.pictures]
        lines += [table.markdown() for table in section.tables]
    return "\n".join([*lines, "## Figures", "", figures_table(figures).markdown()]).rstrip() + "\n"


def summary(figures: list[Figure]) -> str:
    """Return a sentence with the number of targets that are met, and the missed ones by name."""
    held = [figure for figure in figures if figure.target is not None]
    missed = [figure for figure in held if not figure.met]
    if not held:
        return "None of these figures has a target."
    if not missed:
        return f"All {len(held)} targets are met."
    names = "; ".join(f"`{figure.name}` is {figure.shown}, target {figure.goal}" for figure in missed)
    return f"**{len(missed)} of {len(held)} targets missed**: {names}."


def write(path: Path, sections: list[Section], circumstances: Circumstances) -> None:
    """Write the page, and the pictures beside it.

    Raises:
        OSError: a file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for section in sections:
        for name, picture in section.pictures.items():
            picture.savefig(path.with_name(name), dpi=_DPI)
    write_atomically(path, markdown(sections, circumstances).encode())
