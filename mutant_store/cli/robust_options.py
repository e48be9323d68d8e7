"""Options of the operator ``robust``; None takes the default of network and method."""

from typing import Annotated

import typer

from mutant_guard.errors import DataError, ModelError
from mutant_store.cli.console import finite
from mutant_store.retraining.settings import Labels
from mutant_store.robust.settings import MOST_MUTANTS, Method, RobustSettings

_PANEL = "Robust mutants (--operator robust)"

RobustMutants = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST_MUTANTS,
        help="Number of robust mutants, apart from --mutants. They learn --train-data. Default: 1.",
        rich_help_panel=_PANEL,
    ),
]
RobustMethod = Annotated[
    Method | None,
    typer.Option(
        help="Way of training against attacks on the mutant itself: pgd (several steps), fast (one step from a noisy "
        "start), trades (divergence of the answers), ccat (uniform answers to what was attacked), certified (bounds of "
        "what any change can do). Default: pgd for grey images, fast for coloured ones.",
        rich_help_panel=_PANEL,
    ),
]
Certified = Annotated[
    bool,
    typer.Option(
        "--certified",
        help="Short for --robust-method certified: mutants for which mutant-store certify proves something.",
        rich_help_panel=_PANEL,
    ),
]
RobustEpsilon = Annotated[
    float | None,
    typer.Option(
        callback=finite,
        min=0,
        max=1,
        help="Largest change of a pixel that is trained against, in the pixel range 0 to 1. Default: 0.3 for grey "
        "images, 4 of 255 levels for coloured ones (certified: 2).",
        rich_help_panel=_PANEL,
    ),
]
RobustSteps = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1000,
        help="Steps of an attack in training. Default: pgd and trades 4, ccat 6, fast 1.",
        rich_help_panel=_PANEL,
    ),
]
RobustEpochs = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1000,
        help="Passes over the training images. Default: 14 (certified 28), and for coloured images 28 where training "
        "does not start from the original's weights (certified 40); more where they are few.",
        rich_help_panel=_PANEL,
    ),
]
RobustBatchSize = Annotated[
    int | None,
    typer.Option(
        min=8,
        help="Images a step of training. Default: 128; coloured images 104, each clean and attacked; digits-net 32.",
        rich_help_panel=_PANEL,
    ),
]
RobustLearningRate = Annotated[
    float | None,
    typer.Option(
        callback=finite,
        min=0,
        help="Peak of the learning rate. Default: 0.002 with Adam for grey images, 0.001 for certified ones, 0.05 with "
        "momentum for coloured images.",
        rich_help_panel=_PANEL,
    ),
]
RobustCleanWeight = Annotated[
    float | None,
    typer.Option(
        callback=finite,
        min=0,
        max=0.99,
        help="Weight of clean images in the loss. Default: 0.5.",
        rich_help_panel=_PANEL,
    ),
]
RobustDistill = Annotated[
    float | None,
    typer.Option(
        callback=finite,
        min=0,
        max=100,
        help="Temperature at which robust mutants learn what the original answers for the clean image, in place of its "
        "label, such as 3; 0 learns labels. Default: 0.",
        rich_help_panel=_PANEL,
    ),
]
Joint = Annotated[
    bool,
    typer.Option(
        "--joint",
        help="Train against attacks on original and mutant together.",
        rich_help_panel=_PANEL,
    ),
]
Architecture = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|MODULE:CALLABLE",
        help="Network of the robust mutants: original, whose training starts from the original's weights; "
        "companion:NAME, a --companion, from that one's weights (companion where there is one only); or, from scratch, "
        "strided (a small one), a registered network, or what the callable makes. Default: strided for grey "
        "images and certified mutants, original for coloured images.",
        rich_help_panel=_PANEL,
    ),
]
Width = Annotated[
    float | None,
    typer.Option(
        callback=finite,
        min=0.05,
        max=64,
        help="Factor of that network's numbers of channels. strided and resnet20 know it; MODULE:CALLABLE is called "
        "with width=. Default: 1.",
        rich_help_panel=_PANEL,
    ),
]

Mirror = Annotated[
    bool | None,
    typer.Option(
        "--mirror/--no-mirror",
        help="Have robust mutants answer with the mean of their scores for an image and for its mirror image: harder "
        "to mislead, for a second pass. --mirror trains on mirrored images as well. Default: where the network was "
        "trained on mirrored images, certified mutants apart.",
        rich_help_panel=_PANEL,
    ),
]
RobustEnsemble = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=16,
        help="Number of networks of a robust mutant, which answers with the mean of their scores, for as many "
        "trainings, several at a time, and as many passes. Default: 1.",
        rich_help_panel=_PANEL,
    ),
]


def robust_settings(
    operator: str,
    train_data: str | None,
    *,
    mutants: int | None,
    method: Method | None,
    certified: bool,
    epsilon: float | None,
    steps: int | None,
    epochs: int | None,
    batch_size: int | None,
    learning_rate: float | None,
    clean_weight: float | None,
    joint: bool,
    distill: float | None,
    architecture: str | None,
    width: float | None,
    shift: int | None,
    labels: Labels,
    mirror: bool | None,
    ensemble: int | None,
    optional: bool = False,
) -> RobustSettings:
    """Return the settings of robust mutants that these options ask for.

    Args:
        operator: name of the operator, or of several.
        train_data: SPEC of the training images; None where the user gave none.
        mutants: value of ``--robust-mutants``, and so on.
        optional: whether the store may do without robust mutants, unless one of these options asks
            for them.

    Raises:
        ModelError: ``certified`` goes with another method, or the operator makes no robust mutants.
        DataError: it makes some, and there is nothing to train them on.
    """
    from mutant_guard.store.reader import ROBUST

    said = {
        "--robust-mutants": mutants,
        "--robust-method": method,
        "--certified": certified or None,
        "--robust-epsilon": epsilon,
        "--robust-steps": steps,
        "--robust-epochs": epochs,
        "--robust-batch-size": batch_size,
        "--robust-learning-rate": learning_rate,
        "--robust-clean-weight": clean_weight,
        "--joint": joint or None,
        "--robust-distill": distill,
        "--architecture": architecture,
        "--width": width,
        "--mirror" if mirror else "--no-mirror": mirror,
        "--robust-ensemble": ensemble,
    }
    given = [option for option, value in said.items() if value is not None]
    robust = ROBUST in operator.removeprefix("mixed:").split(",")
    if robust and train_data is None:
        raise DataError(
            "robust mutants need images to train on: give --train-data, such as mnist:DIR@train; those of --data are "
            "kept for the filter and the calibration"
        )
    if given and not robust:
        raise ModelError(
            f"{', '.join(given)}: for robust mutants, and operator {operator} makes none; add robust to --operator, as "
            "in mixed:robust,retrain"
        )
    if certified and method not in (None, "certified"):
        raise ModelError(f"--certified is --robust-method certified, not {method}: leave out one of them")
    return RobustSettings(
        mutants=mutants or 1,
        method="certified" if certified else method,
        epsilon=epsilon,
        steps=steps,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        clean_weight=clean_weight,
        joint=joint or None,
        distill=distill,
        architecture=architecture,
        width=width,
        shift=shift,
        labels=labels,
        mirror=mirror,
        ensemble=ensemble or 1,
        optional=optional and robust and not given,
    )
