"""Builds on a cluster of several nodes: the bytes that processes make, whatever is killed meanwhile."""

import hashlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ray.cluster_utils import Cluster

from mutant_guard.errors import GuardError, ModelError, StoreError
from mutant_guard.store.reader import Store, load_store
from mutant_store.cluster import training_tasks
from mutant_store.cluster.ray_cluster import ENVIRONMENT, RayCluster
from mutant_store.cluster.training_tasks import TrainingTasks
from mutant_store.networks.architecture import Registered
from mutant_store.retraining.job import TrainingJob
from mutant_store.robust.settings import RobustSettings
from mutant_store.robust.trainer import RobustTrainer
from tests.mutant_store.cluster.tasks import hold, refuse, vanish
from tests.support.demo import SilentReport, build_digits_store
from tests.support.retraining import build_retrained, subject_of

pytestmark = pytest.mark.slow

_MEMORY = 100 * 2**20


class Nodes:
    """A head without CPUs, and nodes with one each."""

    def __init__(self) -> None:
        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "object_store_memory": _MEMORY, "include_dashboard": False},
        )
        self.nodes: list[Any] = []
        self.add()

    def add(self) -> None:
        self.nodes.append(self.cluster.add_node(num_cpus=1, object_store_memory=_MEMORY))

    def kill(self) -> None:
        """Kill the node that was there first."""
        self.cluster.remove_node(self.nodes.pop(0), allow_graceful=False)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        found = Nodes()
        yield found
        found.cluster.shutdown()  # type: ignore[no-untyped-call]


@pytest.fixture
def connect(nodes: Nodes) -> Callable[..., RayCluster]:
    """Connects to the nodes."""
    return lambda report=None, **options: RayCluster(
        nodes.cluster.address, report or SilentReport(), **options
    )


def contents(store: Store) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in store.path.iterdir()}


class Acting(SilentReport):
    """Report that acts once, when an epoch of four was told."""

    def __init__(self, epoch: int, act: Callable[[], None]) -> None:
        super().__init__()
        self._epoch, self._act = epoch, act

    def progress(self, done: int, total: int, note: str) -> None:
        super().progress(done, total, note)
        if total == 4 and done == self._epoch:
            self._epoch = 0
            self._act()


def test_a_task_goes_on_elsewhere_from_its_checkpoint(
    nodes: Nodes, connect: Callable[..., RayCluster], tmp_path: Path
) -> None:
    job = TrainingJob(
        folder=tmp_path,
        architecture=Registered("digits-net", 10),
        seed=0,
        mean=(0.0,),
        std=(1.0,),
        shift=0,
        flip=False,
        bf16=False,
        channels_last=False,
        output_kind="logits",
        device="cpu",
    )
    images = job.folder / "images.npy"
    images.write_bytes(b"some images")
    said: list[str] = []

    def heard(message: str) -> None:
        said.append(message)
        if message == "held":
            assert (job.folder / "held-0003.checkpoint").read_bytes() == b"some"
            nodes.kill()
            nodes.add()

    with connect() as cluster, TrainingTasks(job, cluster) as workers:
        assert list(workers.run(hold, [3], heard)) == [3]
    assert said == ["held", "gone on"]
    made = job.folder / "held-0003.safetensors"
    assert sorted(tmp_path.iterdir()) == [made, images]
    assert made.read_bytes() == b"somesome images"


def test_a_node_that_leaves_changes_no_byte(
    nodes: Nodes,
    connect: Callable[..., RayCluster],
    digits_weights: Path,
    retrained_store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All work was on it; another comes, and goes on at the epoch that was told."""
    monkeypatch.setattr(training_tasks, "_SECONDS", 0.05)  # tiny networks are trained in a moment

    def replace_node() -> None:
        nodes.kill()
        nodes.add()

    report = Acting(1, replace_node)
    monkeypatch.setattr("mutant_store.build.record", None)  # tasks record
    with connect(report) as cluster:
        assert (cluster.jobs, cluster.trainings, cluster.beside) == (1, 1, 1)
        store = build_retrained(digits_weights, tmp_path / "digits", report=report, cluster=cluster)
    assert contents(store) == contents(retrained_store)
    assert report.steps[0] == "working on a Ray cluster of 2 node(s), 1 CPUs and 0 GPUs"
    epochs = [done for done, total in report.calls if total == 4]
    assert epochs.count(1) == 1


def killed_build(address: str, model: Path, out: Path) -> None:
    torch.set_num_threads(1)
    report = Acting(3, lambda: os.kill(os.getpid(), signal.SIGKILL))
    with RayCluster(address, report) as cluster:
        build_retrained(model, out, report=report, cluster=cluster)


def test_a_killed_build_goes_on_to_the_same_bytes(
    nodes: Nodes,
    connect: Callable[..., RayCluster],
    digits_weights: Path,
    retrained_store: Store,
    tmp_path: Path,
) -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=killed_build, args=(nodes.cluster.address, digits_weights, tmp_path / "digits")
    )
    process.start()
    process.join(300)
    assert process.exitcode == -signal.SIGKILL
    with pytest.raises(StoreError, match="a build was not finished"):
        load_store(tmp_path / "digits")
    report = SilentReport()
    with connect() as cluster:
        resumed = build_retrained(digits_weights, tmp_path / "digits", report=report, cluster=cluster)
    assert contents(resumed) == contents(retrained_store)
    epochs = [done for done, total in report.calls if total == 4]
    assert min(epochs) >= 2  # the first mutant was there


def test_filter_and_robust_training_change_no_byte(
    connect: Callable[..., RayCluster],
    digits_model: Path,
    digits_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes: dict[str, Any] = {"operator": "mixed:ws,nai", "mutants": 140, "rate": 0.1}
    subject, settings = subject_of(digits_weights), RobustSettings(epochs=1, steps=1, batch_size=64)
    with connect() as cluster:
        with monkeypatch.context() as patch:
            patch.setattr("mutant_store.build.record", None)  # tasks record
            drawn = build_digits_store(digits_model, tmp_path / "there" / "s", cluster=cluster, **changes)
        trained = [
            RobustTrainer(
                subject, None, settings, "digits@train[0:300]", folder, seed=0, jobs=1, cluster=where
            )
            for folder, where in ((tmp_path / "robust", cluster), (tmp_path / "here", None))
            if not folder.mkdir()  # type: ignore[func-returns-value]
        ]
        for one in trained:
            assert [number for number, _ in one.mutants([0], SilentReport())] == [0]
    assert contents(drawn) == contents(build_digits_store(digits_model, tmp_path / "here" / "s", **changes))
    there, here = (one.job.folder for one in trained)
    assert (there / "robust-0000.safetensors").read_bytes() == (here / "robust-0000.safetensors").read_bytes()
    assert sorted(path.name for path in there.iterdir()) == sorted(path.name for path in here.iterdir())


def test_a_tasks_own_error_is_raised_and_a_lost_task_runs_three_times_more(
    connect: Callable[..., RayCluster], tmp_path: Path
) -> None:
    with connect() as cluster, cluster.executor() as executor:
        with pytest.raises(ModelError, match=r"^this cannot be done$"):
            executor.submit(refuse, tmp_path / "refused").result(60)
        with pytest.raises(GuardError, match="lost a task every time it ran"):
            executor.submit(vanish, tmp_path / "vanished").result(240)
    assert (tmp_path / "refused").read_text().count("run") == 1
    assert (tmp_path / "vanished").read_text().count("run") == 4


def test_other_software_is_refused(
    connect: Callable[..., RayCluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mutant_store.cluster.ray_cluster.software", lambda: {"mutant-guard": "9.9"})
    with connect() as cluster, pytest.raises(GuardError, match=r"has mutant-guard \S+, not 9\.9"):
        cluster.result(cluster.start(len, []))
