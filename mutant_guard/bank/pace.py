"""Time that a graph takes by the number of rows of a run, from earlier runs.

Its imports are light: the server loads it.
"""

_LATEST = 0.3
"""Weight of the latest run.

It is low, so that a first run, or one that the machine held up, does not count for long.
"""


class Pace:
    """Seconds of a run by its number of rows.

    They are kept by powers of two: a row costs less where there are more rows.
    """

    def __init__(self) -> None:
        self._a_row = [0.0] * 64

    def took(self, rows: int, seconds: float) -> None:
        """Record the seconds of a run of at least one row."""
        size, each = rows.bit_length(), seconds / rows
        known = self._a_row[size]
        self._a_row[size] = known + _LATEST * (each - known) if known else each

    def seconds(self, rows: int) -> float:
        """Estimate the seconds of a run of this many rows.

        The estimate uses the next smaller size that is known; it is 0 where there is none.
        """
        for size in range(rows.bit_length(), 0, -1):
            if self._a_row[size]:
                return self._a_row[size] * rows
        return 0.0
