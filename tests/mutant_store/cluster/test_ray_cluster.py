"""What a connection says of a cluster, and how many tasks it takes."""

from collections.abc import Callable

import pytest
import ray

from mutant_guard.errors import GuardError
from mutant_store.cluster.ray_cluster import RayCluster
from tests.support.demo import SilentReport

Make = Callable[..., RayCluster]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a connection to a cluster of two nodes, without Ray."""

    def made(cpus: float, gpus: float, *, jobs: int = 0, per_training: float = 0.0) -> RayCluster:
        nodes = [{"Alive": True, "Resources": {"CPU": number}} for number in (cpus, 0)]
        monkeypatch.setattr(RayCluster, "_nodes", lambda _: nodes)
        monkeypatch.setattr(RayCluster, "_resource", lambda _, name: {"CPU": cpus, "GPU": gpus}[name])
        cluster = RayCluster.__new__(RayCluster)
        cluster._jobs, cluster.gpus = jobs, per_training
        return cluster

    return made


@pytest.mark.parametrize(
    ("cpus", "gpus", "jobs", "per_training", "expected"),
    [
        (6, 0, 0, 0.0, (6, 6)),
        (6, 2, 4, 0.0, (4, 4)),
        (6, 2, 0, 0.5, (6, 4)),
        (6, 2, 0, 2.0, (6, 1)),
        (2, 8, 0, 0.5, (2, 2)),
        (0, 0, 0, 0.5, (1, 1)),  # all nodes have left; others may come
    ],
)
def test_tasks_at_a_time_are_what_the_nodes_have_and_what_was_asked_for_at_most(
    cpus: float, gpus: float, jobs: int, per_training: float, expected: tuple[int, int], make: Make
) -> None:
    cluster = make(cpus, gpus, jobs=jobs, per_training=per_training)
    assert (cluster.jobs, cluster.trainings) == expected
    assert cluster.beside == max(1, cpus)


@pytest.mark.parametrize(
    ("dashboard", "shown"), [("127.0.0.1:8265", "; http://127.0.0.1:8265"), ("", ""), (None, "")]
)
def test_one_line_tells_of_the_cluster_and_its_dashboard(
    dashboard: str | None, shown: str, make: Make
) -> None:
    report = SilentReport()
    make(6, 1)._tell(report, dashboard)
    assert report.steps == [f"working on a Ray cluster of 2 node(s), 6 CPUs and 1 GPUs{shown}"]


def test_ray_that_does_not_start_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise Exception("The node timed out\nduring startup.")  # noqa: TRY002 - as Ray does

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(
        GuardError, match=r"^--ray local: Ray did not start on this machine \(The node timed out\)"
    ):
        RayCluster("local", SilentReport())


@pytest.mark.parametrize(("cpus", "gpus", "per_training"), [(0, 0, 0.0), (4, 0, 0.5), (4, 1, 2.0)])
def test_a_cluster_that_can_run_no_task_is_refused(
    cpus: float, gpus: float, per_training: float, make: Make
) -> None:
    with pytest.raises(
        GuardError, match=r"^the cluster has .*, and a task takes 1 CPU.*: add such nodes to it$"
    ):
        make(cpus, gpus, per_training=per_training)._tell(SilentReport(), None)


def test_trainings_are_on_gpus_only_where_they_are_asked_for(make: Make) -> None:
    from mutant_store.cluster.training_tasks import training_device  # torch takes seconds to import

    assert [training_device(make(4, 2, per_training=asked)) for asked in (0.0, 0.5)] == ["cpu", "cuda"]
