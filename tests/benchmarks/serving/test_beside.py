"""The server beside that of other sources, in seconds."""

from pathlib import Path

import pytest

from benchmarks.serving import beside
from benchmarks.subjects import ServedStore

pytestmark = pytest.mark.timing


def test_the_same_sources_are_about_as_fast(subject: ServedStore) -> None:
    section = beside.measure(subject, Path(__file__).parents[3], True, lambda _: None)
    found = {figure.name.removeprefix("beside_digits_"): figure.value for figure in section.figures}
    assert found.keys() == {"guarded", "guard_off", "one_client"}
    assert all(0.2 < ratio < 5 for ratio in found.values())


def test_the_sources_asked_for_are_those_that_run(subject: ServedStore, tmp_path: Path) -> None:
    package = tmp_path / "service"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit(7)")
    with pytest.raises(RuntimeError, match="7"), beside.of_sources(subject, tmp_path):
        pass
