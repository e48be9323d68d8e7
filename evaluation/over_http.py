"""``python -m evaluation.over_http``: answers of the shipped service to clean images.

It starts the real server for every policy, posts images as PNG over sockets, and counts. Nothing of
the decision is computed here.
"""

import asyncio
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from evaluation.png import encode_png
from evaluation.server import ORDER_KEY, served
from mutant_guard.decision.calibration.intervals import Interval, clopper_pearson
from mutant_guard.decision.evidence.label_change import MeanRate, label_change_rate, mean_rate
from mutant_guard.errors import DataError
from mutant_guard.store.atomic import write_atomically
from mutant_guard.store.reader import Store, load_store
from mutant_guard.store.resizing import ResizeRule
from mutant_store.cli.console import errors_shown
from mutant_store.datasets import ImageData, load, parse


@dataclass(frozen=True)
class PolicyResult:
    """Counts over all images posted under one policy.

    Attributes:
        policy: name of the policy.
        accuracy: share of labels that are the true ones.
        false_alarms: share of alarms among rightly classified images.
        alarms: share of alarms among all images.
        undecided: share of undecided verdicts among all images.
        mean_mutants: mean mutants of a verdict.
        median_ms: median time in the server, in milliseconds, with ``concurrency`` requests in
            flight.
    """

    policy: str
    accuracy: Interval
    false_alarms: Interval
    alarms: Interval
    undecided: Interval
    mean_mutants: float
    median_ms: float


async def post_all(url: str, bodies: list[bytes], concurrency: int) -> list[dict[str, Any]]:
    """Post every body to /classify, at most ``concurrency`` at a time; return the answers in order.

    Raises:
        httpx.HTTPStatusError: the server gives an answer other than 200.
    """
    gate = asyncio.Semaphore(concurrency)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("posting", total=len(bodies))
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:

            async def post(body: bytes) -> dict[str, Any]:
                async with gate:
                    answer = await client.post(
                        "/classify", content=body, headers={"content-type": "image/png"}
                    )
                progress.advance(task)
                found: dict[str, Any] = answer.raise_for_status().json()
                return found

            return await asyncio.gather(*(post(body) for body in bodies))


def counted(
    policy: str, answers: list[dict[str, Any]], labels: np.ndarray[Any, np.dtype[np.int64]]
) -> PolicyResult:
    """Return rates over the answers, with exact 95 % intervals."""
    right = np.array([answer["label"] for answer in answers]) == labels
    alarms = np.array([answer["adversarial"] for answer in answers])
    undecided = np.array([answer["verdict"] == "undecided" for answer in answers])

    def interval(hits: np.ndarray[Any, np.dtype[np.bool_]]) -> Interval:
        return clopper_pearson(int(hits.sum()), len(hits))

    return PolicyResult(
        policy,
        interval(right),
        interval(alarms[right]),
        interval(alarms),
        interval(undecided),
        float(np.mean([answer["mutants"] for answer in answers])),
        float(np.median([answer["elapsed_ms"] for answer in answers])),
    )


def full_pool_rate(store: Store, data: ImageData) -> MeanRate:
    """Return the mean label change rate of rightly classified images over every mutant.

    It comes with its 99 % interval.
    """
    labels = store.session().labels(
        store.manifest.input.tensor(data.images), np.arange(store.manifest.mutants + 1)
    )
    right = labels[:, 0] == data.labels
    return mean_rate(label_change_rate(labels[right, 1:] != labels[right, :1]))


def main(
    store: Annotated[Path, typer.Option(help="Directory of the store.")],
    data: Annotated[str, typer.Option(help="SPEC of labelled clean images, for example mnist@test[0:1000].")],
    policy: Annotated[
        list[str] | None, typer.Option(help="Policies to measure. Default: all of the store.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Requests in flight.")] = 16,
    out: Annotated[
        Path | None, typer.Option(help="Where to write the figures as JSON. Default: nowhere.")
    ] = None,
) -> None:
    """Serve a store, post images over HTTP, and report what every policy answered."""
    with errors_shown():
        opened = load_store(store)
        spec = opened.manifest.input
        if ResizeRule.parse(spec.resize).kind == "crop":
            raise DataError(
                f"{store} resizes and crops every file ({spec.resize}), also one of the model's size, so images of "
                "that size would be judged otherwise than calibrated; post the photographs themselves"
            )
        images = load(data, shape=(spec.height, spec.width, spec.channels), resize=spec.resize)
    bodies = [encode_png(pixels) for pixels in images.images]
    results = []
    for name in policy or sorted(opened.calibration.policies):
        with served(store, policy=name, cache_seconds="0", order_key=ORDER_KEY) as url:
            results.append(counted(name, asyncio.run(post_all(url, bodies, concurrency)), images.labels))
    rate = full_pool_rate(opened, images)
    console = Console()
    console.print(
        f"{opened.name} version {opened.version}, {len(images)} images of {data}, {concurrency} in flight"
    )
    console.print(
        f"label change rate over all {opened.manifest.mutants} mutants: {rate.mean:.2%} ± {rate.half_width:.2%}"
    )
    console.print(_table(results))
    if out is not None:
        figures = {
            "store": opened.name,
            "version": opened.version,
            "operator": opened.manifest.operator,
            "rate": opened.manifest.rate,
            "data": str(parse(data).portable()),
            "label_change_rate": asdict(rate),
            "policies": [asdict(result) for result in results],
        }
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, json.dumps(figures, indent=1).encode() + b"\n")
        console.print(f"wrote {out}")


def _table(results: list[PolicyResult]) -> Table:
    table = Table(title="over HTTP, with 95 % intervals", show_lines=True, title_justify="left")
    table.add_column("policy", no_wrap=True)
    for column in ("label accuracy", "false alarms", "alarms, all", "undecided", "mutants", "ms"):
        table.add_column(column)
    for result in results:
        rates = (result.accuracy, result.false_alarms, result.alarms, result.undecided)
        cells = [f"{value.rate:.1%}\n{100 * value.low:.1f}–{100 * value.high:.1f}" for value in rates]
        table.add_row(result.policy, *cells, f"{result.mean_mutants:.1f}", f"{result.median_ms:.1f}")
    return table


if __name__ == "__main__":
    typer.run(main)
