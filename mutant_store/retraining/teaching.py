"""Teaching of companions by what misleads the original.

A companion learns the original's adversarial images under the original's clean labels or answers,
and clean images besides. It keeps its graph and gets other weights. Batch normalisation stays in
evaluation mode.
"""

import hashlib
import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch
from numpy.typing import NDArray
from onnx import ModelProto
from PIL import Image

from mutant_guard.errors import ModelError
from mutant_guard.store.atomic import write_atomically
from mutant_guard.store.manifest import InputSpec, RetrainRecord
from mutant_guard.store.preprocessing import to_pixels
from mutant_guard.store.resizing import ResizeRule
from mutant_store.cluster.training_tasks import training_workers
from mutant_store.companions.companion import Companion
from mutant_store.datasets import load
from mutant_store.graph.graph import Graph
from mutant_store.graph.neurons import find_layers
from mutant_store.graph.parameters import Parameters
from mutant_store.loading.subject import Subject
from mutant_store.networks.conversion import converted
from mutant_store.reporter import Reporter
from mutant_store.retraining.adversarial import AdversarialImages, shard_name, shards
from mutant_store.retraining.job import (
    CHOSEN,
    IMAGES,
    ORIGINAL_MODEL,
    ORIGINAL_STATE,
    TARGETS,
    Job,
    keep,
    together,
)
from mutant_store.retraining.retrainer import Retrainer
from mutant_store.retraining.training import VALUES, Epoch, mutant_name, train_mutant

_FOLDER = "teaching-"
_PROBE = 8


def teach(
    companion: Companion, retrainer: Retrainer, subject: Subject, accuracy_ratio: float, report: Reporter
) -> Companion:
    """Teach a companion the original's adversarial images, and return it with its new graph.

    A build that was killed goes on at the last finished epoch.

    Args:
        companion: the companion.
        retrainer: maker of the original's adversarial images and of their targets.
        subject: the original and its images.
        accuracy_ratio: least accuracy of the taught companion, as a share of the original's.
        report: receiver of the steps and of the progress.

    Raises:
        ModelError: it takes blue, green and red, its graph cannot be converted to torch, training
            diverged, or it is no longer accurate enough.
        DataError: the training images cannot be brought to its size.
    """
    if companion.input.channel_order != "rgb":
        raise ModelError(
            f"companion {companion.name} takes blue, green and red and cannot be taught as it is: export it to take "
            "red, green and blue, or leave out --teach"
        )
    count = len(retrainer.job.array(CHOSEN))
    report.step(f"teaching companion {companion.name} {count:,} adversarial images of the original")
    taught = _taught(companion, retrainer, report)
    part = subject.filter
    scores = part.inputs.of_view(companion.view).scores(taught.classifier.scores)
    accuracy = float(companion.labels(scores, part.labels).mean())
    changed = f"{accuracy:.1%} of the filter's images right, {companion.accuracy:.1%} before it was taught"
    if accuracy < accuracy_ratio * float(part.correct.mean()):
        raise ModelError(
            f"companion {companion.name} gets {changed}: give more --train-data, lower --learning-rate or --epochs, or "
            "leave out --teach"
        )
    report.step(f"companion {companion.name}: {changed}")
    return replace(taught, accuracy=accuracy)


def _taught(companion: Companion, retrainer: Retrainer, report: Reporter) -> Companion:
    retrainer.attack(report)
    source, recipe = retrainer.job, retrainer.teaching
    pixels = _pixels(companion.input, retrainer)
    shown = companion.input.model_copy(update={"layout": "nchw"}).tensor(
        pixels[: min(_PROBE, max(2, together(pixels.shape[1:])))]
    )
    try:
        _, architecture = converted(companion.classifier, companion.input.layout, shown)
    except ModelError as error:
        raise ModelError(f"companion {companion.name} cannot be taught: {error}") from error
    job = replace(
        source,
        folder=source.folder.parent,
        architecture=architecture,
        recipe=recipe,
        mean=tuple(companion.input.mean),
        std=tuple(companion.input.std),
        shift=recipe.shift or 0,
        flip=False,
        bf16=False,
        channels_last=False,
        output_kind=companion.classifier.output_kind,
        tail=None,
    )
    job = _prepared(job, companion, source, pixels)

    def heard(epoch: Epoch) -> None:
        note = f"epochs of {companion.name}; {epoch.accuracy:.1%} of its training images as the original"
        report.progress(epoch.epoch, recipe.epochs, note)

    with training_workers(job, 1, retrainer.cluster) as alone:
        for _ in alone.run(train_mutant, [0], heard):
            pass
    values = safetensors.numpy.load_file(job.folder / mutant_name(0))[VALUES]
    record = _record(retrainer.record, job)
    return companion.taught_as(_with_values(companion.classifier.model, values), record)


def _record(record: RetrainRecord, job: Job) -> RetrainRecord:
    """Return the record of a teaching: that of the retraining with this job's recipe."""
    changes = asdict(job.recipe) | {"network": job.architecture.name, "shift": job.shift, "flip": job.flip}
    kept = {"adversarial_images", "epsilons", "attacks", "steps"}
    return record.model_copy(
        update={name: value for name, value in changes.items() if name not in kept} | {"bf16": job.bf16}
    )


def _with_values(model: ModelProto, values: NDArray[np.float32]) -> ModelProto:
    graph = Graph(model)
    Parameters(graph, find_layers(graph)).write(graph, values)
    return graph.to_model()


def _pixels(spec: InputSpec, retrainer: Retrainer) -> NDArray[np.uint8]:
    """Return the clean training images as a companion sees them, uint8 [N, H, W, C]."""
    shape = spec.height, spec.width, spec.channels
    return load(retrainer.train_data, shape=shape, resize=spec.resize).images


def _seen(spec: InputSpec, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images of the original's size as a companion sees them.

    They were cropped by the original's rule already, so they are only brought to its size.

    Args:
        spec: input of the companion.
        images: uint8 [N, C, H, W].

    Returns:
        uint8 [N, C, H, W] of the companion's size and channels.
    """
    rule = ResizeRule.parse(spec.resize).filter
    rows = []
    for image in images.transpose(0, 2, 3, 1):
        picture = Image.fromarray(image if image.shape[2] == 3 else image[:, :, 0])
        rows.append(
            to_pixels(picture, height=spec.height, width=spec.width, channels=spec.channels, resize=rule)
        )
    return np.ascontiguousarray(np.stack(rows).transpose(0, 3, 1, 2))


def _targets(companion: Companion, targets: NDArray[Any]) -> NDArray[Any]:
    """Return the targets in a companion's classes.

    What it has no class for is to be doubted: all its classes alike.

    Args:
        companion: the companion.
        targets: int64 [N], labels, or float32 [N, classes], probabilities of the original.
    """
    place = companion.to_companion
    if place is None:
        return targets
    if targets.ndim == 1 and (place[targets] >= 0).all():
        return np.asarray(place[targets])
    if targets.ndim == 1:
        targets = np.eye(len(place), dtype=np.float32)[targets]
    found = np.zeros((len(targets), companion.outputs), dtype=np.float32)
    for own, theirs in enumerate(place.tolist()):
        if theirs >= 0:
            found[:, theirs] += targets[:, own]
    rest = np.maximum(0, 1 - found.sum(axis=1, keepdims=True))
    return np.asarray(found + rest / companion.outputs)


def _prepared(job: Job, companion: Companion, source: Job, pixels: NDArray[np.uint8]) -> Job:
    """Return the job with its folder, named by a digest of all that teaching depends on.

    Files that an unfinished build of the same companion has left there are kept.
    """
    model = companion.classifier.model.SerializeToString(deterministic=True)
    facts = {
        "source": source.folder.name,
        "model": hashlib.sha256(model).hexdigest(),
        "recipe": asdict(job.recipe),
        "input": companion.input.model_dump(),
        "classes": None if companion.to_companion is None else companion.to_companion.tolist(),
        "output_kind": job.output_kind,
        "shift": job.shift,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
    job = replace(job, folder=job.folder / f"{_FOLDER}{digest}")
    job.folder.mkdir(mode=0o700, exist_ok=True)
    if not (job.folder / ORIGINAL_STATE).exists():
        write_atomically(job.folder / ORIGINAL_MODEL, model)
        keep(job.folder / IMAGES, pixels.transpose(0, 3, 1, 2))
        keep(job.folder / TARGETS, _targets(companion, np.load(source.folder / TARGETS)))
        keep(job.folder / CHOSEN, np.load(source.folder / CHOSEN))
        state = safetensors.torch.save(job.architecture.build().state_dict())
        write_atomically(job.folder / ORIGINAL_STATE, state)  # last, so that it stands for all
    made = AdversarialImages(source)
    for number in range(shards(job)):
        if not (job.folder / shard_name(number)).exists():
            rows = torch.arange(number * job.shard, min((number + 1) * job.shard, len(made)))
            keep(job.folder / shard_name(number), _seen(companion.input, made[rows].numpy()))
    return job
