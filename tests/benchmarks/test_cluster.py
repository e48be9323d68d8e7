"""The comparison of a cluster's builds with those of processes, over stand-ins for both."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import cluster
from mutant_guard.errors import StoreError
from tests.support.demo import SilentReport


class _Cluster:
    def __init__(self, address: str, report: SilentReport, *, jobs: int) -> None:
        assert (address, jobs) == ("local", 2)

    def __enter__(self) -> "_Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing."""


@pytest.fixture
def builders(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Returns what each build was given as its cluster."""
    found: list[Any] = []

    def build(data: Path, out: Path, quick: bool, say: object, by: object) -> str:
        assert not out.exists()
        found.append(by)
        return "3f9c"

    monkeypatch.setattr(cluster, "RayCluster", _Cluster)
    monkeypatch.setattr(cluster, "_build", build)
    return found


@pytest.mark.parametrize(("quick", "times"), [(True, 1), (False, 3)])
def test_the_two_ways_build_in_turn(quick: bool, times: int, builders: list[Any]) -> None:
    section = cluster.measure(Path("data"), quick, lambda _: None)
    assert [by is not None for by in builders] == [False, True] * times
    ratio, start = section.figures
    assert (ratio.name, ratio.target, ratio.at_most, ratio.unit) == ("ray_build_ratio", 1.15, True, "x")
    assert start.unit == "s"
    assert [row[0] for row in section.tables[0].rows] == ["--jobs 2", "2 workers of Ray"]


def test_other_stores_are_no_comparison(builders: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_build", lambda data, out, quick, say, by: "other" if by else "3f9c")
    with pytest.raises(StoreError, match="other stores, versions 3f9c and other"):
        cluster.measure(Path("data"), True, lambda _: None)
