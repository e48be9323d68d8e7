"""Attacks on a cluster: the images that processes make."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.attacks.collect import Collected, collect
from evaluation.attacks.settings import Fgsm
from evaluation.workspace import Workspace
from mutant_guard.errors import DataError
from mutant_store.cluster.ray_cluster import RayCluster
from mutant_store.datasets import ImageData
from tests.support.demo import SilentReport

pytestmark = pytest.mark.slow

FGSM = Fgsm(name="fgsm", epsilon=0.2, samples=150, attempts=150)


def run(weights: Path, clean: ImageData, folder: Path, cluster: RayCluster | None = None) -> Collected:
    sources = np.arange(len(clean), dtype=np.int64)
    report = SilentReport()
    return collect(weights, FGSM, clean, sources, 7, Workspace(folder), report, 1, cluster=cluster)


def test_a_cluster_changes_no_pixel_and_what_it_made_is_kept(
    tiny_weights: Path, clean: ImageData, tmp_path: Path
) -> None:
    here = run(tiny_weights, clean, tmp_path / "here")
    with RayCluster("local", SilentReport(), jobs=1) as cluster:
        there = run(tiny_weights, clean, tmp_path / "there", cluster)
        wrong = ImageData(clean.images, (clean.labels + 1) % 10, clean.class_names, clean.range)
        with pytest.raises(DataError, match=r"^image 0 is not labelled rightly by"):
            run(tiny_weights, wrong, tmp_path / "wrong", cluster)
    assert (here.attempts, here.fooled) == (there.attempts, there.fooled)
    assert (here.samples.images == there.samples.images).all()
    made = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("here", "there")]
    assert made[0] == made[1]
    again = run(tiny_weights, clean, tmp_path / "there")
    assert again.seconds == there.seconds
