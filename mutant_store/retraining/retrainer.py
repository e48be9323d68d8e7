"""Trained mutants of a build: images and adversarial images once, then the mutants in turn."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from mutant_guard.bank.pool import Mutant
from mutant_guard.store.manifest import RetrainRecord
from mutant_store.cluster.ray_cluster import RayCluster
from mutant_store.cluster.training_tasks import training_device, training_workers
from mutant_store.loading.subject import Subject
from mutant_store.loading.torch_source import TorchOriginal
from mutant_store.operators.retrain import Retrain
from mutant_store.reporter import Reporter
from mutant_store.retraining.adversarial import make_shard, shards
from mutant_store.retraining.features import allocate_features, feature_parts, make_features
from mutant_store.retraining.folder import prepare_folder, state_of
from mutant_store.retraining.job import (
    CHOSEN,
    IMAGES,
    ORIGINAL_MODEL,
    ORIGINAL_STATE,
    PREFIX,
    TAIL,
    TARGETS,
    Job,
)
from mutant_store.retraining.processes import TrainingProcesses, TrainingWorkers
from mutant_store.retraining.seeds import Purpose, seed_for
from mutant_store.retraining.settings import RetrainSettings, recipe_for, teaching_recipe
from mutant_store.retraining.tail import TailGraphs
from mutant_store.retraining.training import VALUES, Epoch, mutant_name, train_mutant
from mutant_store.retraining.training_data import TrainingData, answers_of, load_training_data

_FOLDER = "retraining-"


class Retrainer:
    """Trainer of the mutants of one subject.

    Everything that it has made stays in the staging directory until the store is published.

    Attributes:
        job: the job of its mutants.
        record: the manifest's entry for the retraining.
        cluster: cluster that trains; None trains on this machine.
        teaching: recipe by which companions are taught.
        train_data: SPEC of the training images.
        notes: sentences on what of the training images was left out.
    """

    def __init__(
        self,
        subject: Subject,
        original: TorchOriginal,
        settings: RetrainSettings,
        staged: Path,
        *,
        seed: int,
        jobs: int,
        cluster: RayCluster | None = None,
    ) -> None:
        """Read the training images and prepare what all mutants share, except adversarial images.

        Args:
            subject: the classifier and its images.
            original: the original as a network.
            settings: the user's settings of retraining.
            staged: staging directory of the build.
            seed: seed of the build.
            jobs: number of mutants trained at a time, without a cluster.
            cluster: cluster that trains; None trains on this machine.

        Raises:
            DataError: the training images do not fit, see ``load_training_data``.
        """
        tail = TailGraphs.of(subject)
        training = load_training_data(subject, settings.train_data, settings.labels)
        self.notes, self.train_data = training.data.notes, str(settings.train_data)
        self.teaching = teaching_recipe(settings)
        spec = original.spec
        recipe = recipe_for(
            original.architecture.name, subject.input.channels, settings, tail=tail is not None
        )
        self._recipe, self._jobs, self.cluster = recipe, jobs, cluster
        device = training_device(cluster)
        job = Job(
            folder=staged / "retraining",
            architecture=original.architecture,
            recipe=recipe,
            seed=seed,
            mean=tuple(subject.input.mean),
            std=tuple(subject.input.std),
            shift=0 if tail else spec.shift if recipe.shift is None else recipe.shift,
            flip=spec.flip and not tail,
            bf16=spec.bf16_on(device),
            channels_last=spec.bf16,
            output_kind=subject.classifier.output_kind,
            device=device,
            tail=tail.part(subject) if tail else None,
        )
        self.job = replace(job, folder=_prepared(job, subject, original, training, staged, tail))
        self._tail = tail
        made_of = {
            "network": original.architecture.name,
            "adversarial_images": len(np.load(self.job.folder / CHOSEN, mmap_mode="r")),
            "shift": job.shift,
            "flip": job.flip,
            "bf16": job.bf16,
            "device": device,
            "data": training.data.portable_range,
        }
        self.record = RetrainRecord(**(asdict(recipe) | made_of))

    @property
    def summary(self) -> str:
        """Main settings, in words."""
        recipe = self._recipe
        where = "every layer" if self._tail is None else f"each of the last {self._tail.layers} layers"
        return (
            f"{recipe.share:.0%} of {where} redrawn, {recipe.epochs} epochs on {len(self.job.array(IMAGES)):,} "
            f"images, {recipe.adversarial_share:.0%} of each batch adversarial"
        )

    def attack(self, report: Reporter) -> None:
        """Make the original's adversarial images, unless they are there."""
        with self._workers() as workers:
            self._attack(workers, report)

    def mutants(self, numbers: list[int], report: Reporter) -> Iterator[tuple[int, Mutant]]:
        """Train mutants, several at a time, and yield them with their numbers, in order.

        Each is yielded as soon as that is possible.

        Raises:
            GuardError: a mutant cannot be put into the bank, or a process that trains one ended.
        """
        with self._workers() as workers:
            self._attack(workers, report)
            if self._tail is not None:
                self._features(self._tail, report)
            epochs = dict.fromkeys(numbers, 0)

            def show(note: str) -> None:
                report.progress(sum(epochs.values()), len(numbers) * self._recipe.epochs, note)

            def heard(epoch: Epoch) -> None:
                epochs[epoch.mutant] = epoch.epoch
                right = f"loss {epoch.loss:.3g}, {epoch.accuracy:.2%} of its training images right"
                show(f"epochs; mutant {epoch.mutant}: {epoch.epoch} of {self._recipe.epochs}, {right}")

            for number in workers.run_in_order(train_mutant, numbers, heard):
                epochs[number] = self._recipe.epochs
                yield number, self._mutant(number)
                show("epochs")

    def _workers(self) -> TrainingWorkers[Job]:
        return training_workers(self.job, self._jobs, self.cluster)

    def _features(self, tail: TailGraphs, report: Reporter) -> None:
        """Compute the features on this machine: all parts are in one file, which only it can write."""
        allocate_features(self.job, tail.shape)
        parts = feature_parts(self.job)
        with TrainingProcesses(self.job, self._jobs) as workers:
            for done, _ in enumerate(workers.run(make_features, list(range(parts)), lambda _: None), 1):
                report.progress(done, parts, "parts of the features")

    def _attack(self, workers: TrainingWorkers[Job], report: Reporter) -> None:
        total = len(self.job.array(CHOSEN))
        for done, _ in enumerate(workers.run(make_shard, list(range(shards(self.job))), lambda _: None), 1):
            report.progress(min(done * self.job.shard, total), total, "adversarial images")

    def _mutant(self, number: int) -> Mutant:
        values = safetensors.numpy.load_file(self.job.folder / mutant_name(number))[VALUES]
        return Mutant(Retrain.name, {VALUES: values})


def _prepared(
    job: Job,
    subject: Subject,
    original: TorchOriginal,
    training: TrainingData,
    staged: Path,
    tail: TailGraphs | None,
) -> Path:
    """Return a folder with what the job's processes read.

    Its name is a digest of all that its mutants depend on. Files that an unfinished build of the
    same mutants has left there are kept; folders of other builds are removed.
    """
    contents = {
        ORIGINAL_STATE: state_of(original.network),
        ORIGINAL_MODEL: subject.classifier.model.SerializeToString(deterministic=True),
        **({PREFIX: tail.prefix, TAIL: tail.tail} if tail else {}),
    }
    data = training.data
    facts = {
        **{
            name: value for name, value in vars(job).items() if name not in ("folder", "architecture", "tail")
        },
        "architecture": repr(job.architecture),
        **training.facts,
        "input": subject.input.model_dump(),
    }
    total = len(data)
    count = min(total, job.recipe.adversarial_images) if job.recipe.adversarial_share else 0
    rng = np.random.default_rng(seed_for(job.seed, Purpose.chosen_images))
    arrays: dict[str, Callable[[], NDArray[Any]]] = {
        IMAGES: lambda: data.images.transpose(0, 3, 1, 2),
        TARGETS: lambda: training.labels if job.recipe.labels == "data" else answers_of(subject, data),
        CHOSEN: lambda: np.sort(rng.permutation(total)[:count]),
    }
    return prepare_folder(staged, _FOLDER, facts, contents, arrays)
