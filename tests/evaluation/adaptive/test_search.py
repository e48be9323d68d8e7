"""The search stays in bounds and keeps the best image it meets."""

import torch

from evaluation.adaptive.attack import Attack, Victims
from evaluation.adaptive.search import Best, search
from evaluation.adaptive.settings import Joint


class Brighter(Attack):
    """Attack that moves every pixel up, whatever the target."""

    def __init__(self) -> None:
        self.aims: list[torch.Tensor] = []

    def aim(self, targets: torch.Tensor) -> None:
        self.aims.append(targets)

    def direction(self, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return torch.full_like(images, 1e-12)


def test_images_stay_within_epsilon_and_the_pixel_range(victims: Victims) -> None:
    attack = Brighter()
    settings = Joint(epsilon=10.9 / 255, iterations=30, judge_every=30, targets=2)
    levels = search(lambda part: attack, settings, victims)
    clean = (victims.clean * 255).round()
    assert (levels == levels.round()).all()
    assert (levels == (clean + 10).clamp_max(255)).all()
    assert [aim.tolist() for aim in attack.aims] == [victims.targets(rank).tolist() for rank in (0, 1)]


def test_more_targets_than_wrong_labels_are_all_of_them(victims: Victims) -> None:
    attack = Brighter()
    search(lambda part: attack, Joint(epsilon=0.1, iterations=1, targets=50), victims)
    assert len(attack.aims) == 9


def test_the_best_fools_with_the_fewest_label_changes(
    victims: Victims,
) -> None:
    best, everyone = Best(victims, Joint(epsilon=0.1, judge_mutants=40, quiet=0.2)), torch.arange(12)
    places = [
        next(place for place in range(12 + own, 40) if victims.guide_labels[place] != label)
        for own, label in enumerate(victims.labels)
    ]
    swapped = victims.guides[places]
    nearly = 0.5 * swapped + 0.5 * victims.clean  # a worse image of the other class, or still of its own
    assert best.open.tolist() == everyone.tolist()
    best.offer(everyone, nearly)
    best.offer(everyone, victims.clean)
    assert (best.levels == (nearly * 255).round()).flatten(1).all(1).float().mean() > 0.7
    best.offer(everyone, swapped)
    best.offer(everyone, victims.clean)
    assert (best.levels == (swapped * 255).round()).flatten(1).all(1).float().mean() > 0.7
    assert 0 < len(best.open) < 12
    with torch.no_grad():
        assert (victims.mutants.original(best.levels / 255).argmax(1) != victims.labels).all()


def test_doubts_of_the_original_and_its_mutants_are_what_counts(victims: Victims) -> None:
    best = Best(victims, Joint(epsilon=0.1, judge_mutants=40, judge="doubts"))
    everyone = torch.arange(12)
    places = [
        next(place for place in range(12 + own, 40) if victims.guide_labels[place] != label)
        for own, label in enumerate(victims.labels)
    ]
    best.offer(everyone, victims.guides[places])
    with torch.no_grad():
        given = victims.mutants.logits(best.levels / 255, torch.arange(41).expand(12, -1)).softmax(2)
    doubt = 1 - given.gather(2, given[:, :1].argmax(2, keepdim=True).expand(12, 41, 1))[:, :, 0].mean(1)
    quiet = torch.nonzero(doubt <= 0.02).flatten()
    assert best.open.tolist() == [place for place in everyone.tolist() if place not in quiet]
