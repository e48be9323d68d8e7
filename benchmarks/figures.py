"""Measured figures, each with the target it is held to, if any."""

import json
from dataclasses import dataclass

_SYMBOLS = {"x": "×", "%": " %", "ms": " ms", "s": " s", "MB": " MB", "GFLOP/s": " GFLOP/s", "": ""}


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes:
        name: name of the figure, in lower case with underscores.
        value: the number, in ``unit``.
        unit: ``x`` (times), ``%``, ``ms``, ``s``, ``MB``, ``GFLOP/s``, or empty for a count.
        target: number to reach, or None where the figure is only reported.
        at_most: whether the value should stay at or below the target, instead of at or above.
    """

    name: str
    value: float
    unit: str
    target: float | None = None
    at_most: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target."""
        if self.target is None:
            return None
        return self.value <= self.target if self.at_most else self.value >= self.target

    @property
    def shown(self) -> str:
        """The number with its unit."""
        return quantity(self.value, self.unit)

    @property
    def goal(self) -> str:
        """Target with its direction; empty without a target."""
        if self.target is None:
            return ""
        return f"{'≤' if self.at_most else '≥'} {quantity(self.target, self.unit)}"

    @property
    def verdict(self) -> str:
        """``met``, ``missed``, or empty without a target."""
        return {True: "met", False: "missed", None: ""}[self.met]

    def json(self) -> str:
        """Return the figure as one line of JSON."""
        entry = {
            "figure": self.name,
            "value": float(f"{self.value:.4g}"),
            "unit": self.unit,
            "target": self.target,
            "met": self.met,
        }
        return json.dumps(entry, ensure_ascii=False)


def quantity(value: float, unit: str) -> str:
    """Return a number of three significant digits with its unit."""
    digits = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{digits}{_SYMBOLS[unit]}"


def megabytes(size: int) -> str:
    """Return bytes as a number of MB, without the unit."""
    return quantity(size / 1e6, "")


def milliseconds(seconds: float) -> str:
    """Return seconds as a number of milliseconds, without the unit."""
    return quantity(1000 * seconds, "")
