"""The words by which stores and commands name how a classifier reads images and what it gives. No imports."""

from typing import Literal

Resize = Literal["exact", "bilinear"]
"""What becomes of an image of another size: it is refused, or resampled."""

Layout = Literal["nchw", "nhwc", "flat"]
"""The order of the axes of the classifier's input."""

OutputKind = Literal["logits", "probabilities"]
"""What the classifier's scores are."""
