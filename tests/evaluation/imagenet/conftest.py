"""A small archive of photographs, and a tiny network in place of a published one."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from evaluation.imagenet.classifiers import PublishedClassifier
from evaluation.imagenet.pictures import PictureClassifier

NAMES = ["ant", "bee", "cat", "dog"]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """The folder of an archive with a photograph of each of four classes."""
    folder = tmp_path / "samples"
    folder.mkdir()
    (folder / "classes.txt").write_text("\n".join(NAMES) + "\n")
    rng = np.random.default_rng(0)
    with tarfile.open(folder / "images.tar", "w") as tar:
        for number, name in enumerate(NAMES):
            pixels = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
            file = io.BytesIO()
            Image.fromarray(pixels).resize((400, 288 + number)).save(file, "JPEG")
            entry = tarfile.TarInfo(f"n0000000{number}/{name}.jpg")
            entry.size = file.tell()
            file.seek(0)
            tar.addfile(entry, file)
    return folder


@pytest.fixture
def tiny_pictures() -> Callable[[str], PictureClassifier]:
    """A function that makes a small random network with the preprocessing of a published one."""

    def make(name: str) -> PictureClassifier:
        torch.manual_seed(len(name) + ord(name[-1]))
        network = nn.Sequential(
            nn.Conv2d(3, 4, 7, stride=8), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 5)
        )
        return PictureClassifier(PublishedClassifier.named(name), network.eval())

    return make
