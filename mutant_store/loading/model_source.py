"""Classifier that a build is given: a file, a folder, trained weights, or a network by name.

An ONNX file is read without importing torch.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mutant_guard.errors import ModelError
from mutant_guard.store.choices import OutputKind
from mutant_store.graph.classifier import Classifier, load_classifier
from mutant_store.graph.original import Scores, file_scores
from mutant_store.loading.input_spec import InputOptions
from mutant_store.loading.model_folder import ModelFolder, open_folder

if TYPE_CHECKING:
    from mutant_store.loading.torch_source import TorchOriginal


@dataclass(frozen=True)
class ModelSource:
    """Source of a classifier, as the user names it.

    Attributes:
        model: an ONNX file; a folder, see ``open_folder``; a .safetensors file that a training run
            of this project wrote; the name of a registered network; or ``module:callable``, which
            makes a network when it is called without arguments.
        weights: file of the weights of a registered network or of a ``module:callable``:
            safetensors, or a state dict that torch saved.
    """

    model: str
    weights: Path | None = None


@dataclass(frozen=True, eq=False)
class Original:
    """Classifier as a graph, and as a network where it is known as one.

    Attributes:
        classifier: the graph.
        torch: the network; None for an ONNX file.
        as_given: function that gives the scores of what the user named, before anything is changed.
        options: input options as the user and the model's folder give them.
        notes: lines for the user on what was read from the folder.
    """

    classifier: Classifier
    torch: "TorchOriginal | None"
    as_given: Scores
    options: InputOptions
    notes: tuple[str, ...] = ()


def open_original(
    source: ModelSource,
    data: str,
    options: InputOptions,
    *,
    output: str | None = None,
    output_kind: OutputKind | None = None,
) -> Original:
    """Find and read the classifier; a network is exported to ONNX.

    Args:
        source: source that the user named.
        data: SPEC of images of the size that the network of a ``module:callable`` takes.
        options: the user's input options, with the normalisation of such a network.
        output: name of the output that holds the class scores, see ``load_classifier``; networks
            have one output.
        output_kind: kind of the class scores, see ``load_classifier``.

    Raises:
        ModelError: there is no such model, its weights are missing or others, or it is no image
            classifier.
        DataError: the images cannot be read.
    """
    text, path = source.model, Path(source.model)
    if path.is_dir():
        if source.weights is not None:
            raise ModelError(f"{path} is the folder of a model with its weights: leave out --weights")
        return _of_folder(open_folder(path), options, output, output_kind)
    if path.suffix == ".safetensors":
        if source.weights is not None:
            raise ModelError(f"{path} holds weights: leave out --weights, or name the network they belong to")
        from mutant_store.loading.torch_source import exported, of_file

        return Original(*exported(of_file(path), path, output_kind), options)
    if path.suffix == ".onnx" or (path.exists() and ":" not in text):
        if source.weights is not None:
            raise ModelError(f"{path} holds its own weights: leave out --weights")
        classifier = load_classifier(path, output=output, output_kind=output_kind)
        return Original(classifier, None, file_scores(path, classifier.output_name), options)
    from mutant_store.loading.torch_source import (
        committed_weights,
        exported,
        of_callable,
        of_file,
        registered,
    )

    if text in registered():
        weights = source.weights or committed_weights(text)
        return Original(*exported(of_file(weights, text), weights, output_kind), options)
    if ":" in text:
        if source.weights is None:
            raise ModelError(f"'{text}' makes an untrained network: give its trained weights with --weights")
        made = of_callable(text, source.weights, data, options)
        return Original(*exported(made, source.weights, output_kind), options)
    raise ModelError(
        f"'{text}' is neither an ONNX file, a .safetensors file nor a folder that is there, nor module:callable, nor "
        f"one of this project's networks: {', '.join(registered())}"
    )


def _of_folder(
    folder: ModelFolder, given: InputOptions, output: str | None, output_kind: OutputKind | None
) -> Original:
    if folder.model.suffix == ".onnx":
        classifier = load_classifier(folder.model, output=output, output_kind=output_kind)
        options, notes = folder.options(given, classifier.input_shape)
        original = Original(classifier, None, file_scores(folder.model, classifier.output_name), options)
    else:
        from mutant_store.loading.folder_network import of_folder
        from mutant_store.loading.torch_source import exported, of_file

        options, notes = folder.options(given)
        network = of_file(folder.model) if folder.library is None else of_folder(folder, options)
        original = Original(*exported(network, folder.model, output_kind), options)
    names = folder.description.classes or original.classifier.names
    return replace(original, classifier=replace(original.classifier, names=names), notes=notes)
