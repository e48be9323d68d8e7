"""Images made to take long: the benchmark sends them and holds the server to its targets."""

from pathlib import Path

import pytest
import structlog

from benchmarks.fuzz import blast
from tests.support.service import digits, encode, png_of_size


def test_every_one_is_sent_and_shown(demo_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = {"small: digit": encode(digits(1)[0]), "large": png_of_size(70_000, 1), "padded": bytes(5000)}
    monkeypatch.setattr(
        blast, "bombs", lambda: ((name, lambda body=body: body) for name, body in bodies.items())
    )
    section = blast.measure(demo_store)
    structlog.reset_defaults()
    rows = section.tables[0].rows
    assert [row[0] for row in rows] == list(bodies)
    assert [row[1] for row in rows] == [f"{len(body):,}" for body in bodies.values()]
    assert [row[2] for row in rows] == ["200", "422", "422"]
    figures = {figure.name: figure for figure in section.figures}
    assert figures["bombs"].value == 3
    assert figures["bomb_faults"].value == 0
    assert 0 < figures["bomb_small_held"].value <= figures["bomb_held"].value
    assert figures["bomb_took"].value > 0
