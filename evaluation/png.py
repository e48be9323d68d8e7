"""Pixels as PNG files."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return an image uint8 [H, W, C], C 1 (grey) or 3 (RGB), as a PNG file."""
    content = BytesIO()
    Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0]).save(content, "PNG")
    return content.getvalue()
