"""The training loop: seeded, and the same whether or not it was interrupted."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mutant_store.datasets import ImageData
from mutant_store.networks import Network, checkpoint
from mutant_store.networks.augmentation import augment, erase
from mutant_store.networks.checkpoint import Checkpoint
from mutant_store.networks.schedule import learning_rate

_MOMENTUM = 0.9
_WEIGHT_DECAY = 5e-4


@dataclass(frozen=True)
class Settings:
    """Settings of a training run.

    They are the network's registered name, passes over the data, images a step, the peak learning
    rate, the seed, bfloat16 arithmetic or float32, and ``cpu`` or ``cuda``.
    """

    model: str
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    bf16: bool
    device: str


@dataclass(frozen=True)
class Step:
    """Progress within an epoch.

    Epoch and step are counted from 1; loss and share right are means over the epoch so far.
    """

    epoch: int
    step: int
    loss: float
    accuracy: float


class Trainer:
    """Training of one network on one set of images with stochastic gradient descent.

    Every random draw comes from the seed and the number of the epoch, so a checkpoint needs no
    generator state.

    Attributes:
        epochs: passes over the images that the learning rate is planned for; fewer than the
            settings' where there is no time for all.
        steps: steps of an epoch.
        finished: number of epochs finished.
    """

    def __init__(self, classifier: Network, data: ImageData, settings: Settings) -> None:
        """Build the network and the optimizer.

        Args:
            classifier: description of the network.
            data: images uint8 [N, H, W, C] of the classifier's shape; all of it is used and nothing
                else.
            settings: settings of the run.
        """
        self.classifier, self.settings = classifier, settings
        self.epochs = settings.epochs
        self.device = torch.device(settings.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            network = classifier.build(len(data.class_names))
        layout = torch.channels_last if classifier.bf16 or settings.bf16 else torch.contiguous_format
        # torch's annotations leave out the overload with memory_format.
        self.model: nn.Module = network.to(device=self.device, memory_format=layout)  # type: ignore[call-overload]
        self._layout = layout
        self._images = torch.from_numpy(data.images).permute(0, 3, 1, 2).contiguous().to(self.device)
        self._labels = torch.from_numpy(data.labels).to(self.device)
        self._optimizer = torch.optim.SGD(
            self.model.parameters(),
            lr=settings.learning_rate,
            momentum=_MOMENTUM,
            nesterov=True,
            weight_decay=_WEIGHT_DECAY,
        )
        self._identity: dict[str, Any] = {
            **asdict(settings),
            "data": data.range.model_dump(),
            "augmentation": [classifier.shift, classifier.flip, classifier.erase],
        }
        self.steps = math.ceil(len(data) / settings.batch_size)
        self.finished = 0

    def resume(self, path: Path) -> str:
        """Go on from the checkpoint at ``path`` if it is of the same run.

        Returns:
            The reason why it is not used, or ''.
        """
        found, reason = checkpoint.load(path, self._identity)
        if found is not None:
            self.model.load_state_dict(found.model)
            self._optimizer.load_state_dict(found.optimizer)
            self.finished = found.epochs
        return reason

    def save(self, path: Path) -> None:
        """Write the checkpoint of the epochs finished."""
        state = self.model.state_dict(), self._optimizer.state_dict()
        Checkpoint(self._identity, self.finished, *state).save(path)

    def exportable(self) -> nn.Module:
        """Return the network on the CPU with weights in the usual order.

        Another order would show in the exported graph.
        """
        model: nn.Module = self.model.to(device="cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return model

    def run_epoch(self, on_step: Callable[[Step], None] | None = None) -> Step:
        """Train one more epoch, calling ``on_step`` after every step, and return the last step.

        Without ``on_step`` no step waits for the results of the one before: a GPU is kept busy.
        """
        self.model.train()
        generator = torch.Generator().manual_seed((self.settings.seed << 32) + self.finished)
        loss_sum, right, seen = (torch.zeros((), device=self.device) for _ in range(3))

        def so_far(step: int) -> Step:
            return Step(self.finished + 1, step, float(loss_sum / seen), float(right / seen))

        for number, (images, labels) in enumerate(self._batches(generator)):
            for group in self._optimizer.param_groups:
                group["lr"] = learning_rate(
                    self.finished * self.steps + number,
                    self.epochs * self.steps,
                    self.settings.learning_rate,
                )
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.settings.bf16):
                logits = self.model(images)
                loss = functional.cross_entropy(logits, labels)
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            loss_sum += loss.detach().float() * len(labels)
            right += (logits.detach().argmax(1) == labels).sum()
            seen += len(labels)
            if on_step is not None:
                on_step(so_far(number + 1))
        last = so_far(self.steps)
        self.finished += 1
        return last

    def _batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        mean, std = (
            torch.tensor(values, device=self.device)[:, None, None]
            for values in (self.classifier.mean, self.classifier.std)
        )
        order = torch.randperm(len(self._labels), generator=generator).to(self.device)
        for start in range(0, len(order), self.settings.batch_size):
            chosen = order[start : start + self.settings.batch_size]
            images = augment(
                self._images[chosen],
                shift=self.classifier.shift,
                flip=self.classifier.flip,
                generator=generator,
            )
            normalised = (images.float() / 255 - mean) / std
            if self.classifier.erase:
                normalised = erase(normalised, size=self.classifier.erase, generator=generator)
            yield normalised.contiguous(memory_format=self._layout), self._labels[chosen]
