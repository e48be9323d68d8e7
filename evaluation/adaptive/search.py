"""Projected gradient descent that keeps the best 8-bit image it meets.

Madry et al.: Towards deep learning models resistant to adversarial attacks. ICLR 2018; momentum
from Dong et al.: Boosting adversarial attacks with momentum. CVPR 2018.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from evaluation.adaptive.attack import Attack, Victims
from evaluation.adaptive.settings import Search

_LEVELS = 255
_LAST_STEP = 0.1
_NOT_FOOLED = 2.0


class Best:
    """Best image of each victim so far, in 8-bit levels.

    Of images that fool the original, the better one has less evidence of its mutants against its
    label. An image that does not fool is worse than all that do; of these, the better one has a
    less probable true label.
    """

    def __init__(self, victims: Victims, settings: Search) -> None:
        """Keep the victims and draw the mutants that judge all images.

        Args:
            victims: images under attack.
            settings: settings of the search.
        """
        self._victims, self._settings = victims, settings
        self._judges = victims.mutants.sample(1, settings.judge_mutants, victims.generator)
        self.levels = (victims.clean * _LEVELS).round()
        self._costs = torch.full((len(self.levels),), torch.inf)

    @property
    def open(self) -> Tensor:
        """Victims whose image another target may improve: int64 [M], in order.

        Their image is not good enough yet.
        """
        return torch.nonzero(self._costs > self._settings.quiet).flatten()

    @torch.no_grad()
    def offer(self, places: Tensor, images: Tensor) -> None:
        """Take those images that are better than the best so far, once rounded.

        Args:
            places: places of the victims, int64 [M].
            images: their images, float32 [M, C, H, W], 0 to 1.
        """
        levels = (images * _LEVELS).round()
        mutants, labels = self._victims.mutants, self._victims.labels[places]
        probabilities = mutants.original(levels / _LEVELS).softmax(1)
        costs = _NOT_FOOLED + probabilities.gather(1, labels[:, None])[:, 0]
        answers = probabilities.argmax(1)
        fooled = torch.nonzero(answers != labels).flatten()
        if len(fooled):
            costs[fooled] = self._evidence(levels[fooled], answers[fooled], probabilities[fooled])
        better = costs < self._costs[places]
        self._costs[places[better]] = costs[better]
        self.levels[places[better]] = levels[better]

    def _evidence(self, levels: Tensor, answers: Tensor, own: Tensor) -> Tensor:
        """Return the mean evidence float32 [M], 0 to 1, against answers int64 [M].

        ``own`` are the original's probabilities.
        """
        index = self._judges.expand(len(levels), -1)
        given = self._victims.mutants.logits(levels / _LEVELS, index).softmax(2)
        label = answers[:, None]
        doubts = 1 - given.gather(2, label[:, None].expand(*index.shape, 1))[:, :, 0]
        if self._settings.judge == "doubts":
            return torch.cat([1 - own.gather(1, label), doubts], 1).mean(1)
        changed = (given.argmax(2) != label).float().mean(1)
        return (changed + doubts.mean(1)) / 2


def search(make: Callable[[Victims], Attack], settings: Search, victims: Victims) -> Tensor:
    """Attack images, one target after the other.

    No further target is tried on an image that mutants hardly doubt.

    Args:
        make: function that makes the attack on given victims.
        settings: settings of the search.
        victims: the images.

    Returns:
        The best image of each in 8-bit levels, float32 [N, C, H, W] of whole numbers from 0 to 255,
        no further than ε from the clean one.
    """
    best = Best(victims, settings)
    for rank in range(min(settings.targets, victims.mutants.classes - 1)):
        places = best.open
        if len(places):
            part = victims.part(places)
            _descend(make(part), settings, part, part.targets(rank), partial(best.offer, places))
    return best.levels


def _descend(
    attack: Attack, settings: Search, victims: Victims, targets: Tensor, offer: Callable[[Tensor], None]
) -> None:
    clean = victims.clean
    radius = int(settings.epsilon * _LEVELS + 1e-6) / _LEVELS
    lowest, highest = (clean - radius).clamp_min(0), (clean + radius).clamp_max(1)
    attack.aim(targets)
    noise = torch.rand(clean.shape, generator=victims.generator) * 2 - 1
    images = torch.clamp(clean + radius * noise, lowest, highest)
    momentum = torch.zeros_like(clean)
    for number in range(1, settings.iterations + 1):
        found = attack.direction(images, targets)
        scale = found.abs().flatten(1).mean(1).clamp_min(torch.finfo(found.dtype).tiny)
        momentum = settings.momentum * momentum + found / scale[:, None, None, None]
        shrunk = max(_LAST_STEP, 1 - number / settings.iterations)
        images = images + settings.step * radius * shrunk * momentum.sign()
        images = torch.clamp(images, lowest, highest)
        if number % settings.judge_every == 0 or number == settings.iterations:
            offer(images)
