"""Tone curve of grey images, as the first layer of a network."""

import torch
from torch import Tensor, nn

_MIDDLE, _WIDTH, _LEAK = 0.5, 0.4, 0.02


class ToneCurve(nn.Module):
    """Learned curve by which dark pixels become black and bright ones white.

    Pixels of drawings and digits are nearly black or nearly white. A curve that is flat at both ends
    takes small changes of them away before any layer adds them up, so that much tighter bounds can be
    shown for the layers behind. It never falls, and it rises a little everywhere, so that gradients
    of attacks pass through it.
    """

    def __init__(self, mean: float, std: float) -> None:
        """Make a curve for pixels that were normalised.

        Args:
            mean: mean that was subtracted from pixels in the range 0 to 1.
            std: standard deviation that they were divided by.
        """
        super().__init__()
        self._mean, self._std = mean, std
        self.middle = nn.Parameter(torch.tensor(_MIDDLE))
        self.log_width = nn.Parameter(torch.tensor(_WIDTH).log())

    def forward(self, images: Tensor) -> Tensor:
        """Return images float32 [N, C, H, W] in the range 0 to 1.02 from normalised ones."""
        pixels = images * self._std + self._mean
        risen: Tensor = (pixels - self.middle) / self.log_width.exp() + 0.5
        return _LEAK * pixels + risen.clamp(0, 1)
