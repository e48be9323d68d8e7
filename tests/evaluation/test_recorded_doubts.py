"""The file of recorded doubts: every kind of an experiment's images, as its pool was asked."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evaluation.experiment.material.config import read_config
from evaluation.recorded_doubts import app
from mutant_guard.store.reader import RECORDINGS, load_store
from mutant_store.calibrating.recordings import unpack
from tests.support.experiment import Ran
from tests.support.retrain_experiment import KINDS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def work(retrain_ran: Ran, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the configuration of an experiment and what its run left, without the recordings."""
    place = tmp_path_factory.mktemp("doubts")
    shutil.copy(retrain_ran.config, place)
    shutil.copytree(retrain_ran.work, place / "work")
    shutil.rmtree(place / "work" / "recordings")
    (other,) = (place / "work" / "stores").glob("retrain-*-1-*[!n]")  # the store of the second seed
    shutil.rmtree(other)
    return place


def test_it_holds_every_kind_and_the_parts_of_the_calibration(work: Path) -> None:
    config, out = work / "retrain.toml", work / "out"
    run = CliRunner().invoke(
        app,
        ["--config", str(config), "--data", str(work), "--work", str(work / "work"), "--out", str(out)],
        catch_exceptions=False,
    )
    assert run.exit_code == 0, run.output
    (path,) = out.iterdir()
    assert path.name == f"doubts-{read_config(config).model.stem}-0.safetensors"
    found = unpack(path)
    assert set(found) == {"choice", "certification", "clean", *KINDS[1:]}
    (store,) = [path for path in (work / "work/stores").glob("retrain-*") if path.is_dir()]
    kept = unpack(load_store(store).path / RECORDINGS)
    for name in ("choice", "certification"):
        mine, theirs = found[name].doubts, kept[name].doubts
        assert mine is not None
        assert theirs is not None
        assert (mine == theirs).all()
    assert found["clean"].correct.all()
    assert not found["wrong"].correct.any()
    assert all(part.doubts is not None and part.pool == 4 for part in found.values())
