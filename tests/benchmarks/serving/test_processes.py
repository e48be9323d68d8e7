"""A server of several processes beside one of a single process, in seconds."""

import pytest

from benchmarks.serving import processes
from benchmarks.subjects import ServedStore

pytestmark = pytest.mark.timing


def test_both_are_measured_and_so_is_what_the_client_takes(subject: ServedStore) -> None:
    section = processes.measure(subject, 2, True, lambda _: None)
    (figure,) = section.figures
    assert figure.name == "processes_digits_2_to_1"
    assert 0.2 < figure.value < 5
    (table,) = section.tables
    assert [row[0] for row in table.rows] == ["1", "2"]
    for row in table.rows:
        assert all(float(cell.split()[0].replace(",", "")) > 0 for cell in row[1:])
