"""The whole application under hostile requests: documented answers, within its limits.

``make fuzz`` does the same for longer, guided by the code that each request reaches.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fuzz.application import Application
from benchmarks.fuzz.asks import Route, drawing, first
from mutant_store.loading.input_spec import InputOptions
from tests.support.demo import build_digits_store

MAX_PIXELS, MAX_BODY_BYTES = 1 << 20, 1 << 20
MAX_MEMORY = 64 * MAX_PIXELS + 8 * MAX_BODY_BYTES
SEEDS = first()


@pytest.fixture(scope="module")
def application(
    digits_store: Path, digits_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Application]:
    """Yield an application with a store for images of one size and one for any size."""
    other = tmp_path_factory.mktemp("stores") / "bilinear"
    build_digits_store(digits_model, other, input=InputOptions(resize="bilinear"))
    structlog.configure(processors=[], logger_factory=structlog.ReturnLoggerFactory())
    stores = [digits_store, other]
    with Application(stores, max_pixels=MAX_PIXELS, max_body_bytes=MAX_BODY_BYTES) as application:
        yield application
    structlog.reset_defaults()


@pytest.mark.parametrize("route", Route)
def test_every_kind_of_image_is_taken_in_every_way(route: Route, application: Application) -> None:
    asked = [ask.request(application.stores) for ask in SEEDS if ask.route == route]
    outcomes = [application.ask(request) for request in asked]
    assert not [outcome.fault for outcome in outcomes if outcome.fault]
    taken = sum(outcome.status == 200 for outcome in outcomes)
    assert taken > len(outcomes) / 2  # all but those of another size, with transparent pixels or with frames
    assert {outcome.status for outcome in outcomes} <= {200, 422}


@given(st.integers(0, 1 << 32), st.integers(1, 4))
@settings(max_examples=500, deadline=None, derandomize=True)
@pytest.mark.filterwarnings("ignore")  # Pillow warns of damage that it skips
def test_no_request_is_answered_with_what_is_not_documented(
    application: Application, seed: int, changes: int
) -> None:
    random = drawing(seed)
    ask = random.choice(SEEDS)
    for _ in range(changes):
        ask = ask.mutated(random)
    outcome = application.ask(ask.request(application.stores))
    assert outcome.fault == ""
    assert outcome.status >= 200
    assert outcome.pixels <= MAX_PIXELS
    assert outcome.memory <= MAX_MEMORY
