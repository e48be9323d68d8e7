"""Threads within layers: taken where a measurement says so, and idle between runs."""

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from mutant_guard.bank import layer_threads
from mutant_guard.bank.layer_threads import SLOW, open_measured
from mutant_guard.bank.session import CUDA, IMAGES, open_session, run_session
from mutant_guard.bank.workers import Workers
from mutant_store.graph.classifier import load_classifier
from tests.support.networks import convolutional, export, randomised

THREADS = 3


class FakeSession:
    """Session whose runs take a time, and wait for each other if told to."""

    def __init__(self, seconds: float, *, one_at_a_time: bool, provider: str, shape: list[Any]) -> None:
        self._seconds, self._provider, self._shape = seconds, provider, shape
        self._lock = threading.Lock() if one_at_a_time else None
        self.fed: list[dict[str, NDArray[Any]]] = []

    def get_providers(self) -> list[str]:
        return [self._provider]

    def get_inputs(self) -> list[SimpleNamespace]:
        number = SimpleNamespace(name="mutant_index", type="tensor(int64)", shape=["rows"])
        return [SimpleNamespace(name="features", type="tensor(float)", shape=self._shape), number]

    def run(self, _: None, feed: dict[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        self.fed.append(feed)
        if self._lock is None:
            time.sleep(self._seconds)
        else:
            with self._lock:
                time.sleep(self._seconds)
        return []


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers(THREADS)
    yield made
    made.close()


def opening(
    narrow: float,
    wide: float,
    *,
    waits: bool = False,
    provider: str = "CPUExecutionProvider",
    shape: list[Any] | None = None,
) -> tuple[Callable[[int], onnxruntime.InferenceSession], dict[int, FakeSession]]:
    opened: dict[int, FakeSession] = {}

    def open_with(threads: int) -> onnxruntime.InferenceSession:
        opened[threads] = FakeSession(
            narrow if threads == 1 else wide,
            one_at_a_time=waits and threads > 1,
            provider=provider,
            shape=shape or ["images", 4, 2],
        )
        return cast("onnxruntime.InferenceSession", opened[threads])

    return open_with, opened


@pytest.mark.parametrize(
    ("narrow", "wide", "waits", "threads"),
    [
        (4 * SLOW, SLOW, False, THREADS),
        (4 * SLOW, 4 * SLOW, False, 1),  # no gain
        (4 * SLOW, 3 * SLOW, True, 1),  # rows side by side would wait for each other
    ],
)
def test_a_slow_graph_takes_threads_where_a_lone_row_gains_and_many_do_not_lose(
    narrow: float, wide: float, waits: bool, threads: int, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_threads, "_LONGEST", 0.0)
    open_with, opened = opening(narrow, wide, waits=waits)
    session, found = open_measured(open_with, workers)
    assert found == threads
    assert session is cast("Any", opened[threads])
    fed = opened[1].fed[0]
    assert (fed["features"].shape, fed["mutant_index"].shape) == ((1, 4, 2), (1,))
    assert [fed[name].dtype.name for name in ("features", "mutant_index")] == ["float32", "int64"]


def test_nothing_else_is_tried(workers: Workers) -> None:
    """A fast graph, one that runs on a GPU, one of open size, and one that nobody waits for alone."""
    one = Workers(1)
    for way, given in (
        ({"narrow": 0.0}, workers),
        ({"narrow": 1.0, "provider": CUDA}, workers),
        ({"narrow": 1.0, "shape": ["images", "height", 2]}, workers),
        ({"narrow": 1.0}, one),
        ({"narrow": 1.0}, None),
    ):
        open_with, opened = opening(**{"wide": 0.0, **way})  # type: ignore[arg-type]
        assert open_measured(open_with, given)[1] == 1
        assert list(opened) == [1]
    one.close()


def test_threads_within_layers_change_no_score_and_rest_between_runs(tmp_path: Any) -> None:
    path = export(randomised(convolutional(3, 32, (16, 32), 5), seed=1), (3, 32, 32), tmp_path / "model.onnx")
    model = load_classifier(path).model.SerializeToString()
    images = np.random.default_rng(0).standard_normal((4, 3, 32, 32)).astype(np.float32)
    sessions = [open_session(model, threads=threads) for threads in (1, 2)]
    one, two = (run_session(session, IMAGES, images)[0] for session in sessions)
    assert np.array_equal(one, two)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.1
