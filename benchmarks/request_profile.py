"""Profile of a request: where the server's time goes, stage by stage."""

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.load.plan import Plan
from benchmarks.load.process import LoadProcess
from benchmarks.sections import Section, Table
from benchmarks.serving import over_http
from benchmarks.serving.engine_alone import IN_FLIGHT
from benchmarks.serving.throughput import CACHE
from benchmarks.serving.vitals import processor_seconds
from benchmarks.subjects import ServedStore
from mutant_guard.errors import GuardError

STAGES = {
    "onnxruntime": ("Session.run (",),
    "decode": ("decode_whole (", "at_sizes ("),
    "input tensor": ("Manifest.tensors (",),
    "digest and order": ("Order.digest (", "Order.of_digest (", "prepare ("),
    "evidence and decisions": (
        "Doubts.",
        "labels_of (",
        "advance (",
        "Policy.",
        "all_finite (",
        "_consume (",
    ),
    "runs of the bank, besides": ("Batches.run (", "Scheduler._turn ("),
    "queue": ("Scheduler.submit (", "Bridge.", "Request.end ("),
    "cache": ("Guard._look_up (", "MemoryCache.", "BaseModel.model_dump_json ("),
    "verdict": ("Guard._answered (", "Model.judgement ("),
    "log line": ("log_answer (", "sender_of ("),
    "metrics": (
        "MetricWrapperBase.",
        "Histogram.",
        "Counter.",
        "Metrics.",
        "AlarmHistory.",
        "ServerObserver.",
    ),
    "ids and trace": ("trace_context (", "request_id (", "Exchange."),
    "answer": ("classification_values (", "bare_values (", "Response.__init__ ("),
    "sending": ("RequestResponseCycle.send (", "Response.__call__ ("),
    "reading": ("Connection.", "read_image (", "Listener."),
    "checks and routing": ("Shortcut.", "BoundedBodies.", "AllowedHosts.", "SecurityHeaders.", "classify ("),
    "event loop": ("Runner.run (",),
}
"""Functions of each stage, as a sampled stack names them.

A sample belongs to the stage of the innermost function that is named here.
"""

_SECONDS, _QUICK_SECONDS = 20.0, 4.0
_WARM_UP = 2.0
_SAMPLES_A_SECOND = 400


class ProfilerError(GuardError):
    """Error for a profiler that is not installed, or may not look into another process."""


def measure(subject: ServedStore, quick: bool, say: Callable[[str], None]) -> Section:
    """Sample a server's stacks under load, and share its time out among the stages of a request.

    Everything is on that a server has by default: log lines, metrics, and a cache, which the images
    do not hit.

    Args:
        subject: store to serve.
        quick: whether to sample for a few seconds only.
        say: callback that is told what is going on.

    Raises:
        ProfilerError: py-spy is missing, or may not look into another process.
        NotServedError: the server failed under load.
    """
    seconds = _QUICK_SECONDS if quick else _SECONDS
    say(f"{subject.store.name}: sampling a server under load for {seconds:g} s")
    with over_http.ours(subject, **CACHE) as server:
        plan = Plan(server.port, "/classify", subject.bodies, IN_FLIGHT, seconds + 2 * _WARM_UP)
        before, load = processor_seconds(server.process.pid), LoadProcess(plan)
        try:
            stacks = _sampled(server.process.pid, seconds)
        except BaseException:
            load.kill()
            raise
        report = load.result()
        over_http.check(report, f"{server.url}/classify")
        spent = (processor_seconds(server.process.pid) - before) / report.answered
    return _section(subject, shares(stacks), spent)


def shares(stacks: Iterable[str]) -> dict[str, float]:
    """Return the share of the samples in each stage, the greatest first.

    Args:
        stacks: lines of py-spy's raw format: names of functions from the outermost, and a number of
            samples. Those of no stage are left out, such as threads that wait for work.
    """
    found: Counter[str] = Counter()
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        if (stage := _stage(stack.split(";"))) is not None:
            found[stage] += int(count)
    total = found.total()
    return {stage: count / total for stage, count in found.most_common()}


def _stage(frames: list[str]) -> str | None:
    for frame in reversed(frames):
        for stage, names in STAGES.items():
            if frame.startswith(names):
                return stage
    return None


def _sampled(pid: int, seconds: float) -> list[str]:
    """Return the stacks of a process as py-spy samples them.

    Raises:
        ProfilerError: py-spy is missing, or may not look into another process.
    """
    program = Path(sys.executable).with_name("py-spy")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "stacks"
        command = [str(program), "record", "--pid", str(pid), "--format", "raw", "--output", str(file)]
        command += ["--duration", f"{seconds:.0f}", "--rate", str(_SAMPLES_A_SECOND)]
        try:
            done = subprocess.run(  # noqa: S603  # a fixed program on a process of ours
                command,
                capture_output=True,
                text=True,
                timeout=10 * seconds + 60,
                check=False,
            )
        except FileNotFoundError as error:
            raise ProfilerError(f"there is no {program}; install py-spy") from error
        if done.returncode or not file.exists():
            raise ProfilerError(
                f"py-spy failed: {done.stderr.strip()[-500:]}; it needs the right to trace processes"
            )
        return file.read_text(encoding="utf-8").splitlines()


def _section(subject: ServedStore, found: dict[str, float], spent: float) -> Section:
    name = subject.store.name
    rows = [[stage, f"{1e6 * spent * share:.0f}", f"{100 * share:.1f} %"] for stage, share in found.items()]
    notes = [
        f"Processor time of a request: {1e6 * spent:.0f} µs, with that of the profiler's pauses. {IN_FLIGHT} "
        "connections; log lines, metrics and cache are on.",
    ]
    table = Table(f"{name}: a request", ["stage", "µs", "share"], rows, notes)
    figure = Figure(f"{subject.key}_onnxruntime_share", 100 * found.get("onnxruntime", 0.0), "%")
    return Section(f"Profile of {name}", [table], [figure])
