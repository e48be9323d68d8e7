"""Names that stores and commands use for a classifier's treatment of images and its output.

This module imports nothing of the project.
"""

from typing import Literal

Resize = Literal["exact", "bilinear"]
"""Treatment of an image of another size: it is refused, or resampled."""

Layout = Literal["nchw", "nhwc", "flat"]
"""Order of the axes of the classifier's input."""

OutputKind = Literal["logits", "probabilities"]
"""Kind of the classifier's scores."""
