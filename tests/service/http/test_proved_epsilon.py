"""The radius within which a verdict is proved, in an answer to ``?explain=true``."""

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest
from httpx import AsyncClient
from numpy.typing import NDArray

from mutant_guard.runtime.proof import Proof
from mutant_guard.store.reader import load_store
from service.guard_service import GuardService
from tests.support.service import digits, encode, serving, settings_for

pytestmark = pytest.mark.anyio

IMAGES = digits(30)
FILE = encode(IMAGES[0])


async def test_it_is_there_for_normal_verdicts_of_a_store_with_certified_mutants(
    certified_store: Path,
) -> None:
    store = load_store(certified_store)
    proof = Proof(store, store.policy("calibrated"))
    verdicts = set()
    async with serving(GuardService(settings_for(certified_store, cache_seconds=60))) as client:
        for image in [*IMAGES, IMAGES[0]]:  # the last answer comes from the cache
            answer = (await client.post("/classify?explain=true", content=encode(image))).json()
            told = answer["explanation"]["proved_epsilon"]
            normal = answer["verdict"] == "normal"
            assert told == (proof.radius(image[..., None], answer["label"]) if normal else None)
            verdicts.add(answer["verdict"])
        assert answer["cached"]
        assert "explanation" not in (await client.post("/classify", content=FILE)).json()
    assert verdicts == {"normal", "adversarial"}


async def test_of_a_store_without_certified_mutants_nothing_is_said(client: AsyncClient) -> None:
    answer = (await client.post("/classify?explain=true", content=FILE)).json()
    assert "proved_epsilon" not in answer["explanation"]


@pytest.fixture
def held_proofs(certified_store: Path, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Proofs wait until this is set, but for the self-test of the store, which is left out."""
    let_go = threading.Event()

    def radius(self: Proof, pixels: NDArray[np.uint8], label: int) -> float:
        let_go.wait(10)
        return 0.25

    monkeypatch.setattr(Proof, "radius", radius)
    monkeypatch.setattr("mutant_guard.guard.probe", lambda model: None)
    return let_go


async def test_other_answers_do_not_wait_for_a_proof(
    certified_store: Path, held_proofs: threading.Event
) -> None:
    async with serving(GuardService(settings_for(certified_store, max_in_flight=2))) as client:
        proved = [
            asyncio.ensure_future(client.post("/classify?explain=true", content=FILE)) for _ in range(2)
        ]
        await asyncio.sleep(0.3)
        assert (await client.post("/classify", content=FILE)).json()["verdict"] == "normal"
        refused = await client.post("/classify?explain=true", content=FILE)
        assert refused.status_code == 429
        held_proofs.set()
        for answer in await asyncio.gather(*proved):
            assert answer.json()["explanation"]["proved_epsilon"] == 0.25


async def test_a_proof_ends_with_the_deadline(certified_store: Path, held_proofs: threading.Event) -> None:
    async with serving(GuardService(settings_for(certified_store, deadline_seconds=0.4))) as client:
        late = await client.post("/classify?explain=true", content=FILE)
        held_proofs.set()
    assert late.status_code == 504
