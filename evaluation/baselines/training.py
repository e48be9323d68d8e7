"""Networks that baselines train, kept in the workspace and resumed at the last finished epoch."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import nn

from evaluation.baselines.base import fingerprint_of_images
from evaluation.training.trainer import Settings, Trainer
from evaluation.workspace import Arrays, Workspace
from mutant_store.datasets import ImageData
from mutant_store.networks import Network


def train_network(
    classifier: Network,
    train: ImageData,
    settings: Settings,
    workspace: Workspace,
    inputs: Mapping[str, Any],
) -> nn.Module:
    """Train a network, or take the one that an earlier run trained.

    Args:
        classifier: description of the network: its layers and the augmentation of its images.
        train: images uint8 [N, H, W, C] to train on.
        settings: settings of the training; ``model`` names the result in the workspace.
        workspace: workspace that keeps weights and checkpoints.
        inputs: JSON values that the result depends on besides settings and images.

    Returns:
        The network, in evaluation mode, on the CPU.

    Raises:
        OSError: the workspace cannot be written.
    """
    everything = {**inputs, "images": fingerprint_of_images(train), **asdict(settings)}
    checkpoint = workspace.file(settings.model, everything, ".checkpoint")

    def make() -> Arrays:
        trainer = Trainer(classifier, train, settings)
        trainer.resume(checkpoint)
        while trainer.finished < settings.epochs:
            # Dropout draws from torch's global generator.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(settings.seed + trainer.finished)
                trainer.run_epoch()
            trainer.save(checkpoint)
        return {key: value.numpy() for key, value in trainer.exportable().state_dict().items()}

    kept = workspace.arrays(settings.model, everything, make)
    checkpoint.unlink(missing_ok=True)
    network = classifier.build(len(train.class_names))
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    # A number comes back from the file as an array of one.
    network.load_state_dict({key: torch.tensor(value).reshape(shapes[key]) for key, value in kept.items()})
    return network.eval()


def fingerprint(network: nn.Module) -> str:
    """Return the SHA-256 of a network's weights, in hexadecimal."""
    digest = hashlib.sha256()
    for key, value in network.state_dict().items():
        digest.update(key.encode())
        digest.update(value.cpu().numpy().tobytes())
    return digest.hexdigest()


def derived_seed(seed: int, number: int) -> int:
    """Return one of several seeds drawn from one, 0 to 2³¹ − 1."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0] >> 1)
