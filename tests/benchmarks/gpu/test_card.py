"""Names of GPUs, as the driver gives them."""

import ctypes

import pytest

from benchmarks.gpu.card import cards


class Driver:
    """A driver of some cards, as ctypes shows its library."""

    def __init__(self, names: list[bytes], status: int = 0) -> None:
        self._names, self._status = names, status

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return self._status

    def cuDeviceGetCount(self, count: object) -> int:  # noqa: N802
        count._obj.value = len(self._names)  # type: ignore[attr-defined]
        return 0

    def cuDeviceGetName(self, text: object, length: int, number: int) -> int:  # noqa: N802
        name = self._names[number]
        text.value = name  # type: ignore[attr-defined]
        return 0 if name else 1


@pytest.mark.parametrize(
    ("driver", "named"),
    [
        (Driver([b"NVIDIA H200", b"NVIDIA L4"]), ["NVIDIA H200", "NVIDIA L4"]),
        (Driver([b""]), ["unnamed NVIDIA GPU"]),
        (Driver([]), []),
        (Driver([b"NVIDIA H200"], status=100), []),
    ],
)
def test_cards_are_named_by_the_driver(
    driver: Driver, named: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)
    assert cards() == named


def test_without_a_driver_there_is_no_card() -> None:
    assert cards("libno-such-driver.so.1") == []
