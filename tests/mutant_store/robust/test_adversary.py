"""Inner attacks: within their size, and better than chance at what they are after."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from mutant_store.retraining.attacks import Batch
from mutant_store.retraining.job import IMAGES, TARGETS
from mutant_store.robust.adversary import Adversary, backtracking, other_confidence
from mutant_store.robust.job import RobustJob
from mutant_store.robust.objectives import attacked, calmed

SIZE = 0.1


def inputs(job: RobustJob) -> tuple[Tensor, Tensor, Tensor]:
    pixels, labels = job.array(IMAGES)[:64].float() / 255, job.array(TARGETS)[:64]
    return pixels, labels, torch.linspace(0.5, 1, 64).view(-1, 1, 1, 1) * SIZE


def losses(job: RobustJob, adversary: Adversary) -> tuple[float, float, Tensor]:
    """Return the loss of the network on clean and on changed images, and the changes in sizes."""
    pixels, labels, sizes = inputs(job)
    changed = adversary.attack(pixels, labels, sizes, torch.Generator().manual_seed(0))
    assert changed.min() >= 0
    assert changed.max() <= 1
    with torch.no_grad():
        found = [
            float(cross_entropy(job.answers(adversary.network, images), labels))
            for images in (pixels, changed)
        ]
    return found[0], found[1], ((changed - pixels).abs() / sizes).flatten(1).amax(1)


@pytest.mark.parametrize(
    ("method", "steps", "largest"),
    [("pgd", 4, 1), ("fast", 1, 3), ("fast", 3, 1), ("trades", 4, 1), ("ccat", 4, 1)],
)
def test_every_attack_raises_the_loss_within_its_size(
    method: str, steps: int, largest: float, make_job: Callable[..., RobustJob]
) -> None:
    job = make_job(mutant=None, method=method)
    clean, changed, sizes = losses(job, Adversary(job, job.original(), None, steps))
    assert changed > clean + 0.2
    assert sizes.max() <= largest + 1e-4
    assert sizes.max() > 0.9 * largest


def test_the_original_is_attacked_as_well(make_job: Callable[..., RobustJob]) -> None:
    """A mutant of random weights has no direction of its own worth following."""
    job = make_job()
    original, pixels, found = job.original(), inputs(job), []
    for beside in (None, original):
        adversary = Adversary(job, job.start(0).eval(), beside, 4)
        changed = adversary.attack(*pixels, torch.Generator().manual_seed(0))
        with torch.no_grad():
            found.append(float(cross_entropy(job.logits(original, changed), pixels[1])))
    assert found[1] > found[0] + 0.1


def test_steps_that_do_not_help_are_taken_back(make_job: Callable[..., RobustJob]) -> None:
    """No image is ever worse than its start."""
    job = make_job(mutant=None, method="ccat")
    network, (pixels, labels, sizes) = job.original(), inputs(job)
    found = []
    for steps in (0, 1, 8):
        draws = torch.Generator().manual_seed(0)
        batch = Batch(lambda x: job.answers(network, x), pixels, labels, sizes, steps, draws)
        changed = backtracking(batch, lambda logits: other_confidence(logits, labels))
        with torch.no_grad():
            found.append(other_confidence(batch.logits(changed), labels))
    assert (found[0] <= found[1] + 1e-5).all()
    assert (found[1] <= found[2] + 1e-5).all()
    assert found[2].mean() > found[0].mean() + 1


def test_targets_turn_uniform_with_the_change(make_job: Callable[..., RobustJob]) -> None:
    recipe = make_job(method="ccat", epsilon=0.2, power=2.0).recipe
    change = torch.tensor([0.0, 0.1, -0.2, 0.3]).view(4, 1, 1, 1)
    found = calmed(recipe, torch.tensor([1, 0, 2, 2]), change, 4)
    assert torch.allclose(found[0], torch.tensor([0.0, 1, 0, 0]))
    assert torch.allclose(found[1], 0.25 * torch.tensor([1.0, 0, 0, 0]) + 0.75 / 4)
    assert torch.allclose(found[2:], torch.full((2, 4), 0.25))


@pytest.mark.parametrize(("paired", "changed"), [(True, 64), (False, 48)])
def test_clean_images_have_their_weight(
    paired: bool, changed: int, make_job: Callable[..., RobustJob]
) -> None:
    """Without steps and sizes nothing is changed, and every image counts alike."""
    job = make_job(mutant=None, paired=paired, clean_weight=0.25)
    network, (pixels, labels, sizes) = job.original(), inputs(job)
    adversary = Adversary(job, network, None, 0)
    outcome = attacked(adversary, pixels, labels, 0 * sizes, torch.Generator())
    assert outcome.changed == changed
    with torch.no_grad():
        expected = float(cross_entropy(job.answers(network, pixels), labels))
    assert outcome.loss.item() == pytest.approx(expected, rel=1e-4)
