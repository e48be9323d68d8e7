"""User's ONNX file, checked to be an image classifier and brought into the shape for mutants."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto

from mutant_guard.bank.memory import even_blocks, rows_within, run_bytes
from mutant_guard.bank.session import IMAGES, open_session, run_session
from mutant_guard.errors import ModelError
from mutant_guard.store import model_card
from mutant_guard.store.choices import OutputKind
from mutant_guard.store.model_card import ModelCard
from mutant_store.boundary import boundary
from mutant_store.graph.batch.batch_axis import open_batch
from mutant_store.graph.batch.image_rows import bring_images_first
from mutant_store.graph.class_scores import kind_of, unzip
from mutant_store.graph.element_types import half_types, take_floats, widened
from mutant_store.graph.folding import simplify
from mutant_store.graph.graph import Graph, describe
from mutant_store.graph.own_names import names_of_file
from mutant_store.graph.reading import check_float, read_model
from mutant_store.graph.row_bytes import row_bytes

LOGITS = "logits"
"""Name of the class scores in every graph of a store, whatever kind they are."""

_RESERVED = re.compile(r"images|logits|image_index|mutant_index|features_[0-9]+.*|entry_[0-9]+.*")
"""Names of the tensors that a bank adds to the user's."""

_LEAST_OPSET = 7
_LARGEST_BATCH = 4096
_BLOCK = 512


@dataclass(frozen=True)
class Classifier:
    """Classifier with one float32 image input, one [batch, classes] output and an open batch size.

    Attributes:
        model: graph with the input renamed to ``images`` and the output to ``logits``, constants
            and batch normalisation folded, other outputs dropped.
        input_name: the user's name of the image input.
        input_shape: dimensions of the input behind the batch; None where the model leaves one open.
        output_name: the user's name of the class scores.
        output_kind: kind of the class scores, logits or probabilities.
        card: facts that training wrote into the metadata.
        names: class names in the model's own order that another project wrote into the file.
        raw_pixels: whether the input takes the values 0 to 255 of pixels, since the file takes
            uint8.
        notes: lines for the user on what was changed.
    """

    model: ModelProto
    input_name: str
    input_shape: tuple[int | None, ...]
    output_name: str
    output_kind: OutputKind
    card: ModelCard
    names: list[str] | None = None
    raw_pixels: bool = False
    notes: tuple[str, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        """Return what is sent to other machines, which open sessions of their own."""
        return {name: value for name, value in vars(self).items() if name != "_session"}

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        return open_session(self.model.SerializeToString(), shared_arena=True)

    def scores(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the class scores float32 [N, classes] of inputs float32 [N, …].

        As many run at a time as fit into the memory of a run.

        Raises:
            ModelError: the model does not take these inputs, or does not answer with one row of
                scores each.
        """
        blocks = even_blocks(len(inputs), self.rows_at_once(inputs.shape[1:]))
        answers = [run_session(self._session, IMAGES, inputs[block])[0] for block in blocks]
        return answers[0] if len(answers) == 1 else np.concatenate(answers)

    def rows_at_once(self, image: tuple[int, ...]) -> int:
        """Return the number of images of a shape that fit into the memory of a run."""
        return rows_within(run_bytes(1), row_bytes(self.model, image), _BLOCK)


def load_classifier(
    model: Path | ModelProto, *, output: str | None = None, output_kind: OutputKind | None = None
) -> Classifier:
    """Read, check and simplify an ONNX classifier.

    Args:
        model: the ``.onnx`` file, with weights stored beside it read too; or the content of such a
            file.
        output: name of the output that holds the class scores, where the model has several.
        output_kind: kind of the scores; by default probabilities where they come from Softmax or
            Sigmoid. ``score_kind.decide`` looks at the scores themselves.

    Half-precision numbers are converted to float32, and an input of uint8 pixels takes the same
    values as float32.

    Raises:
        ModelError: the file is missing or no ONNX, has no single float32 or uint8 image input or no
            such output, has quantised layers, or takes only a fixed number of images.
    """
    path = model if isinstance(model, Path) else Path("the exported model")
    proto = read_model(model) if isinstance(model, Path) else model
    with boundary(
        ModelError, f"{path}: this graph is not understood", "export it again, or simplify it first"
    ):
        return _classifier(path, proto, output, output_kind)


def _classifier(
    path: Path, proto: ModelProto, output: str | None, output_kind: OutputKind | None
) -> Classifier:
    halves = half_types(proto)
    graph = Graph(widened(proto) if halves else proto)
    if graph.opset < _LEAST_OPSET:
        raise ModelError(
            f"{path}: operator set {graph.opset} is too old; export with {_LEAST_OPSET} or newer"
        )
    versions = sorted({entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")})
    if len(versions) > 1:
        raise ModelError(f"{path}: names {len(versions)} operator sets, {versions}; export it with one")
    names = graph.input_names
    if len(names) != 1:
        raise ModelError(
            f"{path}: an image classifier has one input, this model has {len(names)}: {', '.join(names)}"
        )
    value = next(entry for entry in graph.proto.input if entry.name == names[0])
    tensor = value.type.tensor_type
    raw = tensor.elem_type == TensorProto.UINT8
    if tensor.elem_type != TensorProto.FLOAT and not raw:
        found = TensorProto.DataType.Name(tensor.elem_type)
        raise ModelError(
            f"{path}: input '{names[0]}' is {found}; export the model with a float32 or uint8 input"
        )
    if len(tensor.shape.dim) < 2:
        raise ModelError(
            f"{path}: input '{names[0]}' has no batch axis followed by the image; export it with both"
        )
    if not 0 <= tensor.shape.dim[0].dim_value <= _LARGEST_BATCH:
        raise ModelError(
            f"{path}: takes batches of {tensor.shape.dim[0].dim_value} images; export it with a dynamic batch axis"
        )
    shape = tuple(dim.dim_value or None for dim in tensor.shape.dim[1:])
    source = take_floats(graph, names[0]) if raw else names[0]
    unzip(graph)
    chosen = _choose_output(path, graph, output)
    graph.restrict([chosen])
    check_float(path, graph.nodes)
    simplify(graph)
    _open_batch(graph, source, chosen)
    bring_images_first(graph, source)
    if chosen not in graph.producers():
        raise ModelError(f"{path}: output '{chosen}' does not depend on the input; this is no classifier")
    graph.tell_nodes_apart()
    implied = kind_of(graph, chosen)
    _name_ends(graph, source, chosen)
    card = model_card.parse(next((p.value for p in proto.metadata_props if p.key == model_card.KEY), None))
    notes = [f"{kind} numbers of the file are converted to float32" for kind in halves]
    notes += [f"input '{names[0]}' takes uint8 pixels: nothing is normalised before it"] if raw else []
    return Classifier(
        graph.to_model(),
        names[0],
        shape,
        chosen,
        output_kind or implied,
        card,
        names_of_file(proto),
        raw,
        tuple(notes),
    )


def _name_ends(graph: Graph, source: str, scores: str) -> None:
    """Name input and output as every graph of a store does, and nothing else by names that it gives."""
    for name in sorted(filter(_RESERVED.fullmatch, graph.names - {source, scores})):
        graph.rename(name, graph.fresh(f"{name}_inner"))
    result = graph.fresh(f"{scores}_result")
    graph.rename(scores, result)
    graph.rename(source, IMAGES)
    graph.rename(result, LOGITS)
    graph.detach_output(LOGITS)


def _choose_output(path: Path, graph: Graph, wanted: str | None) -> str:
    ranks = {
        str(entry.name): len(entry.type.tensor_type.shape.dim)
        for entry in graph.proto.output
        if entry.type.tensor_type.elem_type == TensorProto.FLOAT
    }
    floats = {name for name, rank in ranks.items() if rank in (0, 2)}
    if not floats:  # one score an image
        floats = {name for name, rank in ranks.items() if rank == 1 and _is_batch(graph, name)}
    listing = ", ".join(f"'{name}'" for name in graph.output_names)
    if wanted is not None:
        if wanted not in graph.output_names:
            raise ModelError(f"{path}: has no output '{wanted}'; its outputs are {listing}")
        if wanted not in floats:
            raise ModelError(
                f"{path}: output '{wanted}' is not float32 [batch, classes] and cannot be class scores"
            )
        return wanted
    if len(floats) != 1:
        what = "several outputs could be" if floats else "no float32 [batch, classes] output that could be"
        remedy = (
            "name it with --output" if floats else "this is no classifier, or its scores are not exported"
        )
        raise ModelError(f"{path}: {what} the class scores (outputs: {listing}); {remedy}")
    return floats.pop()


def _is_batch(graph: Graph, output: str) -> bool:
    """Check whether an output's first axis may be the batch."""
    ends = (entry for entry in (*graph.proto.input, *graph.proto.output))
    sizes = {entry.name: entry.type.tensor_type.shape.dim[:1] for entry in ends}
    first = [size[0].dim_value for size in (sizes[graph.input_names[0]], sizes[output])]
    return not first[1] or first[0] == first[1]


def _open_batch(graph: Graph, input_name: str, output_name: str) -> None:
    outputs = [entry for entry in graph.proto.output if entry.name == output_name]
    del graph.proto.output[:]
    graph.proto.output.extend(outputs)
    source = next(entry for entry in graph.proto.input if entry.name == input_name)
    open_batch(graph, input_name, source.type.tensor_type.shape.dim[0].dim_value or None)
    for entry in (*graph.proto.input, *graph.proto.output):
        if entry.name in (input_name, output_name) and entry.type.tensor_type.shape.dim:
            entry.type.tensor_type.shape.dim[0].dim_param = "batch"


def check_scores(classifier: Classifier, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Check that a classifier answers with one row per input, run together and one by one.

    Args:
        classifier: classifier from ``load_classifier``.
        inputs: a few real inputs, float32 [N, …] with N ≥ 2.

    Returns:
        Class scores float32 [N, classes], or one score an image, [N] or [N, 1].

    Raises:
        ModelError: the scores have another shape or values that are not finite, rows influence each
            other, or 'probabilities' leave the range 0 to 1.
    """
    try:
        together = classifier.scores(inputs)
    except ModelError as error:
        classifier.scores(inputs[:1])  # if one image fails as well, report that instead
        raise ModelError(f"{error}; one image works: export the model with a dynamic batch axis") from error
    if together.ndim not in (1, 2) or len(together) != len(inputs) or not together.size:
        raise ModelError(
            f"for {len(inputs)} images the model's output '{classifier.output_name}' has shape "
            f"{list(together.shape)}, not [images, classes]; this is no classifier"
        )
    if not np.isfinite(together).all():
        raise ModelError("the model's scores are not finite on real images; check --mean, --std and --layout")
    alone = np.concatenate([classifier.scores(row[None]) for row in inputs])
    if alone.shape != together.shape:
        raise ModelError(
            f"the model's output '{classifier.output_name}' has another shape for a single image, as behind a squeeze "
            "of all axes; export it with a dynamic batch axis and squeeze or flatten named axes"
        )
    if not np.allclose(together, alone, rtol=1e-3, atol=1e-3):
        raise ModelError(
            "the model's answer for an image depends on the other images of its batch; export it for inference"
        )
    if classifier.output_kind == "probabilities" and not (0 <= together.min() and together.max() <= 1 + 1e-4):
        raise ModelError(
            "the output is said to hold probabilities but leaves the range 0 to 1; use --output-kind logits"
        )
    return together


def refuse(node: onnx.NodeProto, reason: str) -> ModelError:
    """Return the error for a node that cannot be mutated, with the reason."""
    return ModelError(f"cannot mutate {describe(node)}: {reason}")
