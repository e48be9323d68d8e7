"""Changes to the file of API keys, safe for concurrent commands and running servers.

Concurrent commands lose no change, and servers never see half of the file.
"""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from mutant_guard.store.atomic import SECRET, write_atomically
from service.keys.api_keys import ApiKey, KeyFile, KeyFileError


def add(path: Path, key: ApiKey) -> None:
    """Add a key to a file, which is made where there is none.

    Raises:
        KeyFileError: the file cannot be read or written, is no file of API keys, or holds a key of
            this name.
    """

    def with_it(keys: tuple[ApiKey, ...]) -> tuple[ApiKey, ...]:
        if any(key.name == other.name for other in keys):
            raise KeyFileError(
                f"{path} holds a key named {key.name}; choose another name, or revoke that one first: "
                f"mutant-guard keys revoke {key.name} --file {path}"
            )
        return *keys, key

    _change(path, with_it, missing_is_empty=True)


def remove(path: Path, name: str) -> None:
    """Take a key out of a file.

    Raises:
        KeyFileError: the file cannot be read or written, is no file of API keys, or holds no key of
            this name.
    """

    def without_it(keys: tuple[ApiKey, ...]) -> tuple[ApiKey, ...]:
        left = tuple(key for key in keys if key.name != name)
        if len(left) == len(keys):
            known = ", ".join(key.name for key in keys) or "none"
            raise KeyFileError(f"{path} holds no key named {name}; it holds {known}")
        return left

    _change(path, without_it, missing_is_empty=False)


def _change(
    path: Path, change: Callable[[tuple[ApiKey, ...]], tuple[ApiKey, ...]], *, missing_is_empty: bool
) -> None:
    if not missing_is_empty:
        KeyFile.read(path)  # raises before a lock is left beside a file that is missing
    target = path.resolve()  # a rename onto a link would replace the link by a file
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # The lock is a file of its own: every change replaces the file of keys, so a lock on that
        # would be one on a file that is gone.
        lock = os.open(target.with_name(f".{target.name}.lock"), os.O_WRONLY | os.O_CREAT, SECRET)
        with os.fdopen(lock, "wb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            empty = missing_is_empty and not target.exists()
            file = KeyFile(keys=()) if empty else KeyFile.read(path)
            changed = KeyFile(keys=change(file.keys))
            content = changed.model_dump_json(indent=2, exclude_none=True) + "\n"
            write_atomically(target, content.encode(), mode=SECRET)
    except OSError as error:
        raise KeyFileError(
            f"{path} cannot be written ({error.strerror}); run this as the user who keeps the API keys"
        ) from error
