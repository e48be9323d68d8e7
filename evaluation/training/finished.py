"""What is done with a trained network: its accuracy on held-out images, and its ONNX file."""

from dataclasses import replace
from pathlib import Path

from torch import nn

from evaluation.console import console
from mutant_guard.errors import DataError
from mutant_guard.store.atomic import write_atomically
from mutant_guard.store.model_card import ModelCard
from mutant_store.datasets import ImageData, load, parse
from mutant_store.networks import Network
from mutant_store.networks.inference import accuracy, normalised
from mutant_store.networks.onnx_export import largest_difference, to_onnx

Held = dict[str, tuple[float, int]]
"""Share of the images labelled rightly, 0 to 1, and number of images, by split; the test split is last."""

_CHECKED = 64
"""Number of images on which the ONNX file is compared with torch."""


def other_split(data: ImageData, split: str, classifier: Network) -> ImageData | None:
    """Load the holdout or test images that go with the training images; None if there are none."""
    spec = parse(data.range.spec)
    if spec.split is None:
        return None
    try:
        other = load(replace(spec, split=split, start=None, stop=None), shape=classifier.shape)
    except DataError:
        return None
    return None if other.range.overlaps(data.range) else other


def held_out(
    model: nn.Module, classifier: Network, holdout: ImageData | None, test: ImageData | None
) -> Held:
    """Return the accuracies of a network on the images that are there; it runs on its own device."""
    splits = (("holdout", holdout), ("test", test))
    return {
        split: (accuracy(model, classifier, images), len(images))
        for split, images in splits
        if images is not None
    }


def write_onnx(out: Path, model: nn.Module, classifier: Network, data: ImageData, held: Held) -> None:
    """Write a network's ONNX file, with what it was trained on and its accuracy in the metadata.

    Args:
        out: path of the file.
        model: the network, on the CPU, its weights in contiguous memory format.
        classifier: its description.
        data: images that it was trained on.
        held: its accuracies.

    Raises:
        ModelError: the network cannot be exported, or the file answers otherwise.
        OSError: the file cannot be written.
    """
    card = ModelCard(
        train_data=data.portable_range,
        mean=list(classifier.mean),
        std=list(classifier.std),
        layout="nchw",
        classes=list(data.class_names),
        accuracy=list(held.values())[-1][0] if held else None,
    )
    images = normalised(classifier, data.images[:_CHECKED])
    content = to_onnx(model, card, images)
    difference = largest_difference(content, model, images)
    console.print(f"ONNX Runtime and torch agree to {difference:.1e} on the logits of {len(images)} images")
    write_atomically(out, content)


def shown(held: Held) -> list[str]:
    """Return accuracies as people read them."""
    return [f"{split} {right:.2%} of {count:,}" for split, (right, count) in held.items()]
