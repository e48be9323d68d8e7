"""Actor between the tasks of a training and the machine that gave them.

Its imports are light: its process has them all.
"""

Files = dict[str, bytes]
"""Contents of files by name."""


class Board:
    """Keeper of what tasks tell until it is taken, and of the newest checkpoint of each number.

    Messages are pickled, so that this process need not know of them.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._told: list[tuple[bytes, Files]] = []
        self._files: dict[int, Files] = {}

    def keep(self, number: int, files: Files) -> None:
        """Keep the files that the task of a number begins with."""
        self._files[number] = files

    def files(self, number: int) -> Files:
        """Return the files that the task of a number begins with, or goes on with."""
        return self._files[number]

    def tell(self, number: int, message: bytes, files: Files) -> None:
        """Take a message and the checkpoint that it is about."""
        self._files[number] = files
        self._told.append((message, files))

    def take(self) -> list[tuple[bytes, Files]]:
        """Return what was told since the last time."""
        told, self._told = self._told, []
        return told
