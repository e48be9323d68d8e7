"""Threads that tell how work was shared out."""

from collections.abc import Callable, Sequence

from mutant_guard.bank.workers import Workers


class CountedWorkers(Workers):
    """Workers that remember among how many threads each shared piece of work went."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.shared: list[int] = []

    def run(self, parts: Sequence[Callable[[], None]]) -> None:
        self.shared.append(len(parts))
        super().run(parts)
