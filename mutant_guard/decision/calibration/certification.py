"""Certificates of a false-alarm rate that holds, with stated confidence, for the served verdict."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import ceil, expm1, floor, log1p, log10
from typing import TypeVar

from mutant_guard.decision.calibration.intervals import binomial_cdf

T = TypeVar("T")

# Tolerance so that a probability that is met exactly is not missed by the last bit of a float sum.
_ROUNDING = 1e-9


class CalibrationError(ValueError):
    """Error for clean images that do not allow a policy with the requested properties."""


@dataclass(frozen=True)
class Certificate:
    """Certificate of a false-alarm rate of at most ``max_false_alarm``.

    It holds with ``confidence`` over the draw of the images. The guarantee is conditional on the
    calibration that was made (not only on average over calibrations): this number of alarms on this
    number of images has an upper Clopper–Pearson bound of at most ``max_false_alarm``. It holds for
    images that are drawn like these, rightly classified and in random orders of the pool, and for
    the test as served, sequential or not. Label change counts are discrete, so the rate is at most
    the requested one, not equal to it.

    Attributes:
        max_false_alarm: requested rate.
        confidence: one-sided level.
        images: number of rightly classified images that alarms were counted on.
        alarms: number of alarms among these images.
        allowed: most alarms that give the guarantee.
    """

    max_false_alarm: float
    confidence: float
    images: int
    alarms: int
    allowed: int


def images_needed(max_false_alarm: float, confidence: float) -> int:
    """Return the least number of images on which no alarm at all certifies a rate.

    It is 59 for 5 % and 299 for 1 % at 95 % confidence.
    """
    return ceil(log1p(-confidence) / log1p(-max_false_alarm) - _ROUNDING)


def certifiable_rate(images: int, confidence: float) -> float:
    """Return the lowest rate that no alarm on so many images certifies, rounded up to two digits.

    It is 5 % for 59 images and 16 % for 18 at 95 % confidence; a rate of 1, which says nothing,
    where there are no images.
    """
    if images == 0:
        return 1.0
    exact = -expm1(log1p(-confidence) / images)
    digits = 1 - floor(log10(exact))
    rounded = ceil(exact * 10**digits - _ROUNDING) / 10**digits
    return rounded if rounded < 1 else exact


def allowed_alarms(images: int, max_false_alarm: float, confidence: float) -> int:
    """Return the most alarms that certify a rate.

    Their one-sided upper Clopper–Pearson bound is at most ``max_false_alarm``; −1 where no number
    of alarms has such a bound.
    """
    alarms = -1
    while binomial_cdf(alarms + 1, images, max_false_alarm) <= 1 - confidence + _ROUNDING:
        alarms += 1
    return alarms


def check_images(images: int, max_false_alarm: float, confidence: float) -> None:
    """Refuse to certify on too few images.

    Raises:
        CalibrationError: fewer images than ``images_needed``.
    """
    needed = images_needed(max_false_alarm, confidence)
    if images < needed:
        raise CalibrationError(
            f"a false-alarm rate of {max_false_alarm:g} with {confidence:.0%} confidence needs at least {needed} "
            f"correctly classified images to certify it on, there are {images}; give more, or raise --max-false-alarm"
            + (f" (to {certifiable_rate(images, confidence):g} for these)" if images else "")
        )


def certify(
    candidates: Iterable[T],
    alarms: Callable[[T], int],
    images: int,
    max_false_alarm: float,
    confidence: float,
) -> tuple[T, Certificate]:
    """Find the most sensitive candidate that keeps the rate, by fixed-sequence testing.

    Candidates are tested in an order that does not depend on the images, until one fails; the last
    one before it is certified. No correction for their number is needed, since a candidate is
    tested only if all before it passed (Maurer, Hothorn and Lehmacher 1995; Angelopoulos et al.,
    Learn then Test, 2021).

    Args:
        candidates: tests from the least to the most sensitive, fixed before the images were seen.
        alarms: function that counts the images that raise an alarm under a candidate.
        images: number of images, drawn independently of each other and of the candidates.
        max_false_alarm: the rate to certify.
        confidence: one-sided level.

    Returns:
        The candidate and its certificate.

    Raises:
        CalibrationError: too few images, or not even the first candidate passes.
    """
    check_images(images, max_false_alarm, confidence)
    allowed = allowed_alarms(images, max_false_alarm, confidence)
    passed: tuple[T, int] | None = None
    for candidate in candidates:
        found = alarms(candidate)
        if found > allowed:
            break
        passed = candidate, found
    if passed is None:
        raise CalibrationError(
            f"labels of normal images change too often for a false-alarm rate of {max_false_alarm:g}: more than "
            f"{allowed} of {images} change under nearly all mutants; lower --rate or raise --max-false-alarm"
        )
    return passed[0], Certificate(max_false_alarm, confidence, images, passed[1], allowed)
