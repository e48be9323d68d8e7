"""A classifier as its owner would put it behind a model server.

The module imports nothing of this project: it runs without it.
"""

import base64
import json
import os
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

VARIABLE = "BENCHMARK_CLASSIFIER"
"""Environment variable with what ``Bare`` needs, as JSON.

The entries are ``model``, ``mean``, ``std``, ``layout`` (nchw or nhwc), ``threads``, ``size`` (rows and columns) and
``shorter``, the length of the shorter side before the centre of an image is taken, 0 where images have that size.
"""


class Bare:
    """Classifier that takes image files and returns labels."""

    def __init__(self) -> None:
        """Load the model that the environment variable names."""
        given = json.loads(os.environ[VARIABLE])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = given["threads"]
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        content = Path(given["model"]).read_bytes()
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[-1].name
        self._mean, self._std = (np.array(given[name], dtype=np.float32) for name in ("mean", "std"))
        self._nchw = given["layout"] == "nchw"
        self._size, self._shorter = given["size"], given["shorter"]

    def decode(self, text: str) -> Any:
        """Return the classifier's input, float32 [1, …], of an image file in base64."""
        image: Image.Image = Image.open(BytesIO(base64.b64decode(text)))
        if self._shorter:
            image = self._centre(image.convert("RGB"))
        pixels = np.asarray(image)
        inputs = (np.atleast_3d(pixels).astype(np.float32) / 255 - self._mean) / self._std
        return inputs.transpose(2, 0, 1)[None] if self._nchw else inputs[None]

    def _centre(self, image: Image.Image) -> Image.Image:
        least, (height, width) = min(image.size), self._size
        sides = self._shorter * image.width // least, self._shorter * image.height // least
        image = image.resize(sides, Image.Resampling.BILINEAR)
        left, top = round((image.width - width) / 2), round((image.height - height) / 2)
        return image.crop((left, top, left + width, top + height))

    def labels(self, inputs: Any) -> list[int]:
        """Return the labels of inputs float32 [N, …]."""
        found: list[int] = self._session.run([self._output], {self._input: inputs})[0].argmax(axis=1).tolist()
        return found
