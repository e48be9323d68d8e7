"""Training of one robust mutant."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from mutant_guard.errors import ModelError
from mutant_guard.store import model_card
from mutant_guard.store.atomic import write_atomically
from mutant_store.networks import checkpoint
from mutant_store.networks.augmentation import augment
from mutant_store.networks.checkpoint import Checkpoint
from mutant_store.networks.schedule import trapezoid
from mutant_store.retraining.folder import state_of
from mutant_store.retraining.job import IMAGES, TARGETS
from mutant_store.retraining.seeds import Purpose, generator_for
from mutant_store.robust.adversary import Adversary
from mutant_store.robust.job import HELD_BACK, RobustJob
from mutant_store.robust.objectives import Outcome, attacked, certified
from mutant_store.robust.robustness import Robustness, measure

_MOMENTUM = 0.9
_KEPT_SHARE = 0.25
"""Share of the robustness met before, or of single-step accuracy, below which training collapsed.

What is overfitted to single steps resists hardly any attack of several, while at a high learning
rate half of the robustness may come and go.
"""
_MOST_STEPS = 8
_CHANCES = 2
"""Least accuracy that can collapse, as a multiple of that of guesses."""


@dataclass(frozen=True)
class RobustEpoch:
    """Result of an epoch of a mutant.

    Attributes:
        mutant: number of the mutant.
        epoch: number of the epoch, counted from 1.
        loss: mean loss over the training images.
        attacked: share of the changed training images that keep their label.
        held_back: accuracy on the images that are not trained on.
        steps: number of steps of the attacks.
        collapsed: whether the epoch is given up, since single steps no longer say anything about
            attacks of several: training goes on from the epoch before, with twice the steps.
    """

    mutant: int
    epoch: int
    loss: float
    attacked: float
    held_back: Robustness
    steps: int
    collapsed: bool


def robust_name(number: int) -> str:
    """Return the name of a trained mutant's file in the job's folder.

    The file holds the network's state, and its accuracies as metadata.
    """
    return f"robust-{number:04}.safetensors"


def load_trained(job: RobustJob, number: int) -> tuple[nn.Module, Robustness]:
    """Return a trained mutant, in evaluation mode on the CPU, and its accuracies."""
    path = job.folder / robust_name(number)
    with safetensors.safe_open(path, framework="pt") as file:
        found = json.loads(file.metadata()[model_card.KEY])
    network = job.mutant.build()
    network.load_state_dict(safetensors.torch.load_file(path))
    return network.eval(), Robustness(**found)


def train_robust(job: RobustJob, number: int, tell: Callable[[RobustEpoch], None]) -> None:
    """Train a mutant unless it is there, and keep its state in the job's folder.

    The result is a function of the job and the number alone. A run that is killed goes on at its
    last finished epoch.

    Args:
        job: the job.
        number: number of the mutant.
        tell: called after every epoch.

    Raises:
        ModelError: training diverged.
    """
    path = job.folder / robust_name(number)
    if path.exists():
        return
    unfinished = path.with_suffix(".checkpoint")
    training = RobustTraining(job, number)
    if not training.resume(unfinished):
        training.save(unfinished)
    while training.finished < job.recipe.epochs:
        epoch = training.run_epoch()
        if not math.isfinite(epoch.loss):
            raise ModelError(f"training robust mutant {number} diverged: lower --robust-learning-rate")
        if epoch.collapsed:
            training.resume(unfinished)
            training.steps = 2 * epoch.steps
        training.save(unfinished)
        tell(epoch)
    metadata = {model_card.KEY: json.dumps(asdict(measure(job, training.network)))}
    write_atomically(path, state_of(training.network, metadata))
    unfinished.unlink(missing_ok=True)


class RobustTraining:
    """Training of one robust mutant.

    Attributes:
        network: the network.
        steps: number of steps of the attacks, more than the recipe's after a collapse.
        best: largest robust accuracy after an epoch.
        finished: number of epochs finished.
    """

    def __init__(self, job: RobustJob, number: int) -> None:
        """Make the network and its optimizer."""
        self._job, self._number, recipe = job, number, job.recipe
        self.network = job.placed(job.start(number))
        original = job.placed(job.original()).requires_grad_(False) if job.needs_original else None
        self._attacked = original if recipe.joint else None
        self._teacher = original if recipe.distill else None
        parameters = self.network.parameters()
        self._optimizer: torch.optim.Optimizer
        if recipe.optimizer == "adam":
            self._optimizer = torch.optim.Adam(
                parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay
            )
        else:
            self._optimizer = torch.optim.SGD(
                parameters,
                lr=recipe.learning_rate,
                momentum=_MOMENTUM,
                nesterov=True,
                weight_decay=recipe.weight_decay,
            )
        self._images = job.array(IMAGES).to(job.device)
        self._targets = job.array(TARGETS).to(job.device)
        held = job.array(HELD_BACK)
        self._rows = (
            torch.ones(len(self._targets), dtype=torch.bool).index_fill(0, held, False).nonzero()[:, 0]
        )
        self._batches = max(1, len(self._rows) // recipe.batch_size)
        self.steps, self.best, self.finished = recipe.steps, 0.0, 0

    def resume(self, path: Path) -> bool:
        """Go on from the checkpoint at ``path``; return whether there is one."""
        found, _ = checkpoint.load(path, {"mutant": self._number})
        if found is None:
            return False
        self.network.load_state_dict(found.model)
        self._optimizer.load_state_dict(found.optimizer)
        self.finished = found.epochs
        self.steps, self.best = int(found.settings["steps"]), float(found.settings["best"])
        return True

    def save(self, path: Path) -> None:
        """Write the checkpoint of the epochs finished.

        The folder stands for everything else that the checkpoint depends on.
        """
        known = {"mutant": self._number, "steps": self.steps, "best": self.best}
        state = self.network.state_dict(), self._optimizer.state_dict()
        Checkpoint(known, self.finished, *state).save(path)

    def run_epoch(self) -> RobustEpoch:
        """Train one more epoch, and measure the network on the images held back."""
        job, recipe = self._job, self._job.recipe
        # Batches of large images are run in parts, which are too small for statistics of their own.
        whole = job.together >= (2 if recipe.paired else 1) * recipe.batch_size
        generator = generator_for(job.seed, Purpose.robust_epoch, self._number, self.finished, self.steps)
        loss_sum, right = (torch.zeros((), device=job.device) for _ in range(2))
        changed = seen = 0
        for step, rows in enumerate(self._epoch_rows(generator)):
            done = self.finished * self._batches + step
            self._set_rate(done)
            self.network.train(whole)
            self._optimizer.zero_grad()
            for part in (rows,) if whole else torch.split(rows, max(1, job.together // 2)):
                outcome = self._outcome(part, self._largest(done), generator)
                (outcome.loss * (len(part) / len(rows))).backward()  # type: ignore[no-untyped-call]
                loss_sum += outcome.loss.detach() * len(part)
                right += outcome.right
                changed, seen = changed + outcome.changed, seen + len(part)
            nn.utils.clip_grad_norm_(self.network.parameters(), recipe.longest_gradient)
            self._optimizer.step()
        kept = float(right / max(1, changed))
        held_back = measure(job, self.network)
        collapsed = self._collapsed(kept, held_back.robust_accuracy)
        self.finished, number = self.finished + 1, self.finished + 1
        self.best = max(self.best, held_back.robust_accuracy)
        return RobustEpoch(
            self._number, number, float(loss_sum / seen), kept, held_back, self.steps, collapsed
        )

    def _epoch_rows(self, generator: torch.Generator) -> Iterator[Tensor]:
        """Yield positions of the images of each batch; an incomplete last batch is left out."""
        order = self._rows[torch.randperm(len(self._rows), generator=generator)]
        size = self._job.recipe.batch_size
        for step in range(self._batches):
            yield order[step * size : (step + 1) * size]

    def _outcome(self, rows: Tensor, largest: float, generator: torch.Generator) -> Outcome:
        """Return the loss of some images, whose changes are at most a multiple of the drawn sizes."""
        job, recipe = self._job, self._job.recipe
        place = rows.to(job.device)
        images = augment(self._images[place], shift=job.shift, flip=job.flip, generator=generator)
        pixels, labels = images.float() / 255, self._targets[place]
        low, high = recipe.spread
        drawn = low + (high - low) * torch.rand(len(rows), 1, 1, 1, generator=generator)
        sizes = (largest * recipe.epsilon * drawn).to(job.device)
        if recipe.method == "certified":
            return certified(job, self.network, pixels, labels, sizes)
        adversary = Adversary(job, self.network, self._attacked, self.steps)
        return attacked(adversary, pixels, labels, sizes, generator, self._teacher)

    def _largest(self, done: int) -> float:
        """Return the share of the sizes that changes have after a number of batches."""
        ramp = self._job.recipe.ramp * self._job.recipe.epochs * self._batches
        return min(1.0, done / ramp) if ramp else 1.0

    def _set_rate(self, done: int) -> None:
        recipe = self._job.recipe
        total = recipe.epochs * self._batches
        rate = trapezoid(done, total, recipe.learning_rate, warm_up=recipe.warm_up, fall=recipe.fall)
        for group in self._optimizer.param_groups:
            group["lr"] = rate

    def _collapsed(self, single_step: float, robust: float) -> bool:
        """Return whether single steps have been overfitted (Wong et al., section 5.2)."""
        guarded = self._job.recipe.method == "fast" and self.steps < _MOST_STEPS
        reached = max(self.best, single_step)
        return guarded and reached > _CHANCES / self._job.classes and robust < _KEPT_SHARE * reached
