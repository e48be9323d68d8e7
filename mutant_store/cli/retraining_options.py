"""Options of the operator ``retrain``; None takes the network's default."""

from typing import Annotated

import typer

from mutant_guard.errors import ModelError
from mutant_store.cli.console import finite
from mutant_store.retraining.settings import ATTACK_WEIGHTS, Labels, RetrainSettings

_PANEL = "Retraining (--operator retrain)"

TrainData = Annotated[
    str | None,
    typer.Option(
        metavar="SPEC",
        help="Labelled images to train mutants on, like --data and sharing none with it; for example mnist:DIR@train.",
        rich_help_panel=_PANEL,
    ),
]
Share = Annotated[
    float | None,
    typer.Option(
        callback=finite,
        min=0,
        max=1,
        help="Share of the neurons of every layer that is redrawn before training. Default: 0.1.",
        rich_help_panel=_PANEL,
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1000,
        help="Passes over the training images. Default: 4; digits-net 10.",
        rich_help_panel=_PANEL,
    ),
]
AdversarialShare = Annotated[
    float | None,
    typer.Option(
        callback=finite,
        min=0,
        max=0.9,
        help="Share of every batch that is adversarial images of the original, under their true labels. "
        "Default: 0.25; for coloured images 0.4.",
        rich_help_panel=_PANEL,
    ),
]
AdversarialImages = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Adversarial images to make, once for all mutants; at most as many as there are to train on. "
        "Default: lenet 55,000, for coloured images 45,000, else 20,000.",
        rich_help_panel=_PANEL,
    ),
]
Epsilons = Annotated[
    str | None,
    typer.Option(
        help="Their sizes in the pixel range 0 to 1, separated by commas. Default: 0.05, 0.1, 0.15, 0.2 and 0.3 for "
        "grey images, 1, 2, 4, 5, 8 and 12 of 255 levels for coloured ones.",
        rich_help_panel=_PANEL,
    ),
]
Attacks = Annotated[
    str | None,
    typer.Option(
        help=f"Attacks they are made by, separated by commas, of {', '.join(ATTACK_WEIGHTS)}. Default: all but "
        "confident, for lenet all but euclidean, in the proportions "
        + ", ".join(f"{weight:g}" for weight in ATTACK_WEIGHTS.values())
        + ".",
        rich_help_panel=_PANEL,
    ),
]
AttackSteps = Annotated[
    int | None,
    typer.Option(
        "--attack-steps",
        min=1,
        max=1000,
        help="Steps of gradient descent within a size. Default: 7; for coloured images 6.",
        rich_help_panel=_PANEL,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        min=2,
        help="Images a step of training. Default: 128; for coloured images 208, digits-net 32.",
        rich_help_panel=_PANEL,
    ),
]
LearningRate = Annotated[
    float | None,
    typer.Option(
        callback=finite,
        min=0,
        help="Peak of the learning rate. Default: 0.05.",
        rich_help_panel=_PANEL,
    ),
]
LabelSmoothing = Annotated[
    float | None,
    typer.Option(
        callback=finite,
        min=0,
        max=0.9,
        help="Share of the target spread over all classes. Default: 0.",
        rich_help_panel=_PANEL,
    ),
]
Jitter = Annotated[
    float | None,
    typer.Option(
        callback=finite,
        min=0,
        max=1,
        help="Standard deviation of noise on training images, in the pixel range 0 to 1. Default: 0.",
        rich_help_panel=_PANEL,
    ),
]
Shift = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Most pixels by which a training image is moved along each axis. Default: lenet, digits-net and robust "
        "mutants of grey images 1, resnet20 and googlenet 4, others 0.",
        rich_help_panel=_PANEL,
    ),
]
Targets = Annotated[
    Labels,
    typer.Option(
        help="What mutants learn: the labels of the training images, or what the original answers on them where "
        "they have none.",
        rich_help_panel=_PANEL,
    ),
]

Teach = Annotated[
    bool,
    typer.Option(
        "--teach",
        help="Train each --companion on the original's adversarial images, made of --train-data, before it is stored. "
        "--epochs, --learning-rate, --batch-size and --adversarial-share then have other defaults.",
        rich_help_panel=_PANEL,
    ),
]


def retraining_settings(
    *,
    train_data: str | None,
    share: float | None,
    epochs: int | None,
    adversarial_share: float | None,
    adversarial_images: int | None,
    epsilons: str | None,
    attacks: str | None,
    attack_steps: int | None,
    batch_size: int | None,
    learning_rate: float | None,
    label_smoothing: float | None,
    jitter: float | None,
    shift: int | None,
    labels: Labels,
) -> RetrainSettings:
    """Return the retraining settings that these options ask for.

    Raises:
        ModelError: ``epsilons`` holds something else than numbers.
    """
    return RetrainSettings(
        train_data=train_data,
        share=share,
        epochs=epochs,
        adversarial_share=adversarial_share,
        adversarial_images=adversarial_images,
        epsilons=None if epsilons is None else _sizes(epsilons),
        attacks=None if attacks is None else tuple(name.strip() for name in attacks.split(",")),
        steps=attack_steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        label_smoothing=label_smoothing,
        jitter=jitter,
        shift=shift,
        labels=labels,
    )


def _sizes(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ModelError(
            f"--epsilons '{text}': give sizes in the pixel range 0 to 1, separated by commas"
        ) from error
