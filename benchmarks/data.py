"""Where the images are that are measured on."""

import os
from pathlib import Path


def data_folder() -> Path:
    """The folder with ``mnist`` and ``cifar10``, unless told otherwise."""
    return Path(os.environ.get("GUARD_DATA_DIR") or "../shared/data")
