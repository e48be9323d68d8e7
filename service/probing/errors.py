"""Refusal of a query that belongs to an attack in the making."""

from math import ceil

from mutant_guard.errors import RequestError


class ProbingError(RequestError):
    """Error for a query that has too many near relatives.

    Attributes:
        retry_after: seconds after which the queries before it are forgotten.
    """

    code = "probing"

    def __init__(self, seconds: float) -> None:
        """Make the error.

        Args:
            seconds: time that a query is remembered, in seconds.
        """
        super().__init__(
            "too many images that hardly differ from this one were asked for; send others, or ask the server's operator"
        )
        self.retry_after = ceil(seconds)
