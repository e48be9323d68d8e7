"""Service whose answers a function gives."""

from collections.abc import Callable, Sequence

from evaluation.queries.services.response import Pixels, Query, Response


class Scripted:
    """Service that answers by a function of an image, and keeps what it was sent."""

    def __init__(self, answer: Callable[[Pixels], Response]) -> None:
        self._answer = answer
        self.images: list[Pixels] = []
        self.queries: list[Query] = []
        self.forgotten = 0

    def ask(self, images: Pixels, queries: Sequence[Query]) -> list[Response]:
        assert len(images) == len(queries)
        self.images += list(images)
        self.queries += queries
        return [self._answer(image) for image in images]

    def forget(self) -> None:
        self.forgotten += 1
