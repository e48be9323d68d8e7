"""How long a graph takes by the rows of a run, from the runs there were. Light: the server imports it."""

_LATEST = 0.3
"""Weight of the latest run: one that the machine held up must not count for long, nor a first one."""


class Pace:
    """Seconds of a run by its number of rows, kept by powers of two: a row costs less where there are more."""

    def __init__(self) -> None:
        self._a_row = [0.0] * 64

    def took(self, rows: int, seconds: float) -> None:
        """Take note of a run of at least one row."""
        size, each = rows.bit_length(), seconds / rows
        known = self._a_row[size]
        self._a_row[size] = known + _LATEST * (each - known) if known else each

    def seconds(self, rows: int) -> float:
        """What a run of so many rows takes; by the next smaller size known, 0 where there is none."""
        for size in range(rows.bit_length(), 0, -1):
            if self._a_row[size]:
                return self._a_row[size] * rows
        return 0.0
