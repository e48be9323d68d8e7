"""Folder of the images that are measured on."""

import os
from pathlib import Path


def data_folder() -> Path:
    """Return the folder with ``mnist`` and ``cifar10``.

    It is ``$GUARD_DATA_DIR``, else ``../shared/data``.
    """
    return Path(os.environ.get("GUARD_DATA_DIR") or "../shared/data")
