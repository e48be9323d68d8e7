"""``python -m benchmarks.alternatives sessions|eager``: a store served without this project.

The server is what people would write by hand.
"""

from collections.abc import Sequence
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
import uvicorn
from fastapi import FastAPI, Request
from PIL import Image

from benchmarks.alternatives.one_by_one import OneByOne
from evaluation.server import ORDER_KEY
from mutant_guard.images.decoding import at_sizes
from mutant_guard.runtime.order import Order
from mutant_guard.store.manifest import InputSpec
from mutant_guard.store.reader import load_store


class Kind(StrEnum):
    """Ways to evaluate mutants."""

    SESSIONS = "sessions"
    EAGER = "eager"


def create_app(judge: OneByOne, inputs: Sequence[InputSpec]) -> FastAPI:
    """Build an application whose one endpoint judges images, one at a time.

    It judges on the event loop: a thread gains nothing and costs a change of threads a request.

    Args:
        judge: the test.
        inputs: inputs of the networks; images are of their size where that is exact.
    """
    app = FastAPI()
    channels = inputs[0].channels
    exact = all(spec.resize == "exact" for spec in inputs)

    @app.post("/classify")
    async def classify(request: Request) -> dict[str, object]:
        image = Image.open(BytesIO(await request.body()))
        if exact:
            pixels = np.asarray(image)
            found = judge.judge(pixels.reshape(*pixels.shape[:2], channels))
        else:
            found = judge.judge(*at_sizes(image.convert("RGB"), inputs))
        return {"label": found.label, "verdict": found.verdict.value, "mutants": found.mutants}

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        return {"status": "ready"}

    return app


def main(
    kind: Kind,
    store: Annotated[Path, typer.Option(help="Directory of the store.")],
    policy: Annotated[str, typer.Option(help="Policy of the verdict.")],
    port: Annotated[int, typer.Option(help="TCP port to listen on.")],
    weights: Annotated[
        Path, typer.Option(help="Torch weights the store's original was exported from, for eager.")
    ],
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of a mutant.")] = 1,
) -> None:
    """Serve a store until stopped."""
    opened = load_store(store)
    if kind == Kind.SESSIONS:
        from benchmarks.alternatives.sessions import one_session_each

        scores = one_session_each(opened, threads)
    else:
        from benchmarks.alternatives.modules import one_module_each

        scores = one_module_each(opened, weights, threads)
    manifest = opened.manifest
    order = Order(ORDER_KEY.encode(), pool=manifest.mutants, decks=manifest.decks)
    judge = OneByOne(opened.policy(policy), order, manifest, scores)
    judge.judge(*(np.zeros((spec.height, spec.width, spec.channels), np.uint8) for spec in manifest.inputs))
    uvicorn.run(create_app(judge, manifest.inputs), port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    typer.run(main)
