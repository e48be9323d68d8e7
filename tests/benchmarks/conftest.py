"""Networks and pools for measuring, made once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.bank.networks import Network, load_network
from benchmarks.bank.pools import Pool, draw_pool
from benchmarks.subjects import ServedStore
from mutant_store.threads import one_thread


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Run torch on one thread.

    Benchmarks set torch's threads; on networks this small, waiting threads take the longest.
    """
    with one_thread():
        yield


@pytest.fixture(scope="session")
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder without weights."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def subject(demo_store: Path) -> ServedStore:
    """Return the store of 60 NAI mutants, with digits."""
    return ServedStore.of(demo_store, Path())


@pytest.fixture(scope="session")
def untrained(nowhere: Path) -> Network:
    """Return ResNet-20, which has batch normalisation, without its weights."""
    return load_network("resnet20", nowhere)


@pytest.fixture(scope="session", params=["nai", "ns", "gf", "ws"])
def pool(request: pytest.FixtureRequest, untrained: Network) -> Pool:
    """Return six mutants of the untrained network."""
    return draw_pool(untrained, request.param, 6)
