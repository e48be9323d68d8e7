"""Training of one mutant."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import safetensors.numpy
import torch
from torch import Tensor, nn
from torch.nn import functional

from mutant_guard.errors import ModelError
from mutant_guard.store.atomic import write_atomically
from mutant_store.networks import checkpoint
from mutant_store.networks.checkpoint import Checkpoint
from mutant_store.networks.schedule import learning_rate
from mutant_store.retraining.job import CHOSEN, CLEAN_FEATURES, IMAGES, TARGETS, Job
from mutant_store.retraining.material import material
from mutant_store.retraining.redraw import initialise, redraw
from mutant_store.retraining.seeds import Purpose, drawing_for, generator_for
from mutant_store.retraining.settings import RECIPES
from mutant_store.retraining.vector import parameters_of

VALUES = "values"

_MOMENTUM = 0.9
_WEIGHT_DECAY = 5e-4
_PROBE = 8
_LONGEST_GRADIENT = 1.0
"""Largest norm of the gradient of networks from elsewhere.

Without batch normalisation, or with it folded, deep ones diverge otherwise (Pascanu, Mikolov,
Bengio: On the difficulty of training recurrent neural networks. ICML 2013).
"""


@dataclass(frozen=True)
class Epoch:
    """Result of an epoch of a mutant.

    Attributes:
        mutant: number of the mutant.
        epoch: number of the epoch, counted from 1.
        loss: mean loss over the mutant's training images.
        accuracy: share of these images that is right.
    """

    mutant: int
    epoch: int
    loss: float
    accuracy: float


def mutant_name(number: int) -> str:
    """Return the name of a finished mutant's file in the job's folder.

    The file holds ``values`` float32 [P].
    """
    return f"mutant-{number:04}.safetensors"


def train_mutant(job: Job, number: int, tell: Callable[[Epoch], None]) -> None:
    """Train a mutant unless it is there, and keep its parameters in the job's folder.

    The result is a function of the job and the number alone. A run that is killed goes on at its
    last finished epoch.

    Args:
        job: the job.
        number: number of the mutant.
        tell: called after every epoch.

    Raises:
        ModelError: training diverged, or the network's parameters are not all of what it learned.
    """
    path = job.folder / mutant_name(number)
    if path.exists():
        return
    training = Training(job, number)
    unfinished = path.with_suffix(".checkpoint")
    training.resume(unfinished)
    while training.finished < job.recipe.epochs:
        epoch = training.run_epoch()
        if not math.isfinite(epoch.loss):
            raise ModelError(f"training mutant {number} diverged: lower --learning-rate")
        training.save(unfinished)
        tell(epoch)
    network = training.network.to(device="cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    values = parameters_of(job, network, _probe(job))
    write_atomically(path, safetensors.numpy.save({VALUES: values}))
    unfinished.unlink(missing_ok=True)


class Training:
    """Training of one mutant by stochastic gradient descent.

    Attributes:
        network: the network.
        steps: number of steps in an epoch.
        finished: number of epochs finished.
    """

    def __init__(self, job: Job, number: int) -> None:
        """Redraw the share of the original's neurons.

        Args:
            job: the job.
            number: number of the mutant.
        """
        self._job, self._number, recipe = job, number, job.recipe
        self._material = material(job)
        self._targets = job.array(TARGETS).to(job.device)
        self._led_from = self._targets[job.array(CHOSEN).to(job.device)]
        self.network = job.placed(self._redrawn())
        self._optimizer = torch.optim.SGD(
            self.network.parameters(),
            lr=recipe.learning_rate,
            momentum=_MOMENTUM,
            nesterov=True,
            weight_decay=_WEIGHT_DECAY,
        )
        self._strange = (
            round(recipe.adversarial_share * recipe.batch_size) if self._material.adversarial else 0
        )
        self._clean = max(1, recipe.batch_size - self._strange)
        self.steps = _steps(len(self._targets), self._clean, alone=not self._strange)
        self.finished = 0

    def resume(self, path: Path) -> None:
        """Go on from the checkpoint at ``path`` if there is one."""
        found, _ = checkpoint.load(path, {"mutant": self._number})
        if found is not None:
            self.network.load_state_dict(found.model)
            self._optimizer.load_state_dict(found.optimizer)
            self.finished = found.epochs

    def save(self, path: Path) -> None:
        """Write the checkpoint of the epochs finished.

        The folder stands for everything else that the checkpoint depends on.
        """
        state = self.network.state_dict(), self._optimizer.state_dict()
        Checkpoint({"mutant": self._number}, self.finished, *state).save(path)

    def run_epoch(self) -> Epoch:
        """Train one more epoch."""
        job, recipe = self._job, self._job.recipe
        # Batches of large images are run in parts, which are too small for statistics of their own.
        whole = job.trained_together >= recipe.batch_size
        self.network.train(whole)
        loss_sum, right, seen = (torch.zeros((), device=job.device) for _ in range(3))
        for step, (batch, targets) in enumerate(self._batches()):
            rate = learning_rate(
                self.finished * self.steps + step, recipe.epochs * self.steps, recipe.learning_rate
            )
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            self._optimizer.zero_grad()
            together = len(batch) if whole else job.trained_together
            parts = (torch.split(values, together) for values in (batch, targets))
            for part, wanted in zip(*parts, strict=True):
                logits = self._material.logits(self.network, part)
                loss = functional.cross_entropy(logits, wanted, label_smoothing=recipe.label_smoothing)
                (loss * (len(part) / len(batch))).backward()  # type: ignore[no-untyped-call]
                labels = wanted if wanted.ndim == 1 else wanted.argmax(1)
                loss_sum += loss.detach() * len(part)
                right += (logits.detach().argmax(1) == labels).sum()
                seen += len(part)
            if job.trained.name not in RECIPES:
                nn.utils.clip_grad_norm_(self.network.parameters(), _LONGEST_GRADIENT)
            self._optimizer.step()
        self.finished += 1
        return Epoch(self._number, self.finished, float(loss_sum / seen), float(right / seen))

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches and their targets.

        Every clean image comes once, adversarial images come in turn.
        """
        job, made = self._job, self._material.adversarial
        generator = generator_for(job.seed, Purpose.epoch, self._number, self.finished)
        order = torch.randperm(len(self._targets), generator=generator)
        turns = math.ceil(self.steps * self._strange / max(1, made))
        strange = torch.cat(
            [
                torch.zeros(0, dtype=torch.int64),
                *(torch.randperm(made, generator=generator) for _ in range(turns)),
            ]
        )
        for step in range(self.steps):
            last = step + 1 == self.steps
            clean = order[step * self._clean : None if last else (step + 1) * self._clean]
            others = strange[step * self._strange : (step + 1) * self._strange]
            targets = self._targets[clean.to(job.device)]
            if self._strange:
                targets = torch.cat([targets, self._led_from[others.to(job.device)]])
            yield self._material.batch(clean, others, generator), targets

    def _redrawn(self) -> nn.Module:
        job, number = self._job, self._number
        network = job.start()
        with drawing_for(job.seed, Purpose.initialisation, number):
            fresh = job.trained.build()
            initialise(fresh, network)
        generator = generator_for(job.seed, Purpose.neurons, number)
        redraw(network, fresh, job.recipe.share, job.array(IMAGES)[:2].float() / 255, generator)
        return network


def _probe(job: Job) -> Tensor:
    """Return a few inputs of the network that is trained, float32 [n, …]."""
    if job.tail is not None:
        return job.array(CLEAN_FEATURES)[:_PROBE].float()
    return job.normalised(job.array(IMAGES)[:_PROBE].float() / 255)


def _steps(images: int, batch: int, *, alone: bool) -> int:
    """Return the number of batches of an epoch.

    Batch normalisation cannot be trained on one image. A last image that would be ``alone`` goes
    with the batch before.
    """
    steps = math.ceil(images / batch)
    return steps - 1 if alone and steps > 1 and images % batch == 1 else steps
