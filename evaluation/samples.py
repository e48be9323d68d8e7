"""``python -m evaluation.samples``: writes test images, and adversarial ones made from them, as PNG files."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor, nn

from evaluation import weights
from evaluation.console import console
from evaluation.inference import logits
from evaluation.png import encode_png
from evaluation.weights import TrainedModel
from mutant_store.atomic import write_atomically
from mutant_store.console import errors_shown
from mutant_store.datasets import DataSpec, ImageData, load, parse
from mutant_store.errors import DataError

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_OVERSHOOT = 0.02
"""How far past the boundary DeepFool goes, as a share of the way to it: its paper's value; most survive rounding."""

_CARLINI_WAGNER = {"initial_const": 1.0, "binary_search_steps": 3, "max_iter": 50, "learning_rate": 0.01}
"""From a constant of 1 nearly every image is fooled, and most stay so when rounded; half a second each on LeNet."""


class Attack(StrEnum):
    """How adversarial images are made."""

    none = "none"
    deepfool = "deepfool"
    fgsm = "fgsm"
    cw = "cw"


class _OnPixels(nn.Module):
    """The network with its normalisation in front, so that attacks work in the pixel range 0 to 1."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: TrainedModel) -> None:
        super().__init__()
        self.network = model.network
        mean, std = (
            torch.tensor(values)[:, None, None] for values in (model.classifier.mean, model.classifier.std)
        )
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images float32 [N, C, H, W], values 0 to 1."""
        answer: Tensor = self.network((images - self.mean) / self.std)
        return answer


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
        float, typer.Option(min=0.0, max=1.0, help="Size of FGSM's step, as a share of the pixel range.")
    ] = 0.1,
) -> None:
    """Write clean images and, with --attack, images made from them that fool a classifier.

    An adversarial image is written only if the classifier is right on the clean one and still wrong after the
    pixels are rounded to 8 bits. Files are named SOURCE-SPLIT-POSITION-[ATTACK-]label-LABEL.png, LABEL being the
    true one.
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


def adversarial(
    model: TrainedModel, images: NDArray[np.uint8], attack: Attack, epsilon: float
) -> NDArray[np.uint8]:
    """Attack images, rounding the result to 8 bits; the labels attacked are the model's own.

    Args:
        model: the network to fool.
        images: uint8 [N, H, W, C] of the network's shape.
        attack: ``deepfool``, ``fgsm``, or ``cw`` (Carlini and Wagner's L2 attack, κ = 0).
        epsilon: size of FGSM's step, as a share of the pixel range.

    Returns:
        uint8 [N, H, W, C].

    Raises:
        DataError: the adversarial-robustness-toolbox is not installed.
    """
    try:
        # Imported here: it takes seconds, and clean samples do without it.
        from art.attacks.evasion import CarliniL2Method, DeepFool, FastGradientMethod
        from art.estimators.classification import PyTorchClassifier
    except ImportError as error:
        raise DataError(
            "attacks need more packages; install them with: pip install '.[evaluation]'"
        ) from error
    scaled = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32) / np.float32(255)
    estimator = PyTorchClassifier(
        model=_OnPixels(model).eval(),
        loss=nn.CrossEntropyLoss(),
        input_shape=scaled.shape[1:],
        nb_classes=logits(model.network, model.classifier, images[:1]).shape[1],
        clip_values=(0.0, 1.0),
        device_type="cpu",
    )
    if attack is Attack.deepfool:
        method = DeepFool(estimator, max_iter=50, epsilon=_OVERSHOOT, batch_size=64, verbose=False)
    elif attack is Attack.cw:
        method = CarliniL2Method(estimator, batch_size=64, verbose=False, **_CARLINI_WAGNER)
    else:
        method = FastGradientMethod(estimator, eps=epsilon, batch_size=64)
    attacked: NDArray[np.float32] = method.generate(scaled)
    return np.rint(attacked * 255).astype(np.uint8).transpose(0, 2, 3, 1)


def attack_images(
    model: TrainedModel, images: ImageData, attack: Attack, epsilon: float
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]:
    """Attack images, and tell which count.

    Returns:
        What :func:`adversarial` makes of them, uint8 [N, H, W, C]; bool [N], where the network is right on the clean
        image; bool [N], where it is so and wrong on the attacked one.
    """
    attacked = adversarial(model, images.images, attack, epsilon)
    before, after = (
        logits(model.network, model.classifier, pixels).argmax(axis=1) for pixels in (images.images, attacked)
    )
    right = before == images.labels
    return attacked, right, right & (after != images.labels)


def _write_attacks(
    model: TrainedModel, images: ImageData, attack: Attack, epsilon: float, spec: DataSpec, out: Path
) -> None:
    attacked, right, fooling = attack_images(model, images, attack, epsilon)
    fooled = np.flatnonzero(fooling)
    for position in fooled:
        write_atomically(out / _name(spec, images, int(position), attack), encode_png(attacked[position]))
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
