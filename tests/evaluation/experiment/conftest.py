"""One small experiment, run once by the command itself, and the objects that read what it left."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from evaluation.experiment.material.config import Config, read_config
from evaluation.experiment.material.pools import Pools
from evaluation.experiment.material.samples import Samples, make_samples
from evaluation.experiment.material.subject import ExperimentSubject
from evaluation.experiment.records.results import Results
from mutant_store.threads import one_thread
from tests.support.demo import SilentReport
from tests.support.experiment import Ran, config_text, run_experiment


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="session")
def ran(tiny_model: Path) -> Ran:
    """The run. What it left is not to be changed by tests."""
    return run_experiment("digits", config_text(tiny_model))


@pytest.fixture(scope="session")
def config_file(ran: Ran) -> Path:
    return ran.config


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
