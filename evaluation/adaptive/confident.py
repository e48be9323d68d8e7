"""A wrong label that the original is sure of.

Carlini, Wagner: Towards evaluating the robustness of neural networks. IEEE S&P 2017; its
high-confidence examples, here in L∞. The attack's steps know nothing of mutants: the attack relies
on mutants being close to the original, so that a label far from any boundary of the original's is
theirs as well.
"""

from torch import Tensor, inf

from evaluation.adaptive.attack import Attack, Victims, gradient
from evaluation.adaptive.settings import Confident


class ConfidentAttack(Attack):
    """Attack that raises the margin of the target's logit over the highest other.

    It uses the original alone.
    """

    def __init__(self, settings: Confident, victims: Victims) -> None:
        """Keep the victims' mutants; ``settings`` holds nothing that steers a step."""
        self._mutants = victims.mutants

    def direction(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the gradient of the margin."""
        images = images.detach().requires_grad_()
        logits = self._mutants.original(images)
        wanted = logits.gather(1, targets[:, None])[:, 0]
        others = logits.scatter(1, targets[:, None], -inf).amax(1)
        return gradient((wanted - others).sum(), images)
