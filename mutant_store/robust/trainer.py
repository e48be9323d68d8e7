"""Robust mutants of a build: trained one by one, and given out as classifiers of their own."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto
from torch import nn

from mutant_guard.errors import DataError
from mutant_guard.store.choices import OutputKind
from mutant_guard.store.manifest import RecipeValue
from mutant_guard.store.model_card import DataRange
from mutant_store.cluster.ray_cluster import RayCluster
from mutant_store.cluster.training_tasks import training_device, training_workers
from mutant_store.companions.companion import Companion
from mutant_store.graph.classifier import Classifier
from mutant_store.loading.subject import Subject
from mutant_store.loading.torch_source import TorchOriginal
from mutant_store.reporter import Reporter
from mutant_store.retraining.folder import prepare_folder, state_of
from mutant_store.retraining.job import IMAGES, ORIGINAL_STATE, TARGETS
from mutant_store.retraining.seeds import Purpose, seed_for
from mutant_store.retraining.training_data import TrainingData
from mutant_store.robust.basis import Basis
from mutant_store.robust.ensemble import Ensemble
from mutant_store.robust.export import classifier_of
from mutant_store.robust.job import HELD_BACK, RobustJob
from mutant_store.robust.plan import RobustPlan
from mutant_store.robust.robustness import Robustness, measure
from mutant_store.robust.settings import MOST_MUTANTS, ORIGINAL, RobustSettings
from mutant_store.robust.training import RobustEpoch, load_trained, train_robust
from mutant_store.threads import one_thread

_FOLDER = "robust-"
_PROBE = 8
_HELD_BACK, _HELD_BACK_SHARE = 512, 0.1
_LEAST_IMAGES = 100


@dataclass(frozen=True, eq=False)
class RobustMutant:
    """Robust mutant, ready to stand in a bank.

    Attributes:
        number: number of the mutant.
        classifier: its graph, which reads the original's input and has the original's classes; its
            scores are logits, or of the original's kind where training started from the original.
            Where it started from a companion, input, classes and scores are that one's.
        accuracy: share of the held-back training images that it gets right.
        robust_accuracy: share of them that it gets right at worst, see ``Robustness``.
        certified: whether it was trained for bounds.
        network: name of its architecture.
        recipe: settings of its training, by name.
        data: images it was trained on.
        companion: the companion that training started from; None for none.
    """

    number: int
    classifier: Classifier
    accuracy: float
    robust_accuracy: float
    certified: bool
    network: str
    recipe: dict[str, RecipeValue]
    data: DataRange
    companion: Companion | None = None


class RobustTrainer:
    """Trainer of the robust mutants of one subject.

    Everything that it has made stays in the staging directory until the store is published.

    Attributes:
        job: the job of its mutants.
        recipe: settings of their training, by name.
        notes: sentences on what of the training images was left out.
    """

    def __init__(
        self,
        subject: Subject,
        original: TorchOriginal | None,
        settings: RobustSettings,
        train_data: str | None,
        staged: Path,
        *,
        seed: int,
        jobs: int,
        cluster: RayCluster | None = None,
        companion: Companion | None = None,
    ) -> None:
        """Read the training images and prepare what all mutants share.

        Args:
            subject: the classifier and its images.
            original: the original as a network; None where it is known as a graph alone, which is
                converted where training needs it.
            settings: the user's settings.
            train_data: SPEC of the training images.
            staged: staging directory of the build.
            seed: seed of the build.
            jobs: number of mutants trained at a time, without a cluster.
            cluster: cluster that trains; None trains on this machine.
            companion: companion that training starts from; None for none.

        Raises:
            DataError: the training images do not fit, see ``Basis.training_data``, or are too few.
            ModelError: the settings or the network do not fit, see ``RobustPlan``, or the graph
                cannot be converted.
        """
        basis = Basis.of(subject, original, companion)
        if companion is not None:  # it stands in the original's place
            settings = replace(settings, architecture=ORIGINAL)
        spec, own, known = basis.input, basis.architecture, basis.known
        grey = (spec.mean[0], spec.std[0]) if spec.channels == 1 else None
        plan = RobustPlan.of(settings, own, basis.shape, basis.outputs, grey=grey)
        training = basis.training_data(subject, train_data, settings.labels)
        if len(training.data) < _LEAST_IMAGES:
            raise DataError(
                f"--train-data '{train_data}' holds {len(training.data)} images: robust mutants take at least "
                f"{_LEAST_IMAGES}, better thousands"
            )
        if settings.epochs is None:
            trained = len(training.data) - _held_back(len(training.data))
            plan = replace(plan, recipe=plan.recipe.lasting(trained))
        recipe, self.notes = plan.recipe, training.data.notes
        flip = (known is not None and known.spec.flip) or bool(settings.mirror)
        self._basis, self._plan, self._jobs, self._cluster = basis, plan, jobs, cluster
        device = training_device(cluster)
        job = RobustJob(
            folder=staged,
            architecture=own,
            seed=seed,
            mean=tuple(spec.mean),
            std=tuple(spec.std),
            shift=(known.spec.shift if known else 0) if recipe.shift is None else recipe.shift,
            flip=flip,
            bf16=known is not None and known.spec.bf16_on(device) and recipe.attacks,
            channels_last=known is not None and known.spec.bf16 and recipe.attacks,
            output_kind=basis.classifier.output_kind,
            device=device,
            recipe=recipe,
            mutant=plan.architecture,
            classes=basis.outputs,
            from_original=plan.from_original,
            mirror=settings.mirrors(flip=flip),
            ensemble=settings.ensemble,
        )
        needed = plan.from_original or job.needs_original
        state = state_of(basis.network().network) if needed else None
        self.job = replace(job, folder=_prepared(job, basis, state, training, staged))
        self._data = training.data.portable_range
        made_of: dict[str, RecipeValue] = {
            "width": settings.width or 1.0,
            "from_original": plan.from_original and companion is None,
            "labels": settings.labels,
            "shift": job.shift,
            "flip": job.flip,
            "mirror": job.mirror,
            "ensemble": job.ensemble,
            "bf16": job.bf16,
            "device": job.device,
        }
        self.recipe: dict[str, RecipeValue] = plan.settings | made_of

    @property
    def summary(self) -> str:
        """Main settings, in words."""
        recipe, job = self._plan.recipe, self.job
        start = f"{self._basis.name}'s weights" if self._plan.from_original else "scratch"
        against = "bounds" if recipe.method == "certified" else f"{recipe.steps}-step attacks"
        images = len(job.array(IMAGES)) - len(job.array(HELD_BACK))
        return (
            f"{self._plan.architecture.name} from {start}, {recipe.method}: {against} up to "
            f"{recipe.epsilon * max(recipe.spread):.3g} of the pixel range, {recipe.epochs} epochs on {images:,} images"
        )

    def mutants(self, numbers: list[int], report: Reporter) -> Iterator[tuple[int, RobustMutant]]:
        """Train mutants, several at a time, and yield them with their numbers, in order.

        Each is yielded as soon as that is possible. A mutant depends on the seed and its number
        alone.

        Raises:
            GuardError: training diverged, a mutant cannot be exported, or a process that trains one
                ended.
        """
        total, job = self._plan.recipe.epochs, self.job
        networks = [network for number in numbers for network in job.members(number)]
        epochs = dict.fromkeys(networks, 0)

        def heard(epoch: RobustEpoch) -> None:
            epochs[epoch.mutant] = epoch.epoch - epoch.collapsed
            report.progress(sum(epochs.values()), len(networks) * total, self._told(epoch))

        with training_workers(job, self._jobs, self._cluster) as workers:
            for network in workers.run_in_order(train_robust, networks, heard):
                epochs[network] = total
                number = network % MOST_MUTANTS
                if network == job.members(number)[-1]:
                    yield number, self._mutant(number)
                report.progress(sum(epochs.values()), len(networks) * total, "epochs")

    def _told(self, epoch: RobustEpoch) -> str:
        member, mutant = divmod(epoch.mutant, MOST_MUTANTS)
        which = f", network {member + 1} of {self.job.ensemble}" if self.job.ensemble > 1 else ""
        where = f"epochs; robust mutant {mutant}{which}: {epoch.epoch} of {self._plan.recipe.epochs}"
        held = epoch.held_back
        worst = "shown to stay right" if self._plan.recipe.method == "certified" else "right under attack"
        shares = f"{held.accuracy:.1%} of the images held back right, {held.robust_accuracy:.1%} {worst}"
        if epoch.collapsed:
            return (
                f"{where}, {shares}, but {epoch.attacked:.1%} after {epoch.steps} step(s): overfitted; the epoch is "
                f"trained again with {2 * epoch.steps} steps"
            )
        return f"{where}, loss {epoch.loss:.3g}, {shares}"

    def _mutant(self, number: int) -> RobustMutant:
        trained = [load_trained(self.job, member) for member in self.job.members(number)]
        networks, basis = [network for network, _ in trained], self._basis
        kind: OutputKind = self.job.output_kind if self.job.from_original else "logits"
        probe = basis.input.tensor(basis.images.pixels[0][:_PROBE])
        mirror = self.job.mirror
        classifier = classifier_of(networks, basis.classifier, basis.input, probe, kind, mirror=mirror)
        found = trained[0][1] if len(trained) == 1 else self._measured(networks)
        certified = self._plan.recipe.method == "certified"
        return RobustMutant(
            number,
            classifier,
            found.accuracy,
            found.robust_accuracy,
            certified,
            self._plan.architecture.name,
            self.recipe,
            self._data,
            basis.companion,
        )

    def _measured(self, networks: list[nn.Module]) -> Robustness:
        """Measure an ensemble, here even if a cluster has trained it."""
        here = self.job.device == "cpu" or torch.cuda.is_available()
        job = self.job if here else replace(self.job, device="cpu", bf16=False)
        with one_thread():  # the same shares on any number of cores
            return measure(job, job.placed(Ensemble(networks)))


def _held_back(images: int) -> int:
    return min(_HELD_BACK, int(_HELD_BACK_SHARE * images))


def _digest(model: ModelProto) -> str:
    return hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()


def _prepared(
    job: RobustJob, basis: Basis, state: bytes | None, training: TrainingData, staged: Path
) -> Path:
    """Return a folder with what the job's processes read, see ``prepare_folder``.

    Args:
        job: the job.
        basis: classifier in whose pixels and classes the mutants are trained.
        state: its state as a network; None where that is not needed.
        training: images to train on.
        staged: staging directory of the build.
    """
    data, count = training.data, len(training.data)
    own = {} if state is None else {ORIGINAL_STATE: state}
    facts = {
        **{
            name: value
            for name, value in vars(job).items()
            if name not in ("folder", "architecture", "mutant", "ensemble")
        },
        "architectures": [repr(job.architecture), repr(job.mutant)] if own else repr(job.mutant),
        **training.facts,
        "input": basis.input.model_dump(),
        "companion": None if basis.companion is None else _digest(basis.classifier.model),
    }
    rng = np.random.default_rng(seed_for(job.seed, Purpose.held_back))
    arrays: dict[str, Callable[[], NDArray[Any]]] = {
        IMAGES: lambda: data.images.transpose(0, 3, 1, 2),
        TARGETS: lambda: training.labels,
        HELD_BACK: lambda: np.sort(rng.permutation(count)[: _held_back(count)]),
    }
    return prepare_folder(staged, _FOLDER, facts, own, arrays)
