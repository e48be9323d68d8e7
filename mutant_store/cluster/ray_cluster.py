"""Ray cluster that does a build's or an experiment's work in place of this machine."""

import contextlib
import math
import os
import socket
import uuid
from collections.abc import Callable
from concurrent.futures import Executor, Future
from types import TracebackType
from typing import Any, TypeVar

from mutant_guard.bank.cores import available_cores
from mutant_guard.errors import GuardError, one_line
from mutant_guard.missing import remedy
from mutant_store.cluster.failures import own_error
from mutant_store.cluster.node_folder import NodeFolder
from mutant_store.cluster.versions import check_software, software
from mutant_store.reporter import Reporter

T = TypeVar("T")

_RETRIES = 3
_SECONDS = 5
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray tries for ever where a task lacks memory.
    "RAY_task_oom_retries": str(_RETRIES),
    # Workers of this machine's own cluster are no slower than the processes of --jobs.
    "RAY_worker_niceness": "0",
}
"""Settings of Ray, which its own variables change."""
_CONNECTING = {
    # Ray tries for minutes to connect to a cluster that is not there.
    "RAY_NUM_REDIS_GET_RETRIES": "1",
    "RAY_gcs_rpc_server_connect_timeout_s": str(_SECONDS),
    "RAY_py_gcs_connect_timeout_s": str(_SECONDS),
}


class RayCluster:
    """Connection to a Ray cluster, which ends with the ``with`` statement.

    A task whose worker or node is lost runs again, at most three times; one that raises an error of
    its own does not.

    Attributes:
        gpus: GPUs of a task that trains, 0 for none.
        token: name of this connection's files on the nodes.
    """

    def __init__(self, address: str, report: Reporter, *, jobs: int = 0, gpus: float = 0.0) -> None:
        """Connect, within seconds.

        Args:
            address: ``auto`` for the cluster of ``RAY_ADDRESS`` or of this machine, ``HOST:PORT``
                for one that this machine is a node of, ``local`` for one of this process's own.
            report: receiver of a line on the cluster.
            jobs: most tasks at a time; 0 takes as many as the cluster has CPUs or GPUs for.
            gpus: GPUs of a task that trains, a fraction for several tasks on one; 0 trains on CPUs.

        Raises:
            GuardError: Ray is not installed, there is no such cluster, or it lacks CPUs or GPUs.
        """
        for name, value in (ENVIRONMENT if address == "local" else ENVIRONMENT | _CONNECTING).items():
            os.environ.setdefault(name, value)
        try:
            import ray
        except ModuleNotFoundError as error:
            raise GuardError(remedy(error.name, "ray") or str(error)) from error
        self._ray: Any = ray
        self._jobs, self.gpus, self.token = jobs, gpus, uuid.uuid4().hex
        self._expected = software()
        self._run = ray.remote(_run)
        _check(address)
        own = (
            {"num_cpus": jobs or available_cores(), "include_dashboard": False} if address == "local" else {}
        )
        try:
            found = ray.init(address, log_to_driver=False, logging_level="error", **own)  # type: ignore[arg-type]
        except Exception as error:  # Ray raises all kinds, Exception itself among them
            ray.shutdown()
            raise GuardError(_no_cluster(address, one_line(error))) from error
        try:
            self._tell(report, found.dashboard_url)
        except BaseException:
            ray.shutdown()
            raise

    def __enter__(self) -> "RayCluster":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        with contextlib.suppress(Exception):  # what is left goes with the folder of temporary files
            self._forget()
        self._ray.shutdown()

    @property
    def jobs(self) -> int:
        """Number of tasks on CPUs at a time, at least 1, as nodes come and go."""
        return self._at_most(self._resource("CPU"))

    @property
    def trainings(self) -> int:
        """Number of tasks that train at a time, at least 1."""
        cpus = self._resource("CPU")
        return self._at_most(min(cpus, self._resource("GPU") / self.gpus) if self.gpus else cpus)

    @property
    def beside(self) -> int:
        """Most tasks at a time on one node, which share its memory."""
        return max([1, *(int(node["Resources"].get("CPU", 0)) for node in self._nodes())])

    def executor(self) -> "RayExecutor":
        """Return an executor of functions on the cluster's CPUs."""
        return RayExecutor(self)

    def put(self, value: object) -> Any:
        """Put a value into the object store, from which each node takes it once; return its reference."""
        return self._ray.put(value)

    def start(self, function: Callable[..., object], *arguments: object, gpus: float = 0.0) -> Any:
        """Start a task on one CPU, and return its reference.

        Args:
            function: function of a module, or the reference of a function that was put.
            arguments: its arguments; a reference among them stands for its value.
            gpus: GPUs of the task.
        """
        options = self._run.options(num_cpus=1, num_gpus=gpus, max_retries=_RETRIES, retry_exceptions=False)
        # A list keeps the reference: the worker takes the function from the store once, not each time.
        return options.remote(
            self._expected, [self.put(function) if callable(function) else function], *arguments
        )

    def ended(self, references: list[Any], seconds: float) -> list[Any]:
        """Return the tasks that have ended; wait for one for some seconds."""
        return list(self._ray.wait(references, num_returns=1, timeout=seconds)[0])

    def result(self, reference: Any) -> Any:
        """Return the result of a task, or of a call of an actor.

        Raises:
            GuardError: the task was lost each time it ran, or a node does not have this project.
            Exception: the error that the task raised.
        """
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            raise own_error(error) from error

    def cancel(self, references: list[Any]) -> None:
        """End tasks that are no longer needed."""
        for reference in references:
            self._ray.cancel(reference)

    def actor(self, kind: type) -> Any:
        """Start an actor on this machine, where it lives as long as the connection; return its handle."""
        return self._ray.remote(kind).options(num_cpus=0, scheduling_strategy=self._on(self._here)).remote()

    @property
    def _here(self) -> str:
        return str(self._ray.get_runtime_context().get_node_id())

    def _on(self, node: str) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(node, soft=False)

    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _resource(self, name: str) -> float:
        return float(self._ray.cluster_resources().get(name, 0))

    def _at_most(self, slots: float) -> int:
        fitting = max(1, math.floor(slots))
        return min(self._jobs, fitting) if self._jobs else fitting

    def _tell(self, report: Reporter, dashboard: str | None) -> None:
        nodes, cpus, gpus = self._nodes(), self._resource("CPU"), self._resource("GPU")
        has = f"{len(nodes)} node(s), {cpus:g} CPUs and {gpus:g} GPUs"
        if cpus < 1 or gpus < self.gpus:
            asked = f" and {self.gpus:g} GPUs" if self.gpus else ""
            raise GuardError(f"the cluster has {has}, and a task takes 1 CPU{asked}: add such nodes to it")
        report.step(f"working on a Ray cluster of {has}" + (f"; http://{dashboard}" if dashboard else ""))

    def _forget(self) -> None:
        """Remove this connection's files from all nodes that are there."""
        remove = self._ray.remote(_remove)
        tasks = [
            remove.options(num_cpus=0, max_retries=0, scheduling_strategy=self._on(node["NodeID"])).remote(
                self.token
            )
            for node in self._nodes()
        ]
        self._ray.wait(tasks, num_returns=len(tasks), timeout=_SECONDS)


class RayExecutor(Executor):
    """Executor whose calls are tasks of a cluster.

    A function and what it holds are sent once.
    """

    def __init__(self, cluster: RayCluster) -> None:
        """Submit nothing yet."""
        self._cluster = cluster
        self._functions: dict[Callable[..., Any], Any] = {}
        self._running: dict[Any, None] = {}

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        """Start a call of a function by positional arguments.

        Returns:
            The future of its result; its errors are those of ``RayCluster.result``.
        """
        if kwargs:
            raise TypeError(f"arguments of tasks have no names: {', '.join(kwargs)}")
        if fn not in self._functions:
            self._functions[fn] = self._cluster.put(fn)
        reference = self._cluster.start(self._functions[fn], *args)
        self._running[reference] = None
        future: Future[T] = Future()

        def pass_on(inner: "Future[T]") -> None:
            self._running.pop(reference, None)
            error = inner.exception()
            if error is None:
                future.set_result(inner.result())
            else:
                future.set_exception(own_error(error))

        reference.future().add_done_callback(pass_on)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the tasks that still run; the cluster stays."""
        self._cluster.cancel(list(self._running))


_FUNCTION: dict[Any, Callable[..., Any]] = {}
"""Function that this worker ran last, by its reference."""


def _run(expected: dict[str, str], function: list[Any], *arguments: Any) -> Any:
    """Run a function on a worker that has the software of the machine that asks."""
    import ray

    check_software(expected)
    (reference,) = function
    if reference not in _FUNCTION:
        _FUNCTION.clear()
        _FUNCTION[reference] = ray.get(reference)
    return _FUNCTION[reference](*arguments)


def _remove(token: str) -> None:
    NodeFolder(token).remove()


def _check(address: str) -> None:
    """Check that an address is one, and that something answers there.

    Raises:
        GuardError: it is not, or nothing does.
    """
    if address in ("auto", "local"):
        return
    host, _, port = address.rpartition(":")
    if "//" in address or not host or not port.isdigit():
        raise GuardError(f"--ray '{address}' is neither auto, local nor HOST:PORT of a cluster's head node")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise GuardError(_no_cluster(address, one_line(error))) from error


def _no_cluster(address: str, why: str) -> str:
    if address == "local":
        return f"--ray local: Ray did not start on this machine ({why}): end what else runs on it, or leave out --ray"
    return (
        f"--ray {address}: no Ray cluster that this machine is a node of ({why}); start one with ray start --head, "
        "join it with ray start --address, or give --ray local"
    )
