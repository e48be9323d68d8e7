"""Hostile clients of a real server on digits, in seconds: others are answered meanwhile."""

from pathlib import Path

import pytest

from benchmarks.serving import hostile_clients
from benchmarks.serving.hostile_clients import ATTACKS, Attack
from benchmarks.subjects import ServedStore

pytestmark = pytest.mark.timing


def test_others_are_answered_and_what_was_done_is_told(
    subject: ServedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hostile_clients, "_SECONDS", 1.5)
    said: list[str] = []
    attacks = (Attack("40 silent connections", 40, ATTACKS[0].send, files=100), ATTACKS[2])
    section = hostile_clients.measure(subject, Path(__file__).parents[3], said.append, attacks=attacks)
    found = {figure.name: figure.value for figure in section.figures}
    assert {name: count for name, count in found.items() if name.endswith("not_answered")} == {
        "hostile_40_silent_connections_not_answered": 0,
        "hostile_64_mib_of_header_lines_not_answered": 0,
    }
    assert all(0 < value < 5000 for name, value in found.items() if name.endswith("slowest"))
    assert [row[:2] for row in section.tables[0].rows] == [
        [attack.name, sources] for attack in attacks for sources in ("now", "beside")
    ]
    assert len(said) == 4
