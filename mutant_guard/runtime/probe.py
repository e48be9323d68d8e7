"""Self-test of a loaded store version, before it answers anybody."""

import io
import time
from math import inf

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from mutant_guard.errors import StoreError
from mutant_guard.runtime.answer import Answer, Timings
from mutant_guard.runtime.model import Model
from mutant_guard.runtime.prepared import Prepared, prepare
from mutant_guard.runtime.scheduling.batches import Batches
from mutant_guard.runtime.scheduling.outcome import Outcome, Request

_MOST_MUTANTS = 32
"""Most mutants that each image meets in its test; all of them run once besides."""


def probe(model: Model) -> None:
    """Send a few images the whole way of a request's image, and run every mutant once.

    There is a black image, a white one and noise. Any verdict is right: these are images of no
    class, and a classifier may have no finite scores for an image of one colour.

    Raises:
        Exception: whatever requests would fail with.
    """
    spec, pool = model.store.manifest.input, model.store.manifest.mutants
    shape = (spec.height, spec.width, spec.channels)
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    black, white = np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)
    images = [prepare(_png(pixels), model, spec.height * spec.width) for pixels in (noise, black, white)]
    everyone = np.arange(pool + 1)
    model.session.labels(images[0].inputs, everyone, rows=model.profile.budget.most)
    if model.proof is not None:
        model.proof.radius(images[0].pixels, 0)
    policy = model.policy
    batches = Batches(model.session, policy.up_to(min(policy.mutants, _MOST_MUTANTS)), model.profile.budget)
    for together in (images[:1], images):
        for prepared, outcome in zip(together, _outcomes(batches, together, pool), strict=True):
            _give(_answer(model, prepared, outcome))


def _png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(
        file, "PNG", compress_level=0
    )
    return file.getvalue()


def _outcomes(batches: Batches, images: list[Prepared], pool: int) -> list[Outcome]:
    now = time.perf_counter()
    requests = [Request(image.inputs, image.order, deadline=inf, submitted=now) for image in images]
    for _ in range(len(requests) * (pool + 1)):
        going = [request for request in requests if not request.ended]
        if not going:
            return [request.future.result() for request in requests]
        batches.run(*batches.plan(going))
    raise StoreError("the test never ends")


def _answer(model: Model, prepared: Prepared, outcome: Outcome) -> Answer:
    return Answer(
        model=model,
        judgement=model.judgement(outcome, prepared.order),
        adversarial=True,  # suggestions are part of alarms alone
        guarded=True,
        cached=False,
        timings=Timings(prepared.seconds),
        body_sha256=prepared.body_sha256,
        pixels_key=prepared.key,
        pixels=prepared.pixels,
    )


def _give(answer: Answer) -> None:
    """Compute and write down everything that an answer says."""
    answer.judgement.model_dump_json()
    answer.explain().model_dump_json()
    said = (answer.confidence, answer.doubt, answer.decided_by)
    repr((*said, answer.suggested_class_name, answer.suggested_share))
