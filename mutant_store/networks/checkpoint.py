"""State of a training run after an epoch, from which a killed run goes on."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mutant_guard.store.atomic import write_atomically


@dataclass(frozen=True)
class Checkpoint:
    """State that the next epoch depends on.

    Attributes:
        settings: everything that the run's result depends on, as plain values; a run with others
            cannot go on from here.
        epochs: number of epochs finished.
        model: state_dict of the network.
        optimizer: state_dict of the optimizer.
    """

    settings: dict[str, Any]
    epochs: int
    model: dict[str, Any]
    optimizer: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write the checkpoint in place of an older one.

        Raises:
            OSError: the file cannot be written.
        """
        content = io.BytesIO()
        torch.save(vars(self), content)
        write_atomically(path, content.getvalue())


def load(path: Path, settings: dict[str, Any]) -> tuple[Checkpoint | None, str]:
    """Read a checkpoint of a run with the same settings.

    Only tensors and plain values are unpickled, so that a file from elsewhere cannot run code.

    Returns:
        The checkpoint and an empty text, or None and why there is none to use (empty if there is no
            file).
    """
    if not path.exists():
        return None, ""
    try:
        checkpoint = Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
    except MemoryError:
        raise
    except Exception:  # torch's unpickler raises anything on bytes that it did not write
        return None, f"{path} is damaged"
    if changed := [name for name in settings if checkpoint.settings.get(name) != settings[name]]:
        return None, f"{path} was made with another {', '.join(changed)}"
    return checkpoint, ""
