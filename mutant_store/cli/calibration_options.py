"""Options of calibration, shared by the commands that calibrate; None keeps the present setting."""

from typing import Annotated, Literal

import typer

from mutant_store.cli.console import finite

_PANEL = "Calibration"

MaxFalseAlarm = Annotated[
    float | None,
    typer.Option(
        callback=finite,
        min=0.001,
        max=0.5,
        help="calibrated, fixed: largest share of rightly classified clean images that may raise an alarm. "
        "Default: 0.05.",
        rich_help_panel=_PANEL,
    ),
]
Confidence = Annotated[
    float | None,
    typer.Option(
        callback=finite,
        min=0.5,
        max=0.9999,
        help="Confidence of that certificate. Default: 0.95.",
        rich_help_panel=_PANEL,
    ),
]
MaxMiss = Annotated[
    float | None,
    typer.Option(
        callback=finite,
        min=1e-6,
        max=0.49,
        help="calibrated: largest probability of missing an input clearly above the threshold. Default: 0.1.",
        rich_help_panel=_PANEL,
    ),
]
CleanMutants = Annotated[
    float | None,
    typer.Option(
        callback=finite,
        min=1,
        help="calibrated: mutants a clean image may take on average; more move 'clearly above' nearer to the "
        "threshold. Default: 20, and 1.5 where evidence is soft.",
        rich_help_panel=_PANEL,
    ),
]
FixedMutants = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="fixed: mutants every input takes. Default: 100, at most the pool.",
        rich_help_panel=_PANEL,
    ),
]
Rho = Annotated[
    float | None,
    typer.Option(
        callback=finite,
        min=0.01,
        help="paper: the threshold is rho times the upper 99 % bound of the mean label change rate. Default: 1.",
        rich_help_panel=_PANEL,
    ),
]
Alpha = Annotated[
    float | None,
    typer.Option(
        callback=finite,
        min=1e-6,
        max=0.49,
        help="paper: nominal bound on misses. Default: 0.05.",
        rich_help_panel=_PANEL,
    ),
]
Beta = Annotated[
    float | None,
    typer.Option(
        callback=finite,
        min=1e-6,
        max=0.49,
        help="paper: nominal bound on false alarms. Default: 0.05.",
        rich_help_panel=_PANEL,
    ),
]
DeltaRatio = Annotated[
    float | None,
    typer.Option(
        callback=finite,
        min=0.001,
        max=0.999,
        help="paper: half width of the indifference region as a share of the threshold (δ/ςh). Default: 0.1.",
        rich_help_panel=_PANEL,
    ),
]
Evidence = Annotated[
    Literal["auto", "label_change", "soft"] | None,
    typer.Option(
        help="calibrated, fixed: what a mutant says: whether it changes the label (label_change), or how far it "
        "doubts it (soft); auto is soft where mutants are retrained. Default: auto.",
        rich_help_panel=_PANEL,
    ),
]
OwnWeight = Annotated[
    float | None,
    typer.Option(
        callback=finite,
        min=0,
        help="soft evidence: how many mutants the original's own evidence counts as: its doubt of its label, or with "
        "companions the excess of its logits; it may bring an alarm and never clears an image. Default: 0.25; with "
        "companions 1 for each of them; with robust mutants that started from the original 0.",
        rich_help_panel=_PANEL,
    ),
]
