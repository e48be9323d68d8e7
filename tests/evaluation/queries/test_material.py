"""Images under attack are labelled rightly, and each has one of another class to start from."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.imagenet.photographs import TEST, Photographs
from evaluation.queries.config import Limits, Published, QueriesConfig, Scenario
from evaluation.queries.material import attacked
from evaluation.queries.services.judge import StoreJudge
from evaluation.queries.services.response import Pixels
from evaluation.queries.settings import Square
from evaluation.workspace import Workspace
from mutant_guard.errors import DataError
from mutant_guard.store.manifest import InputSpec
from mutant_store.datasets import load
from tests.evaluation.imagenet.conftest import archive

__all__ = ["archive"]


def config_of(**source: object) -> QueriesConfig:
    settings = {
        "title": "x",
        "images": 2,
        "limits": Limits(linf=0.1, l2=1.0),
        "attacks": (Square(name="a", method="square"),),
        "scenarios": (Scenario(name="one"),),
    }
    return QueriesConfig.model_validate(settings | source)


def test_sources_are_labelled_rightly_and_starts_are_of_another_class(
    demo_store: Path, tmp_path: Path
) -> None:
    judge = StoreJudge(demo_store)
    try:
        found = attacked(config_of(data="digits@test"), Path(), judge, Workspace(tmp_path))
        assert (judge.labels(found.images) == found.labels).all()
        assert len(found.images) == len(found.starts) == 2
        assert (judge.labels(found.starts) != found.labels).all()
        assert not judge.alarms(found.starts).any()
        with pytest.raises(DataError, match="start from another class"):
            attacked(config_of(data="digits@test[0:1]"), Path(), judge, Workspace(tmp_path))
    finally:
        judge.close()


def test_photographs_get_the_classifiers_size(archive: Path, tmp_path: Path) -> None:
    place = Workspace(tmp_path / "work")
    photographs = Photographs.unpacked(archive, place.path, 1, seed=0)
    folder = load(photographs.spec(TEST), shape=(224, 224, 3), resize="crop:256")
    wnids = [photographs.wnids.index(folder.class_names[label]) for label in folder.labels]

    class AlwaysRight:
        spec = InputSpec(
            height=224, width=224, channels=3, mean=[0.0] * 3, std=[1.0] * 3, layout="nchw", resize="crop:256"
        )

        def labels(self, pixels: Pixels) -> NDArray[np.int64]:
            places = [
                next(n for n, one in enumerate(folder.images) if (one == image).all()) for image in pixels
            ]
            return np.array(wnids)[places]

        def alarms(self, pixels: Pixels) -> NDArray[np.bool_]:
            return np.zeros(len(pixels), dtype=np.bool_)

    published = Published(original="lite0", companions=("lite1",), photographs="{data}", calibrating=1)
    found = attacked(config_of(published=published), archive, AlwaysRight(), place)
    assert found.images.shape == found.starts.shape == (2, 224, 224, 3)
    assert set(found.labels) <= set(photographs.tested)
