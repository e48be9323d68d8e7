"""A store whose robust mutant was trained with bounds: a small perceptron on digits, made in seconds."""

from pathlib import Path
from unittest.mock import patch

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mutant_guard.store.reader import Store
from mutant_store.datasets import load
from mutant_store.graph.classifier import load_classifier
from mutant_store.loading.subject import Subject
from mutant_store.retraining.settings import RetrainSettings
from mutant_store.robust.robust_network import RobustNetwork
from mutant_store.robust.trainer import RobustMutant
from mutant_store.threads import one_thread
from tests.support.demo import build_digits_store, perceptron

EPSILON = 0.12
_STEPS, _WIDTH = 700, 64


def train_certified_perceptron(seed: int = 0) -> RobustMutant:
    """Train a perceptron of 64-64-10 on digits with interval bounds (Gowal et al. 2018)."""
    data = load("digits@train")
    images = torch.from_numpy(data.images.reshape(len(data), -1)).float() / 255
    labels = torch.from_numpy(data.labels).long()
    draw = torch.Generator().manual_seed(seed)
    layers = [
        (torch.randn(inputs, outputs, generator=draw) * (2 / inputs) ** 0.5, torch.zeros(outputs))
        for inputs, outputs in ((64, _WIDTH), (_WIDTH, 10))
    ]
    parameters = [value.requires_grad_() for layer in layers for value in layer]
    optimizer = torch.optim.Adam(parameters, lr=0.005)
    with one_thread():  # several would wait for each other longer than such steps take
        for step in range(_STEPS):
            chosen = torch.randint(len(labels), (64,), generator=draw)
            epsilon = EPSILON * min(1.0, 2 * step / _STEPS)
            clean, worst = _scores(layers, images[chosen], labels[chosen], epsilon)
            loss = functional.cross_entropy(clean, labels[chosen]) + functional.cross_entropy(
                worst, labels[chosen]
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    weights: list[tuple[NDArray, NDArray]] = [  # type: ignore[type-arg]
        (weight.detach().numpy(), bias.detach().numpy()) for weight, bias in layers
    ]
    return RobustMutant(
        number=seed,
        classifier=load_classifier(perceptron(weights, (1, 8, 8))),
        accuracy=0.9,
        robust_accuracy=0.8,
        certified=True,
        network="perceptron",
        recipe={},
        data=data.portable_range,
    )


def _scores(
    layers: list[tuple[Tensor, Tensor]], images: Tensor, labels: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Return scores of images, and the worst ones within ε of them."""
    (first, one), (second, other) = layers
    low, high = (images - epsilon).clamp(0, 1), (images + epsilon).clamp(0, 1)
    middle, radius = (low + high) / 2 @ first + one, (high - low) / 2 @ first.abs()
    low, high = (middle - radius).relu(), (middle + radius).relu()
    middle, radius = (low + high) / 2, (high - low) / 2
    apart = second.T[None] - second.T[labels][:, None]
    worst = torch.einsum("njh,nh->nj", apart, middle) + torch.einsum("njh,nh->nj", apart.abs(), radius)
    clean = (images @ first + one).relu() @ second + other
    return clean, worst + other - other[labels][:, None]


def build_certified_store(model: Path, out: Path) -> Store:
    """Build a store of a digits model with a robust mutant that has bounds, and four others."""

    def trained(operators: object, subject: Subject, *_: object) -> list[RobustNetwork]:
        return [RobustNetwork.of(train_certified_perceptron(), subject, 0.8)]

    with patch("mutant_store.build._robust", trained):
        return build_digits_store(
            model,
            out,
            operator="mixed:robust,nai",
            mutants=4,
            accuracy_ratio=0.8,
            retraining=RetrainSettings(train_data="digits@train"),
        )
