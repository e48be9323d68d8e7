"""The original and its mutants at once: expectation over mutants.

Athalye, Carlini, Wagner: Obfuscated gradients give a false sense of security. ICML 2018
(expectation over transformation, here over random mutants).
"""

from torch import Tensor
from torch.nn.functional import cross_entropy

from evaluation.adaptive.attack import Attack, Victims, gradient, with_original
from evaluation.adaptive.settings import Joint


class JointAttack(Attack):
    """Attack that lowers the mean cross-entropy of the target over the original and mutants.

    The mutants are drawn afresh at every step.
    """

    def __init__(self, settings: Joint, victims: Victims) -> None:
        """Keep the settings and the victims."""
        self._settings, self._victims = settings, victims

    def direction(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the negative gradient of that mean."""
        mutants = self._victims.mutants
        sampled = mutants.sample(len(images), self._settings.mutants, self._victims.generator)
        images = images.detach().requires_grad_()
        logits = mutants.logits(images, with_original(sampled))
        wanted = targets[:, None].expand(logits.shape[:2])
        return -gradient(cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="sum"), images)
