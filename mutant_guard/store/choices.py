"""Names that stores and commands use for a classifier's treatment of images and its output.

This module imports nothing of the project.
"""

from typing import Literal

Resize = str
"""Text of a rule by which an image gets the model's size; see ``ResizeRule``."""

Layout = Literal["nchw", "nhwc", "flat"]
"""Order of the axes of the classifier's input."""

ChannelOrder = Literal["rgb", "bgr"]
"""Order of the colours in the channels of the classifier's input."""

OutputKind = Literal["logits", "probabilities"]
"""Kind of the classifier's scores."""
