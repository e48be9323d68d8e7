"""``python -m evaluation.samples``: test images, and adversarial ones, as PNG files.

The adversarial images are made from the test images.
"""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from evaluation.attacks.craft import attacked
from evaluation.attacks.settings import AttackSettings, CarliniWagner, DeepFool, Fgsm
from evaluation.attacks.target import OnPixels, as_bytes, as_pixels
from evaluation.console import console
from evaluation.png import encode_png
from mutant_guard.errors import DataError
from mutant_guard.store.atomic import write_atomically
from mutant_store.cli.console import errors_shown
from mutant_store.datasets import DataSpec, ImageData, load, parse
from mutant_store.networks import weights
from mutant_store.networks.inference import logits
from mutant_store.networks.weights import TrainedModel
from mutant_store.retraining.attacks import Batch, pgd

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_BATCH = 64
"""Number of images attacked at a time."""
_PGD_STEPS = 20

_Maker = Callable[[NDArray[np.uint8], NDArray[np.int64]], NDArray[np.uint8]]
"""Function that makes adversarial images uint8 [N, H, W, C].

Its arguments are the images and the labels they are led away from.
"""


class Attack(StrEnum):
    """Methods that make adversarial images."""

    none = "none"
    pgd = "pgd"
    deepfool = "deepfool"
    fgsm = "fgsm"
    cw = "cw"


@app.command()
def samples(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="digits or mnist for their test images, or any SPEC.")
    ],
    *,
    out: Annotated[Path, typer.Option(help="Folder to write the PNG files to.")] = Path("samples"),
    count: Annotated[int, typer.Option(min=1, help="Images to write, the first of the split's order.")] = 10,
    attack: Annotated[
        Attack, typer.Option(help="Also write adversarial images made from them; needs --model.")
    ] = Attack.none,
    model: Annotated[
        Path | None,
        typer.Option(
            help="Classifier to fool: an ONNX file of evaluation.train, its .safetensors beside it."
        ),
    ] = None,
    epsilon: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Size of FGSM's step and of PGD, as a share of the pixel range."),
    ] = 0.1,
) -> None:
    """Write clean images and, with --attack, images made from them that fool a classifier.

    An adversarial image is written only if the classifier is right on the clean one and still wrong
    after the pixels are rounded to 8 bits. Files are named
    SOURCE-SPLIT-POSITION-[ATTACK-]label-LABEL.png, LABEL being the true one.
    """
    if attack is not Attack.none and model is None:
        raise typer.BadParameter(
            "an attack needs a classifier, such as models/digits.onnx", param_hint="--model"
        )
    with errors_shown():
        victim = None if model is None else weights.load(model.with_suffix(".safetensors"))
        spec = parse(data if data not in ("digits", "mnist") else f"{data}@test")
        images = load(spec, shape=victim.classifier.shape if victim else None)
        images = images.part(0, min(count, len(images)))
        for position, pixels in enumerate(images.images):
            write_atomically(out / _name(spec, images, position, Attack.none), encode_png(pixels))
        console.print(f"Wrote {len(images)} images of {spec} to {out}", markup=False)
        if victim is not None and attack is not Attack.none:
            _write_attacks(victim, images, attack, epsilon, spec, out)


def settings(attack: Attack, epsilon: float) -> AttackSettings:
    """Return the settings of an attack of the command line.

    Args:
        attack: ``deepfool``; ``fgsm``; or ``cw``, Carlini and Wagner's L2 attack with κ = 0: from a
            constant of 1 nearly every image is fooled, and most stay so when rounded.
        epsilon: size of FGSM's step, as a share of the pixel range, above 0.

    Raises:
        DataError: ``none`` is no attack, or FGSM is given no step.
    """
    shared: dict[str, Any] = {"name": attack.value, "samples": 1, "attempts": 1}
    if attack is Attack.deepfool:
        return DeepFool(**shared)
    if attack is Attack.cw:
        return CarliniWagner(initial_const=1.0, search_steps=3, iterations=100, learning_rate=0.05, **shared)
    if attack is Attack.fgsm and epsilon > 0:
        return Fgsm(epsilon=epsilon, **shared)
    raise DataError("fgsm needs a step above 0; choose another --epsilon, or another --attack")


def attack_images(
    model: TrainedModel, images: ImageData, attack: Attack, epsilon: float
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]:
    """Attack images, and tell which count.

    Returns:
        The attacked images, the labels attacked being the network's own, uint8 [N, H, W, C]; bool
        [N], whether the network is right on the clean image; bool [N], whether it is so and wrong
        on the attacked one.

    Raises:
        DataError: the attack needs the adversarial-robustness-toolbox, and it is not installed;
            ``pgd`` does not.
    """
    make = _pgd(model, epsilon) if attack is Attack.pgd else _of_evaluation(model, settings(attack, epsilon))
    before = logits(model.network, model.classifier, images.images).argmax(axis=1)
    made = [
        make(images.images[start : start + _BATCH], before[start : start + _BATCH])
        for start in range(0, len(images), _BATCH)
    ]
    after_attack = np.concatenate(made)
    after = logits(model.network, model.classifier, after_attack).argmax(axis=1)
    right = before == images.labels
    return after_attack, right, right & (after != images.labels)


def _of_evaluation(model: TrainedModel, told: AttackSettings) -> _Maker:
    return lambda images, labels: attacked(model, told, images, labels, seed=0)


def _pgd(model: TrainedModel, epsilon: float) -> _Maker:
    """Return the builder's own attack, projected gradient descent on the cross-entropy.

    It needs no toolbox.
    """
    network = OnPixels(model).eval()

    def make(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> NDArray[np.uint8]:
        batch = Batch(
            logits=network,
            pixels=torch.from_numpy(as_pixels(images)),
            labels=torch.from_numpy(labels),
            epsilons=torch.full((len(images), 1, 1, 1), epsilon),
            steps=_PGD_STEPS,
            generator=torch.Generator().manual_seed(0),
        )
        return as_bytes(pgd(batch).numpy())

    return make


def _write_attacks(
    model: TrainedModel, images: ImageData, attack: Attack, epsilon: float, spec: DataSpec, out: Path
) -> None:
    made, right, fooling = attack_images(model, images, attack, epsilon)
    fooled = np.flatnonzero(fooling)
    for position in fooled:
        write_atomically(out / _name(spec, images, int(position), attack), encode_png(made[position]))
    console.print(
        f"Wrote {len(fooled)} {attack} images to {out}: that many of the {int(right.sum())} that {model.name} "
        "labels rightly fool it after rounding to 8 bits",
        markup=False,
    )


def _name(spec: DataSpec, images: ImageData, position: int, attack: Attack) -> str:
    source = spec.kind if spec.split is None else f"{spec.kind}-{spec.split}"
    made = "" if attack is Attack.none else f"-{attack}"
    label = images.class_names[images.labels[position]].replace("/", "_")
    return f"{source}-{(spec.start or 0) + position}{made}-label-{label}.png"


if __name__ == "__main__":
    app()
