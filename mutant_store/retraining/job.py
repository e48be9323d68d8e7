"""Jobs of training: the knowledge of every worker process, and the places of its files."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mutant_guard.store.choices import OutputKind
from mutant_guard.store.manifest import InputSpec
from mutant_store.networks.architecture import Architecture
from mutant_store.retraining.settings import Recipe

IMAGES, TARGETS, CHOSEN = "images.npy", "targets.npy", "chosen.npy"
ORIGINAL_STATE, ORIGINAL_MODEL = "original.safetensors", "original.onnx"
PREFIX, TAIL = "prefix.onnx", "tail.onnx"
CLEAN_FEATURES, ADVERSARIAL_FEATURES = "features.npy", "features-adversarial.npy"
_SHARD, _SHARD_VALUES = 1000, 1 << 24
_TOGETHER = 3 << 18
"""Values of the images that run at a time through a network whose gradient is taken."""


@dataclass(frozen=True)
class TailPart:
    """Part of the original behind a cut, where only that is trained.

    Attributes:
        architecture: maker of the part as a network, from features float32 [N, …].
        input: pixels that the original takes.
    """

    architecture: Architecture
    input: InputSpec


@dataclass(frozen=True)
class TrainingJob:
    """Training of networks beside an original, the same in every process.

    ``folder`` holds what is too large to send:

    * ``images.npy`` uint8 [N, C, H, W], the training images, and ``targets.npy``, their labels
      int64 [N] or what the original answers, float32 [N, classes];
    * ``original.safetensors``, the original's state, where it is needed.

    Attributes:
        folder: directory of these files.
        architecture: maker of the original.
        seed: seed of the build.
        mean: mean of pixels in the range 0 to 1, one per channel.
        std: standard deviation of pixels in the range 0 to 1, one per channel.
        shift: largest number of pixels by which a training image is moved along each axis.
        flip: whether training images are mirrored at random.
        bf16: whether the network computes in bfloat16 arithmetic.
        channels_last: whether weights and batches have their channels behind all other axes.
        output_kind: kind of what the original answers.
        device: ``cpu`` or ``cuda``.
    """

    folder: Path
    architecture: Architecture
    seed: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    shift: int
    flip: bool
    bf16: bool
    channels_last: bool
    output_kind: OutputKind
    device: str

    @property
    def together(self) -> int:
        """Number of images that run at a time through a network whose gradient is taken."""
        return together(self.shape(IMAGES))

    def inputs(self) -> list[Path]:
        """Return the files of the folder that tasks read: arrays, graphs and the original's state."""
        return sorted(
            path
            for path in self.folder.iterdir()
            if path.suffix in (".npy", ".onnx") or path.name == ORIGINAL_STATE
        )

    def original(self) -> nn.Module:
        """Return the original, on the CPU, in evaluation mode."""
        network = self.architecture.build()
        network.load_state_dict(safetensors.torch.load_file(self.folder / ORIGINAL_STATE))
        return network.eval()

    def placed(self, network: nn.Module) -> nn.Module:
        """Return the network on the device, in the order of axes that is fastest there."""
        moved: nn.Module = network.to(device=self.device, memory_format=self.memory_format)  # type: ignore[call-overload]
        return moved

    @property
    def memory_format(self) -> torch.memory_format:
        """Memory format of weights and batches."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def array(self, name: str) -> Tensor:
        """Return an array of the folder, with its memory shared by all processes."""
        return torch.from_numpy(np.load(self.folder / name, mmap_mode="c"))

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an entry of an array of the folder."""
        return tuple(np.load(self.folder / name, mmap_mode="r").shape[1:])

    def logits(self, network: nn.Module, pixels: Tensor, kind: OutputKind | None = None) -> Tensor:
        """Return logits float32 [n, classes] of pixels float32 [n, C, H, W].

        Pixels are in the range 0 to 1 and on the device. The network answers with scores of a
        ``kind``; None is the original's.
        """
        inputs = self.normalised(pixels).contiguous(memory_format=self.memory_format)
        with torch.autocast(torch.device(self.device).type, dtype=torch.bfloat16, enabled=self.bf16):
            scores: Tensor = network(inputs)
        return self.as_logits(scores, kind)

    def as_logits(self, scores: Tensor, kind: OutputKind | None = None) -> Tensor:
        """Return logits float32 [n, classes] of scores of a kind; None is the original's."""
        scores = scores.float()
        # The logarithms of probabilities are logits that give them.
        return scores.clamp_min(1e-12).log() if (kind or self.output_kind) == "probabilities" else scores

    def normalised(self, pixels: Tensor) -> Tensor:
        """Return what the network reads for pixels float32 [n, C, H, W] in the range 0 to 1."""
        mean, std = (
            torch.tensor(values, device=pixels.device)[:, None, None] for values in (self.mean, self.std)
        )
        return (pixels - mean) / std


@dataclass(frozen=True)
class Job(TrainingJob):
    """Retraining of a build's mutants.

    ``folder`` holds, besides the files of every training:

    * ``chosen.npy`` int64 [M], positions of the images that adversarial images are made of;
    * ``original.onnx``, the original's graph as the bank has it;
    * for tails, ``prefix.onnx`` and ``tail.onnx``, that graph before and behind the cut, and
      ``features.npy`` and ``features-adversarial.npy`` float16 [N, …] and [M, …], the features of
      the training images and of the adversarial ones at the cut.

    Attributes:
        recipe: settings of training.
        tail: part of the original that is trained; None for all of it.
    """

    recipe: Recipe
    tail: TailPart | None = None

    @property
    def shard(self) -> int:
        """Number of images made at a time, and the most that a killed build loses."""
        return int(np.clip(_SHARD_VALUES // int(np.prod(self.shape(IMAGES))), 1, _SHARD))

    @property
    def trained_together(self) -> int:
        """Number of images or features that run at a time through the network that is trained."""
        return together(self.shape(IMAGES if self.tail is None else CLEAN_FEATURES))

    @property
    def trained(self) -> Architecture:
        """Maker of the network that is trained: the original's, or that of its tail."""
        return self.architecture if self.tail is None else self.tail.architecture

    @property
    def trained_model(self) -> Path:
        """File of the graph of the network that is trained."""
        return self.folder / (ORIGINAL_MODEL if self.tail is None else TAIL)

    def start(self) -> nn.Module:
        """Return what trainings start from, the original or its tail, on the CPU."""
        return self.original() if self.tail is None else self.tail.architecture.build().eval()


def keep(path: Path, array: NDArray[Any]) -> None:
    """Write an array to a ``.npy`` file, without a copy in memory; the file is whole or not there."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    with unfinished.open("wb") as file:
        np.save(file, array)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def together(shape: Sequence[int]) -> int:
    """Return how many images of this shape run at a time where a gradient is taken, at least 1."""
    return max(1, _TOGETHER // int(np.prod(shape)))
