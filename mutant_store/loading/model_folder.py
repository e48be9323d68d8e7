"""Folder of a model as people download it: the network, its treatment of images, its class names."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mutant_guard.errors import ModelError
from mutant_guard.store.choices import Layout
from mutant_store.graph.own_names import names_of
from mutant_store.loading.folders import hugging_face, timm, torchvision
from mutant_store.loading.folders.description import Description
from mutant_store.loading.folders.files import find_file, read_record, read_text
from mutant_store.loading.input_spec import InputOptions

CONFIG, _PROCESSOR, _PRESET = "config.json", "preprocessor_config.json", "transforms.txt"
_NAMES = ("classes.txt", "labels.txt")
_GRAPHS = ("model.onnx", "onnx/model.onnx")
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt", "model.pth", "tf_model.h5")
_NO_NAME = re.compile(r"LABEL_[0-9]+")
_SHOWN = 3

Library = Literal["transformers", "timm"]
"""Library that makes the network of a configuration."""


class _Config(hugging_face.Config, timm.Config):
    """Content of ``config.json``, whichever library wrote it."""


@dataclass(frozen=True, eq=False)
class ModelFolder:
    """Model and what its folder says of it.

    Attributes:
        path: the folder.
        model: file of the network: ONNX or safetensors.
        library: library that makes the network from ``config.json``; None where the file says
            enough, as ONNX does.
        architecture: name of the network in that library.
        description: treatment of images and class names.
        weights: content of ``pretrained_cfg``, which has another size for other files; None where
            timm did not write it.
    """

    path: Path
    model: Path
    library: Library | None
    architecture: str
    description: Description
    weights: timm.PretrainedConfig | None = None

    def options(
        self, given: InputOptions, shape: tuple[int | None, ...] = ()
    ) -> tuple[InputOptions, tuple[str, ...]]:
        """Return the input options of the folder, overruled by those that are given, and notes on both.

        Args:
            given: the user's options.
            shape: dimensions of the model's input behind the batch, None where it leaves one open;
                empty where it is not known.

        Raises:
            ModelError: the model takes images of another size than the folder describes, or the
                folder treats them as no resize rule does, and the user gives none.
        """
        layout, size = _fixed(shape)
        found, unread = self.description.input, self.description.unread
        if self.weights is not None:
            found, unread = timm.options_of(self.weights, size, self.path / CONFIG)
        source = self.description.source
        if size is not None and found.size not in (None, size) and given.resize is None:
            raise ModelError(
                f"{self.model} takes images of {_by(size)} pixels and {source} beside it describes {_by(found.size)}; "
                "say with --resize how images get that size"
            )
        if unread and given.resize is None:
            raise ModelError(f"{self.path / str(source)} {unread}: give --resize")
        if size is not None:
            found = replace(found, size=None)
        if layout is not None and source is not None and given.layout is None:
            found = replace(found, layout=layout)
        used = {name: value for name, value in vars(found).items() if vars(given)[name] is None}
        told = [text for name, value in used.items() if (text := _told(name, value))]
        notes = [f"read from {source}: {', '.join(told)}"] if told else []
        if self.description.classes:
            names = self.description.classes
            listed = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
            notes.append(f"read from {self.description.classes_source}: {len(names)} class names ({listed})")
        if source is None:
            notes.append(
                f"{self.path} says nothing of how images are treated (no {_PROCESSOR}, {_PRESET}, or pretrained_cfg in "
                f"{CONFIG}): --mean, --std and --resize do"
            )
        return replace(given, **used), tuple(notes)


def open_folder(path: Path) -> ModelFolder:
    """Find the network of a folder, and read what the files beside it say of it.

    Folders of Hugging Face (``config.json``, ``preprocessor_config.json``), of timm
    (``config.json`` with ``pretrained_cfg``) and of torchvision (``transforms.txt``, what it prints
    of ``weights.transforms()``) are known. Class names come from these, or from ``classes.txt``,
    one a line. ONNX is preferred to safetensors; nothing is unpickled, and no code of the folder is
    run.

    Args:
        path: the folder.

    Raises:
        ModelError: there is no such network, it cannot be made here, or a file is not understood;
            the message names the file and the remedy.
    """
    config_file = find_file(path, CONFIG)
    config = read_record(config_file, _Config) if config_file else _Config()
    weights = config.pretrained_cfg
    if weights is None and config_file and config.architecture and not config.architectures:
        weights = read_record(config_file, timm.PretrainedConfig)  # as timm wrote it before 2023
    model, library = _network(path, config, weights is not None)
    return ModelFolder(
        path,
        model,
        library,
        config.architecture or (config.architectures or [""])[0],
        _description(path, config, weights),
        weights,
    )


def _network(path: Path, config: _Config, of_timm: bool) -> tuple[Path, Library | None]:
    graph = find_file(path, *_GRAPHS)
    if graph is None and len(others := sorted([*path.glob("*.onnx"), *path.glob("onnx/*.onnx")])) == 1:
        graph = find_file(path, str(others[0].relative_to(path)))
    elif graph is None and others:
        names = ", ".join(str(other.relative_to(path)) for other in others[:_SHOWN])
        raise ModelError(f"{path} holds several ONNX files ({names}); name the one to take model.onnx")
    if graph is not None:
        return graph, None
    weights = find_file(path, *_WEIGHTS)
    if weights is None:
        pickled = find_file(path, *_PICKLED)
        why = f"; {pickled.name} is not read, as such a file may run code" if pickled else ""
        raise ModelError(
            f"{path} holds neither model.onnx nor model.safetensors{why}; export the model to ONNX, as with "
            f"optimum-cli export onnx --model {path} {path}/onnx"
        )
    if of_timm:
        return weights, "timm"
    return weights, "transformers" if config.architectures else None


def _description(path: Path, config: _Config, weights: timm.PretrainedConfig | None) -> Description:
    classes, classes_source = _classes(path, config)
    source, options, unread = None, InputOptions(), ""
    processor_file, preset = find_file(path, _PROCESSOR), find_file(path, _PRESET)
    if weights is not None:
        source = CONFIG
    elif processor_file is not None:
        source = _PROCESSOR
        processor = read_record(processor_file, hugging_face.Processor)
        options, unread = hugging_face.options_of(processor, config.num_channels or 3, processor_file)
    elif preset is not None:
        source, options = _PRESET, torchvision.read(preset)
    return Description(source, options, unread, classes, classes_source)


def _classes(path: Path, config: _Config) -> tuple[list[str] | None, str]:
    labels: Any = config.id2label
    if labels and all(_NO_NAME.fullmatch(str(name)) for name in labels.values()):
        labels = None
    names = config.classes or names_of(labels)
    if names is not None:
        return names, CONFIG
    file = find_file(path, *_NAMES)
    if file is None:
        return None, ""
    names = names_of([line.strip() for line in read_text(file).splitlines() if line.strip()])
    if names is None:
        raise ModelError(f"{file} does not name two classes or more, each once, one a line; mend it")
    return names, file.name


def _fixed(shape: tuple[int | None, ...]) -> tuple[Layout | None, tuple[int, int] | None]:
    """Return the layout that other projects' models have, and the size that the input fixes."""
    if len(shape) != 3:
        return None, None
    first = shape[0] in (1, 3) or (shape[0] is None and shape[2] not in (1, 3))
    height, width = shape[1:] if first else shape[:2]
    return "nchw" if first else "nhwc", (height, width) if height and width else None


def _by(size: tuple[int, int] | None) -> str:
    return f"{size[1]}×{size[0]}" if size else "another size"


def _told(name: str, value: Any) -> str:
    if value is None or (name, value) == ("channel_order", "rgb") or name == "layout":
        return ""
    if name in ("mean", "std"):
        return f"{name} " + ",".join(f"{part:.6g}" for part in value)
    return f"{name.replace('_', ' ')} {_by(value) if name == 'size' else value}"
