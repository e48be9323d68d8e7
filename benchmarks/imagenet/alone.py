"""Usual pipeline without a server: Pillow decodes and resizes, onnxruntime computes."""

import io
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from evaluation.imagenet.classifiers import MEAN, STD, PublishedClassifier

Rate = Callable[[float], float]
"""Function that returns images a second, measured over a number of seconds."""


class UsualPipeline:
    """Decoding, resize of the shorter side, centre crop, normalisation and one session.

    It is written as people write it, so that nothing of it is the project's own code.
    """

    def __init__(self, classifier: PublishedClassifier, model: Path, threads: int) -> None:
        """Open the session.

        Args:
            classifier: published classifier, whose sizes are used.
            model: its ONNX file.
            threads: threads of the session.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._name = self._session.get_inputs()[0].name
        self._size, self._shorter = classifier.size, round(classifier.size / 0.875)

    def input(self, body: bytes) -> NDArray[np.float32]:
        """Return what the network reads of an encoded image, float32 [1, 3, size, size]."""
        image = Image.open(io.BytesIO(body)).convert("RGB")
        width, height = image.size
        if width <= height:
            shape = (self._shorter, int(self._shorter * height / width))
        else:
            shape = (int(self._shorter * width / height), self._shorter)
        image = image.resize(shape, Image.Resampling.BILINEAR)
        left, top = (round((length - self._size) / 2) for length in image.size)
        image = image.crop((left, top, left + self._size, top + self._size))
        pixels = np.asarray(image, dtype=np.float32) / np.float32(255)
        scaled = (pixels - np.float32(MEAN[0])) / np.float32(STD[0])
        return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])

    def label(self, body: bytes) -> int:
        """Return the label of an encoded image."""
        return int(self._session.run(None, {self._name: self.input(body)})[0].argmax())


def rate(pipelines: Sequence[UsualPipeline], bodies: Sequence[bytes], clients: int) -> Rate:
    """Return images a second through all pipelines, one after the other, with callers at once.

    Args:
        pipelines: pipelines that every image goes through.
        bodies: encoded images.
        clients: number of threads that call at once.
    """

    def measure(seconds: float) -> float:
        turn = itertools.cycle(bodies)
        done = itertools.count()
        until = time.perf_counter() + seconds

        def call() -> None:
            while time.perf_counter() < until:
                body = next(turn)
                for pipeline in pipelines:
                    pipeline.label(body)
                next(done)

        started = time.perf_counter()
        threads = [threading.Thread(target=call) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return next(done) / (time.perf_counter() - started)

    return measure


def fastest(
    models: Sequence[tuple[PublishedClassifier, Path]],
    bodies: Sequence[bytes],
    clients: int,
    cores: int,
    seconds: float,
) -> tuple[Rate, int]:
    """Return the rate with sessions of one thread or of a thread a core, whichever is faster.

    Args:
        models: classifiers with their ONNX files; an image goes through all.
        bodies: encoded images.
        clients: number of threads that call at once.
        cores: number of cores.
        seconds: time that each way is tried for.

    Returns:
        The rate, and the number of threads of a session.
    """
    tried = {}
    for threads in {1, cores}:
        found = rate([UsualPipeline(*model, threads) for model in models], bodies, clients)
        found(seconds / 4)
        tried[threads] = found, found(seconds)
    best = max(tried, key=lambda threads: tried[threads][1])
    return tried[best][0], best
