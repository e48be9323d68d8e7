"""One small experiment, run once by the command itself, and the objects that read what it left."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from evaluation.attacks.threads import one_thread
from evaluation.experiment.material.config import Config, read_config
from evaluation.experiment.material.pools import Pools
from evaluation.experiment.material.samples import Samples, make_samples
from evaluation.experiment.material.subject import ExperimentSubject
from evaluation.experiment.records.results import Results
from tests.support.demo import SilentReport
from tests.support.experiment import Ran, config_text, run_cli


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="session")
def config_file(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "digits.toml"
    path.write_text(config_text(tiny_model), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def ran(config_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The run. What it left is not to be changed by tests."""
    place = tmp_path_factory.mktemp("experiment")
    threads = torch.get_num_threads()
    result = run_cli(config_file, place / "report", place / "work")
    torch.set_num_threads(threads)
    assert result.exit_code == 0, result.output
    return Ran(config_file, read_config(config_file), place / "report", place / "work", result.stdout)


@pytest.fixture(scope="session")
def config(config_file: Path) -> Config:
    return read_config(config_file)


@pytest.fixture(scope="session")
def results(ran: Ran) -> Results:
    return ran.results


@pytest.fixture(scope="session")
def subject(config: Config) -> ExperimentSubject:
    return ExperimentSubject(config, Path())


@pytest.fixture(scope="session")
def samples(ran: Ran, subject: ExperimentSubject) -> Samples:
    """The images of the run, read from its workspace."""
    return make_samples(subject, ran.workspace, SilentReport(), 1)


@pytest.fixture(scope="session")
def pools(ran: Ran) -> Pools:
    """The pools of the run, read from its workspace."""
    settings = ran.settings
    return Pools(
        settings.model,
        settings.spec("holdout", Path()),
        settings.pools,
        ran.workspace,
        SilentReport(),
        threads=1,
    )
