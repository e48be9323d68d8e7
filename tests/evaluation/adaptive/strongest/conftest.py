"""A digits store with a robust mutant under attack, and a small problem without any store."""

from collections.abc import Iterator

import numpy as np
import pytest

from evaluation.adaptive.strongest.hunt import Hunt
from evaluation.adaptive.strongest.known import KnownGuard
from evaluation.adaptive.strongest.stored_guard import ServedGuard, known_guard, policies_at
from mutant_guard.decision.sequential.policies import Policy
from mutant_guard.store.reader import Store
from mutant_store.datasets import ImageData, load
from mutant_store.threads import one_thread


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="session")
def policies(robust_store: Store) -> dict[str, Policy]:
    """Return the store's policy at two rates of false alarms."""
    return policies_at(robust_store, {"20 %": 0.2, "10 %": 0.1})


@pytest.fixture(scope="session")
def served(robust_store: Store, policies: dict[str, Policy]) -> ServedGuard:
    return ServedGuard(robust_store, policies)


@pytest.fixture(scope="session")
def known(robust_store: Store, policies: dict[str, Policy]) -> KnownGuard:
    return known_guard(robust_store, policies)


@pytest.fixture(scope="session")
def attacked(served: ServedGuard) -> ImageData:
    """Return twelve test images that the original labels rightly."""
    data = load("digits@test").part(0, 40)
    places = np.flatnonzero(served.judge(data.images).labels == data.labels)[:12]
    return ImageData(data.images[places], data.labels[places], data.class_names, data.range)


@pytest.fixture
def hunt(served: ServedGuard, attacked: ImageData) -> Hunt:
    return Hunt(served, attacked.images, attacked.labels)
