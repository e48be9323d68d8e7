"""A robust mutant that started from the original: its doubt decides, and what the original says itself does not."""

from pathlib import Path

import pytest

from mutant_guard.store.calibration_record import CalibrationSettings
from mutant_guard.store.doubts_record import StagedRecord
from mutant_guard.store.reader import Store, load_store
from mutant_store.build import BuildSettings, build
from mutant_store.calibrating.recalibrate import recalibrate
from mutant_store.loading.input_spec import InputOptions
from mutant_store.loading.model_source import ModelSource
from mutant_store.pool.selection import SelectionSettings
from mutant_store.retraining.settings import RetrainSettings
from mutant_store.robust.settings import RobustSettings
from tests.support.demo import SilentReport
from tests.support.versions import copy_of


@pytest.fixture(scope="module")
def store(digits_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    out = tmp_path_factory.mktemp("from-original") / "store"
    settings = BuildSettings(
        operator="mixed:robust,nai",
        selection=SelectionSettings(0.05, 2, 0, 0.5),
        input=InputOptions(),
        calibration=CalibrationSettings(max_false_alarm=0.1),
        retraining=RetrainSettings(train_data="digits@train"),
        robust=RobustSettings(architecture="original", epochs=1, epsilon=0.05),
    )
    build(ModelSource(str(digits_weights)), "digits@holdout", out, settings, SilentReport())
    return load_store(out)


def calibrated(store: Store) -> StagedRecord:
    test = store.calibration.policies["calibrated"].test
    assert isinstance(test, StagedRecord)
    return test


def test_what_the_original_says_itself_counts_nothing(store: Store, tmp_path: Path) -> None:
    ((first, bound),) = calibrated(store).alarms
    assert (first, calibrated(store).evidence.own_weight) == (1, 0)
    assert 0 < bound < 1 << 20
    copy = copy_of(store.path.parent, tmp_path / "copy")
    again = recalibrate(copy, SilentReport(), max_false_alarm=0.2)
    assert calibrated(again).evidence.own_weight == 0
    heavier = recalibrate(copy, SilentReport(), max_false_alarm=0.1, own_weight=0.25)
    ((_, higher),) = calibrated(heavier).alarms
    assert (calibrated(heavier).evidence.own_weight, higher >= bound) == (0.25, True)
