"""``python -m benchmarks``: the product side by side with what it replaces, in one run."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from benchmarks.data import data_folder
from benchmarks.gpu.command import check
from mutant_store.cli.console import BuildReport, errors_shown

if TYPE_CHECKING:
    from benchmarks.figures import Figure
    from benchmarks.sections import Section
    from benchmarks.subjects import ServedStore

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
app.command(name="gpu")(check)

_WIDTH = 132
"""Columns of a table that goes to a file or a pipe."""

Measurement = Callable[[Callable[[str], None]], "Section | list[Section]"]
"""Function that measures, tells a callback what is going on, and returns the section or sections.
"""

Quick = Annotated[bool, typer.Option("--quick", help="Few repetitions: rough figures in minutes.")]
Out = Annotated[
    Path | None,
    typer.Option(help="Markdown file for the results, pictures beside it. Default: nowhere."),
]
Mnist = Annotated[
    Path | None, typer.Option(help="Folder of MNIST's four IDX files. Default: $GUARD_DATA_DIR/mnist.")
]

Recordings = Annotated[
    Path, typer.Option(help="Folder of recorded label changes, made by python -m evaluation.label_changes.")
]
RECORDINGS = Path(__file__).parents[1] / "reports" / "decision"

Data = Annotated[
    Path | None,
    typer.Option(help="Folder with mnist/ and cifar10/. Default: $GUARD_DATA_DIR, else ../shared/data."),
]
AllData = Annotated[
    Path | None,
    typer.Option(help="Folder with mnist/, cifar10/ and imagenet-samples/. Default: $GUARD_DATA_DIR."),
]
Lite0 = Annotated[
    Path, typer.Option(help="Folder of EfficientNet-Lite0's store; what is there is not made again.")
]
Served = Annotated[Path, typer.Option(help="Directory of the store to serve.")]
SERVED = Path("stores/mnist-lenet")


@app.command()
def mutants(quick: Quick = False, out: Out = None) -> None:
    """Time many mutants of one image against the mutants one by one, and requests in flight."""
    _run(["mutants", "in flight"], quick, None, out)


@app.command()
def retrained(quick: Quick = False, out: Out = None) -> None:
    """Time mutants with all parameters of their own against two other ways to run them.

    The other ways are one session whose weights are inputs, and one graph of all mutants.
    """
    _run(["retrained"], quick, None, out)


@app.command()
def generation(quick: Quick = False, mnist: Mnist = None, out: Out = None) -> None:
    """Time the making of accurate mutants against testing one torch module after the other."""
    _run(["generation"], quick, mnist, out)


@app.command()
def storage(quick: Quick = False, out: Out = None) -> None:
    """Compare a store on disk with stand-alone files, and in memory with the original alone."""
    _run(["storage", "memory"], quick, None, out)


@app.command()
def cost(quick: Quick = False, out: Out = None) -> None:
    """Measure time by mutants, images and model size, and the distance to the machine's peak."""
    _run(["cost", "efficiency"], quick, None, out)


@app.command()
def decision(quick: Quick = False, recordings: Recordings = RECORDINGS, out: Out = None) -> None:
    """Compare the sequential test with Wald's limits, and policies on recorded label changes."""
    _run(["decision"], quick, None, out, recordings)


@app.command()
def doubts(recordings: Recordings = RECORDINGS, out: Out = None) -> None:
    """Compare the test on doubts of retrained mutants with other tests, on recorded images."""
    _run(["doubts"], False, None, out, recordings)


@app.command()
def serving(
    quick: Quick = False,
    store: Annotated[
        list[Path] | None,
        typer.Option(
            help="Directory of a store to serve, or lite0 for EfficientNet-Lite0's; may be given again. Default: "
            "those of the Makefile and lite0."
        ),
    ] = None,
    data: AllData = None,
    work: Lite0 = Path("runs"),
    out: Out = None,
) -> None:
    """Measure the server under load, against alternatives and against itself without its guard.

    The alternatives are what people would write instead of the server.
    """
    from benchmarks.serving import throughput as serving
    from benchmarks.subjects import ServedStore

    folder = data or data_folder()

    def measured(path: Path, say: Callable[[str], None]) -> "Section":
        large = path == serving.LITE0
        subject = ServedStore.efficientnet(folder, work, say) if large else ServedStore.of(path, folder)
        return serving.measure(subject, quick, say)

    _report(
        {str(path): partial(measured, path) for path in store or [*serving.STORES, serving.LITE0]},
        quick,
        out,
        "Made by `make bench-serving`, not by hand. Servers are processes of their own, measured in turn.",
    )


@app.command()
def robust(
    name: Annotated[str, typer.Argument(help="mnist or cifar10.")],
    way: Annotated[
        list[str] | None, typer.Option(help="A way of training; may be given again. Default: all.")
    ] = None,
    quick: Quick = False,
    data: Data = None,
    work: Annotated[
        Path, typer.Option(help="Folder of stores and attacked images; what is there is not made again.")
    ] = Path("runs/robust"),
    out: Out = None,
) -> None:
    """Train robust mutants in every way, and attack each store as who holds it; some hours."""
    from benchmarks.robust import SUBJECTS, measure

    if name not in SUBJECTS:
        raise typer.BadParameter(f"there is no '{name}': give {' or '.join(SUBJECTS)}")
    if unknown := set(way or ()) - SUBJECTS[name].ways.keys():
        raise typer.BadParameter(
            f"there is no way {', '.join(unknown)}: give one of {'; '.join(SUBJECTS[name].ways)}"
        )
    folder = data or data_folder()
    _report(
        {"robust": lambda say: measure(name, folder, work, quick, say, way)},
        quick,
        out,
        "Made by `make bench-robust`, not by hand.",
    )


@app.command()
def imagenet(
    quick: Quick = False,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with imagenet-samples/. Default: $GUARD_DATA_DIR, else ../shared/data."),
    ] = None,
    work: Annotated[
        Path,
        typer.Option(help="Folder of attacked pictures and scores; what is there is not made again."),
    ] = Path("runs"),
    detection: Annotated[
        bool, typer.Option(help="Whether the experiments on detection are run as well, some hours.")
    ] = True,
    out: Out = None,
) -> None:
    """Measure classifiers of ImageNet's size: builds, memory, latency, labels and detection."""
    from benchmarks.imagenet import measure

    folder = data or data_folder()
    _report(
        {"imagenet": lambda say: measure(folder, work, quick, detection, say)},
        quick,
        out,
        "Made by `make bench-imagenet`, not by hand. Servers are processes of their own, measured in turn.",
    )


@app.command()
def probing(quick: Quick = False, data: Data = None, out: Out = None) -> None:
    """Measure the memory of queries: time, size, fingerprints side by side, and false alarms."""
    from benchmarks.probing import measure

    folder = data or data_folder()
    _report(
        {"probing": lambda say: measure(folder, quick, say)},
        quick,
        out,
        "Made by `make bench-probing`, not by hand.",
    )


@app.command()
def cluster(quick: Quick = False, data: Data = None, out: Out = None) -> None:
    """Time a build by two workers of a Ray cluster on this machine against --jobs 2, some minutes."""
    from benchmarks.cluster import measure

    folder = data or data_folder()
    _report(
        {"cluster": lambda say: measure(folder, quick, say)},
        quick,
        out,
        "Made by `make bench-cluster`, not by hand. The two ways built in turn.",
    )


@app.command()
def scale(
    quick: Quick = False,
    store: Annotated[
        list[Path] | None,
        typer.Option(
            help="Directory of a store of small images; may be given again. Default: LeNet's and ResNet-20's."
        ),
    ] = None,
    data: AllData = None,
    work: Lite0 = Path("runs"),
    times: Annotated[
        Path | None, typer.Option(help="JSON file of measured service times: nothing is measured then.")
    ] = None,
    p99_ms: Annotated[float, typer.Option(min=1, help="Milliseconds for 99 of a hundred requests.")] = 100.0,
    domains: Annotated[int, typer.Option(min=2, help="Failure domains, of which one may fail.")] = 3,
    core_hour: Annotated[float, typer.Option(min=0, help="Price of a core for an hour.")] = 0.04,
    gbit: Annotated[float, typer.Option(min=0.001, help="Gigabits a second of a machine's network.")] = 10.0,
    out: Out = None,
) -> None:
    """Simulate many replicas with measured service times, beside real ones as far as they go.

    The service times are written beside the results, as scale.json.
    """
    from benchmarks import scale
    from benchmarks.scale import measured, sizing

    assumptions = sizing.Assumptions(p99_ms, domains, core_hour, gbit)

    def measure(say: Callable[[str], None]) -> "list[Section]":
        if times is not None:
            return [scale.extrapolate(measured.read(times), assumptions, quick, say)]
        found, compared = scale.measure(store or scale.STORES, data or data_folder(), work, quick, say)
        if out is not None:
            measured.write(out.with_name("scale.json"), found)
        return [compared, scale.extrapolate(found, assumptions, quick, say)]

    _report(
        {"scale": measure},
        quick,
        out,
        "Made by `make bench-scale`, not by hand. Servers are real; what is simulated says so.",
    )


@app.command()
def beside(
    sources: Annotated[Path, typer.Argument(help="Checkout of other sources of this project.")],
    store: Annotated[
        list[Path] | None, typer.Option(help="Directory of a store; may be given again.")
    ] = None,
    data: Data = None,
    quick: Quick = False,
    out: Out = None,
) -> None:
    """Measure the server in turn with that of other sources, such as the commit before a change."""
    from benchmarks.serving import beside as other
    from benchmarks.subjects import ServedStore

    def measured(path: Path, say: Callable[[str], None]) -> "Section":
        return other.measure(ServedStore.of(path, data or data_folder()), sources, quick, say)

    _report(
        {str(path): partial(measured, path) for path in store or [SERVED]},
        quick,
        out,
        "Made by `python -m benchmarks beside`. Both servers are up all the time and measured in turn.",
    )


@app.command()
def profile(store: Served = SERVED, data: Data = None, quick: Quick = False, out: Out = None) -> None:
    """Sample a server under load, and show where the time of a request goes."""
    from benchmarks import request_profile
    from benchmarks.subjects import ServedStore

    _report(
        {
            str(store): lambda say: request_profile.measure(
                ServedStore.of(store, data or data_folder()), quick, say
            )
        },
        quick,
        out,
        "Made by `make profile`, not by hand.",
    )


@app.command()
def processes(
    store: Annotated[
        list[Path] | None, typer.Option(help="Directory of a store; may be given again.")
    ] = None,
    data: Data = None,
    number: Annotated[int, typer.Option(min=2, help="Processes of the server that has several.")] = 2,
    quick: Quick = False,
    out: Out = None,
) -> None:
    """Measure a server of several processes in turn with one of a single process."""
    from benchmarks.serving import processes as several
    from benchmarks.subjects import ServedStore

    def measured(path: Path, say: Callable[[str], None]) -> "Section":
        return several.measure(ServedStore.of(path, data or data_folder()), number, quick, say)

    _report(
        {str(path): partial(measured, path) for path in store or [SERVED]},
        quick,
        out,
        "Made by `python -m benchmarks processes`. Both servers are up all the time and measured in turn.",
    )


@app.command()
def overload(
    store: Served = SERVED,
    data: Data = None,
    seconds: Annotated[float, typer.Option(min=1, help="How long.")] = 60.0,
    out: Out = None,
) -> None:
    """Load a server with four times its measured capacity and check answers, memory and probes.

    Exits 1 where a target is missed.
    """
    from benchmarks.serving import overload

    _hold(store, data, out, lambda subject, say: overload.measure(subject, seconds, say))


@app.command()
def soak(
    store: Served = SERVED,
    data: Data = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="How long.")] = 10.0,
    out: Out = None,
) -> None:
    """Run a server at half of its capacity and load the store anew every 30 seconds.

    Exits 1 where a target is missed.
    """
    from benchmarks.serving import soak

    seconds, settled = 60 * minutes, min(60.0, 20 * minutes)
    _hold(store, data, out, lambda subject, say: soak.measure(subject, seconds, say, settled=settled))


@app.command()
def drain(
    store: Served = SERVED,
    data: Data = None,
    times: Annotated[int, typer.Option(min=1, help="How often.")] = 20,
    out: Out = None,
) -> None:
    """Stop a server under load with SIGTERM and check its answers.

    Exits 1 where a target is missed.
    """
    from benchmarks.serving import drain

    _hold(store, data, out, lambda subject, say: drain.measure(subject, times, say))


@app.command()
def hostile(
    store: Served = SERVED,
    data: Data = None,
    beside: Annotated[
        Path | None,
        typer.Option(help="Checkout of other sources of this project, whose server is attacked as well."),
    ] = None,
    out: Out = None,
) -> None:
    """Attack a server with slow, oversized and pipelined requests and watch its other clients.

    Exits 1 where a target is missed.
    """
    from benchmarks.serving import hostile_clients

    _hold(store, data, out, lambda subject, say: hostile_clients.measure(subject, beside, say))


@app.command(name="redis")
def redis_faults(
    store: Served = SERVED,
    data: Data = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often every fault is brought about.")] = 20,
    out: Out = None,
) -> None:
    """Freeze, slow down and kill the Redis of a server and check its answers.

    Exits 1 where a target is missed.
    """
    from benchmarks.serving import redis_faults

    _hold(store, data, out, lambda subject, say: redis_faults.measure(subject, rounds, say))


@app.command(name="all")
def everything(quick: Quick = False, mnist: Mnist = None, out: Out = None) -> None:
    """Measure speed, size and memory: everything but the decision.

    What needs data comes first.
    """
    names = ["generation", "mutants", "retrained", "in flight", "storage", "memory", "cost", "efficiency"]
    _run(names, quick, mnist, out)


def _run(
    names: list[str], quick: bool, mnist: Path | None, out: Path | None, recordings: Path = RECORDINGS
) -> None:
    from benchmarks.bank import cost, efficiency, generation, in_flight, memory, mutants, retrained, storage
    from benchmarks.decision import doubts
    from benchmarks.decision import sequential_test as decision

    folder = mnist or data_folder() / "mnist"
    measurements: dict[str, Measurement] = {
        "mutants": lambda say: mutants.measure(quick, say),
        "retrained": lambda say: retrained.measure(quick, say),
        "in flight": lambda say: in_flight.measure(quick, say),
        "generation": lambda say: generation.measure(quick, folder, say),
        "storage": storage.measure,
        "memory": lambda say: memory.measure(quick, say),
        "cost": lambda say: cost.measure(quick, say),
        "efficiency": lambda say: efficiency.measure(quick, say),
        "decision": lambda say: decision.measure(quick, recordings, say),
        "doubts": lambda say: doubts.measure(recordings, say),
    }
    _report(
        {name: measurements[name] for name in names},
        quick,
        out,
        "Made by `make bench`, not by hand. Alternatives were run in turn in one process; times are medians.",
    )


def _hold(
    store: Path,
    data: Path | None,
    out: Path | None,
    measure: "Callable[[ServedStore, Callable[[str], None]], Section | list[Section]]",
) -> None:
    """Measure one store and exit 1 where a target is missed."""
    from benchmarks.subjects import ServedStore

    figures = _report(
        {str(store): lambda say: measure(ServedStore.of(store, data or data_folder()), say)},
        False,
        out,
        "Made by `make soak`, not by hand.",
    )
    if any(figure.met is False for figure in figures):
        raise typer.Exit(1)


def _report(
    measurements: Mapping[str, Measurement], quick: bool, out: Path | None, how: str
) -> "list[Figure]":
    """Measure one section after the other, show every table and figure, and return the figures.

    The page is written where ``out`` names a file; ``how`` is what the page says of its making.
    """
    from benchmarks import results
    from evaluation.hardware import hardware, load, versions

    now = datetime.now(UTC)
    circumstances = results.Circumstances(f"{now:%Y-%m-%d}", hardware(), versions(), load(), quick, how)
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=_WIDTH)
    with errors_shown(), BuildReport() as report:
        sections = []
        for measure in measurements.values():
            found = measure(report.step)
            for section in found if isinstance(found, list) else [found]:
                sections.append(section)
                for table in section.tables:
                    console.print(table.rich())
                for figure in section.figures:
                    typer.echo(figure.json())
        if out is not None:
            results.write(out, sections, circumstances)
            report.step(f"wrote {out}")
    return [figure for section in sections for figure in section.figures]


if __name__ == "__main__":
    app()
