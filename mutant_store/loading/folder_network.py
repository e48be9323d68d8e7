"""Network of a folder, made by the library that wrote it: transformers or timm, where installed.

Weights are safetensors, so nothing is unpickled; code that comes with a model is not run, and
nothing is downloaded.
"""

import importlib
import inspect
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from mutant_guard.errors import ModelError
from mutant_store.boundary import boundary, check_no_pointer
from mutant_store.loading.folders import timm
from mutant_store.loading.folders.files import read_record
from mutant_store.loading.input_spec import InputOptions
from mutant_store.loading.model_folder import CONFIG, Library, ModelFolder
from mutant_store.loading.torch_source import TorchOriginal, described

_WRAPPED = "timm_model."
"""Beginning of the names of weights where transformers saved a network of timm."""


class _Logits(nn.Module):
    """Network that returns the scores alone, of one of transformers."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.network(pixel_values=images).logits
        return scores


@dataclass(frozen=True)
class Pretrained:
    """Maker of networks of a folder's configuration.

    Attributes:
        library: library that makes them.
        architecture: name of the network in that library.
        folder: the folder, with ``config.json``.
    """

    library: Library
    architecture: str
    folder: Path

    @property
    def name(self) -> str:
        """Name in records: that of the library and of the network."""
        return f"{self.library}:{self.architecture}"

    def build(self) -> nn.Module:
        """Make an untrained network.

        Raises:
            ModelError: the library is not installed, or makes no such classifier.
        """
        library = _imported(self.library, self.folder)
        remedy = f"export it, as with optimum-cli export onnx --model {self.folder} {self.folder}/onnx"
        with boundary(ModelError, f"{self.library} makes no {self.architecture} of {self.folder}", remedy):
            if self.library == "timm":
                return _timm(library, self.folder / CONFIG)
            config = library.AutoConfig.from_pretrained(self.folder, **_CLOSED)
            return _Logits(library.AutoModelForImageClassification.from_config(config)).eval()


_CLOSED: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


def of_folder(folder: ModelFolder, options: InputOptions) -> TorchOriginal:
    """Make the network of a folder with its trained weights.

    Args:
        folder: folder with safetensors.
        options: input options with the size of the images and their normalisation.

    Raises:
        ModelError: the library is not installed or does not make the network, the weights are not
            all there, or the size is not known.
    """
    if folder.library is None:
        raise ModelError(f"{folder.path} does not say which library makes its network; export it to ONNX")
    architecture = Pretrained(folder.library, folder.architecture, folder.path)
    if options.size is None:
        raise ModelError(f"{folder.path} does not say which size of images its network takes: give --size")
    check_no_pointer(folder.model, ModelError)
    what = f"{folder.model} does not hold the weights of {architecture.name}"
    if folder.library == "timm":
        network = architecture.build()
        with boundary(ModelError, what, "download it again"):
            weights = safetensors.torch.load_file(folder.model)
            network.load_state_dict({name.removeprefix(_WRAPPED): value for name, value in weights.items()})
    else:
        network = _of_transformers(architecture, what)
    shape = (*options.size, len(options.mean or [0.0] * 3))
    return described(network.float().eval(), architecture, "", shape, options)


def _of_transformers(architecture: Pretrained, what: str) -> nn.Module:
    library = _imported("transformers", architecture.folder)
    with boundary(ModelError, what, "download it again, or export the model to ONNX"):
        network, found = library.AutoModelForImageClassification.from_pretrained(
            architecture.folder, use_safetensors=True, output_loading_info=True, **_CLOSED
        )
        if lost := sorted(map(str, (*found["missing_keys"], *found["mismatched_keys"]))):
            raise ModelError(f"{what}: {lost[0]} is missing or has another shape; download it again")
    return _Logits(network)


def _timm(library: Any, file: Path) -> nn.Module:
    config = read_record(file, timm.Config)
    arguments = config.model_args or {}
    own = set(inspect.signature(library.create_model).parameters) - {"kwargs"}
    if unsafe := sorted(own & arguments.keys()):
        raise ModelError(f"{file}: model_args may not set {unsafe[0]}; leave it out")
    if config.architecture is None:
        raise ModelError(f"{file} names no architecture")
    if config.num_classes:
        arguments = {"num_classes": config.num_classes, **arguments}
    if config.global_pool:
        arguments = {"global_pool": config.global_pool, **arguments}
    network: nn.Module = library.create_model(config.architecture, pretrained=False, **arguments)
    return network


def _imported(library: Library, folder: Path) -> Any:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    remedy = (
        f"pip install {library}, or export the model to ONNX, as with "
        f"optimum-cli export onnx --model {folder} {folder}/onnx"
    )
    with boundary(ModelError, f"the network of {folder} needs {library}, which cannot be imported", remedy):
        found: Any = importlib.import_module(library)
        if library == "transformers":
            found.utils.logging.set_verbosity_error()
            found.utils.logging.disable_progress_bar()
    return found
