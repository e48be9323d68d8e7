"""A wrong label that the original is sure of.

Carlini, Wagner: Towards evaluating the robustness of neural networks. IEEE S&P 2017; its high-confidence examples,
here in L∞. The attack's steps know nothing of mutants: it lives on mutants being close to the original, so that a
label far from any boundary of the original's is theirs as well.
"""

from torch import Tensor, inf

from evaluation.adaptive.attack import Attack, Victims, gradient
from evaluation.adaptive.settings import Confident


class ConfidentAttack(Attack):
    """Raise the margin of the target's logit over the highest other, on the original alone."""

    def __init__(self, settings: Confident, victims: Victims) -> None:
        """Keep what it needs; ``settings`` holds nothing that steers a step."""
        self._mutants = victims.mutants

    def direction(self, images: Tensor, targets: Tensor) -> Tensor:
        """Gradient of the margin."""
        images = images.detach().requires_grad_()
        logits = self._mutants.original(images)
        wanted = logits.gather(1, targets[:, None])[:, 0]
        others = logits.scatter(1, targets[:, None], -inf).amax(1)
        return gradient((wanted - others).sum(), images)
