"""Folder in the staging directory that a training's processes share."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import nn

from mutant_guard.store.atomic import write_atomically
from mutant_store.retraining.job import keep
from mutant_store.versions import built_with


def prepare_folder(
    staged: Path,
    kind: str,
    facts: Mapping[str, Any],
    contents: Mapping[str, bytes],
    arrays: Mapping[str, Callable[[], NDArray[Any]]],
) -> Path:
    """Make a folder with what a job's processes read.

    Its name is a digest of all that the trained networks depend on. Files that an unfinished build
    of the same networks has left there are kept; folders of other builds are removed.

    Args:
        staged: staging directory of the build.
        kind: start of the folder's name.
        facts: whatever the networks depend on besides ``contents`` and the versions of the software,
            the arrays included.
        contents: contents of files, by name.
        arrays: makers of arrays, by the name of their files; called where the file is missing.

    Returns:
        Path of the folder.
    """
    known = {
        **facts,
        **{name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
        "versions": {**built_with(), "torch": torch.__version__},
    }
    text = json.dumps(known, sort_keys=True, default=str)
    folder = staged / f"{kind}{hashlib.sha256(text.encode()).hexdigest()[:32]}"
    for other in staged.glob(f"{kind}*"):
        if other != folder:
            shutil.rmtree(other)
    folder.mkdir(mode=0o700, exist_ok=True)
    for name, content in contents.items():
        if not (folder / name).exists():
            write_atomically(folder / name, content)
    for name, make in arrays.items():
        if not (folder / name).exists():
            keep(folder / name, make())
    return folder


def state_of(network: nn.Module, metadata: dict[str, str] | None = None) -> bytes:
    """Return the state of a network as the content of a safetensors file.

    Args:
        network: the network, on any device.
        metadata: text by key, written into the file; safetensors writes several keys in any order.
    """
    state = {name: value.contiguous().cpu() for name, value in network.state_dict().items()}
    content: bytes = safetensors.torch.save(state, metadata)
    return content
