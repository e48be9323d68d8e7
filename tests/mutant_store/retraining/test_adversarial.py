"""The original's adversarial images: within their sizes, misleading, the same again."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from mutant_store.retraining.adversarial import attacked, make_shard, shard_name, shards
from mutant_store.retraining.job import CHOSEN, IMAGES, TARGETS, Job
from mutant_store.retraining.seeds import Purpose, generator_for


def test_no_pixel_moves_further_than_its_images_size(make_job: Callable[..., Job]) -> None:
    job = make_job(made=False)
    images, targets = job.array(IMAGES)[:60], job.array(TARGETS)[:60]
    epsilons = torch.tensor([0.01, 8 / 255, 0.1]).repeat(20)
    generator = torch.Generator().manual_seed(0)
    made = attacked(job, job.original(), "pgd", images, targets, epsilons, generator)
    moved = np.abs(made.astype(int) - images.numpy().astype(int)).reshape(60, -1).max(axis=1)
    assert made.dtype == np.uint8
    assert moved.tolist() == [2, 8, 25] * 20  # whole levels within 2.55, 8 and 25.5


def test_they_mislead_the_original(make_job: Callable[..., Job]) -> None:
    job = make_job()
    assert shards(job) == 1
    made = torch.from_numpy(np.load(job.folder / shard_name(0)))
    images, targets = job.array(IMAGES)[::2], job.array(TARGETS)[::2]
    with torch.inference_mode():
        clean, misled = (job.logits(job.original(), x.float() / 255).argmax(1) for x in (images, made))
    assert (clean == targets).float().mean() > 0.9
    assert (misled == targets).float().mean() < 0.7


def test_they_are_a_function_of_the_seed_and_made_once(make_job: Callable[..., Job]) -> None:
    one, other = make_job("one"), make_job("other")
    paths = [job.folder / shard_name(0) for job in (one, other)]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    paths[1].write_bytes(b"here already")
    make_shard(other, 0, lambda _: None)
    assert paths[1].read_bytes() == b"here already"
    draws = [torch.rand(3, generator=generator_for(0, Purpose.adversarial, shard)) for shard in (0, 1)]
    assert not torch.equal(*draws)


def test_a_last_shard_may_hold_one_image(make_job: Callable[..., Job]) -> None:
    """Of the kinds of attacks, all but one have no image there."""
    job = make_job(made=False)
    for name, shape in ((IMAGES, (1, 8, 8)), (TARGETS, ())):
        np.save(job.folder / name, np.zeros((1001, *shape), np.load(job.folder / name).dtype))
    np.save(job.folder / CHOSEN, np.arange(1001))
    assert shards(job) == 2
    make_shard(job, 1, lambda _: None)
    assert np.load(job.folder / shard_name(1)).shape == (1, 1, 8, 8)


def test_what_the_original_answers_may_be_what_is_led_away_from(
    make_job: Callable[..., Job], tmp_path: Path
) -> None:
    job = make_job(made=False)
    images = job.array(IMAGES)[:50]
    with torch.no_grad():
        answers = job.logits(job.original(), images.float() / 255).softmax(1)
    sizes = torch.full((50,), 0.2)
    made = attacked(job, job.original(), "pgd", images, answers, sizes, torch.Generator())
    with torch.inference_mode():
        misled = job.logits(job.original(), torch.from_numpy(made).float() / 255).argmax(1)
    assert (misled == answers.argmax(1)).float().mean() < 0.5
