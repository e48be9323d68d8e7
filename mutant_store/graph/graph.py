"""ONNX graph for look-ups and rewriting."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, MutableSequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper


def describe(node: NodeProto) -> str:
    """Return the text that names a node in messages.

    It has the node's operator, its name if it has one, and its first output.
    """
    name = f" '{node.name}'" if node.name else ""
    return f"{node.op_type}{name} (output '{node.output[0]}')"


def attribute(node: NodeProto, name: str, default: float) -> float:
    """Return a numeric attribute of a node, or ``default``, the operator's default."""
    for entry in node.attribute:
        if entry.name == name:
            return float(onnx.helper.get_attribute_value(entry))
    return default


class Graph:
    """Private, editable copy of a model.

    The caller's model is never changed. ``to_model`` gives back a model without what is no longer
    used.

    Attributes:
        nodes: nodes in order.
        constants: constants by name.
    """

    def __init__(self, model: ModelProto) -> None:
        """Copy a model."""
        self._model = ModelProto()
        self._model.CopyFrom(model)
        self.nodes: list[NodeProto] = list(self._model.graph.node)
        self.constants: dict[str, TensorProto] = {
            entry.name: entry for entry in self._model.graph.initializer
        }
        self._names = {name for node in self.nodes for name in (*reads(node), *node.output)} | set(
            self.constants
        )

    @property
    def proto(self) -> GraphProto:
        """Graph of the model, with the current inputs and outputs.

        Its nodes and initializers are out of date until ``to_model``.
        """
        return self._model.graph

    @property
    def opset(self) -> int:
        """Version of the standard operator set."""
        return int(
            next((entry.version for entry in self._model.opset_import if entry.domain in ("", "ai.onnx")), 0)
        )

    @property
    def input_names(self) -> list[str]:
        """Names of the graph inputs that are not constants with a default."""
        return [entry.name for entry in self.proto.input if entry.name not in self.constants]

    @property
    def output_names(self) -> list[str]:
        """Names of the graph outputs."""
        return [entry.name for entry in self.proto.output]

    @property
    def names(self) -> set[str]:
        """Names of all tensors."""
        return {name for node in self.nodes for name in (*node.input, *node.output) if name} | {
            *self.constants
        }

    def consumers(self) -> dict[str, list[NodeProto]]:
        """Return tensor → nodes that read it."""
        found: dict[str, list[NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                found[name].append(node)
        return found

    def producers(self) -> dict[str, NodeProto]:
        """Return tensor → node that writes it."""
        return {name: node for node in self.nodes for name in node.output if name}

    def array(self, name: str) -> NDArray[Any]:
        """Return the value of a constant."""
        return np.asarray(numpy_helper.to_array(self.constants[name]))

    def fresh(self, stem: str) -> str:
        """Return a tensor name that begins with ``stem`` and that nothing uses yet."""
        name, count = stem, 0
        while name in self._names:
            count += 1
            name = f"{stem}_{count}"
        self._names.add(name)
        return name

    def add_constant(self, stem: str, value: NDArray[Any]) -> str:
        """Store an array under a fresh name and return that name."""
        name = self.fresh(stem)
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def set_constant(self, name: str, value: NDArray[Any]) -> None:
        """Give an existing tensor name a constant value."""
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)

    def insert_after(self, tensor: str, nodes: list[NodeProto], replacement: str) -> None:
        """Put ``nodes`` behind the producer of ``tensor``; its other readers read ``replacement``.

        ``tensor`` must not be a graph output.
        """
        position = next(i for i, node in enumerate(self.nodes) if tensor in node.output)
        for node in self.nodes:
            _replace(node.input, tensor, replacement)
        self.nodes[position + 1 : position + 1] = nodes

    def inlined(self, node: NodeProto) -> list[NodeProto]:
        """Return the nodes of the branch that an If with a constant condition takes.

        The branch's own constants become constants of the graph. Its tensors get fresh names.
        """
        taken = "then_branch" if self.array(node.input[0]).reshape(-1)[0] else "else_branch"
        branch = next(entry.g for entry in node.attribute if entry.name == taken)
        names = {
            name: self.fresh(name)
            for name in (
                *(entry.name for entry in branch.initializer),
                *(name for inner in branch.node for name in inner.output if name),
            )
        }
        for entry in branch.initializer:
            self.constants[names[entry.name]] = TensorProto()
            self.constants[names[entry.name]].CopyFrom(entry)
            self.constants[names[entry.name]].name = names[entry.name]
        nodes = []
        for inner in branch.node:
            nodes.append(NodeProto())
            nodes[-1].CopyFrom(inner)
            _replace_all(nodes[-1], names)
        for result, output in zip(branch.output, node.output, strict=True):
            source = names.get(result.name, result.name)
            nodes.append(onnx.helper.make_node("Identity", [source], [output], name=output))
        return nodes

    def copy_behind(self, tensor: str, other: str) -> dict[str, str]:
        """Copy every node that depends on a tensor; the copies read another tensor in its place.

        Returns:
            Tensor → its copy, of a fresh name.
        """
        found, copies = {tensor: other}, []
        for node in self.nodes:
            if found.keys().isdisjoint(reads(node)):
                continue
            found.update({name: self.fresh(f"{name}_copy") for name in node.output if name})
            copies.append(NodeProto())
            copies[-1].CopyFrom(node)
            copies[-1].name = self.fresh(f"{node.name}_copy") if node.name else ""
            _replace_all(copies[-1], found)
        self.nodes += copies
        return found

    def detach_output(self, name: str) -> None:
        """Give a graph output a node of its own.

        Whatever is then put behind the output's producer stays inside the graph.
        """
        inner = self.fresh(f"{name}_inner")
        for node in self.nodes:
            _replace(node.input, name, inner)
            _replace(node.output, name, inner)
        self.nodes.append(onnx.helper.make_node("Identity", [inner], [name], name=self.fresh(f"{name}_end")))

    def tell_nodes_apart(self) -> None:
        """Give every node that has the name of an earlier one a name of its own."""
        seen: set[str] = set()
        for node in self.nodes:
            if node.name in seen:
                node.name = self.fresh(node.output[0] if node.output else node.name)
            seen.update({node.name} - {""})

    def rename(self, old: str, new: str) -> None:
        """Rename a tensor everywhere; a tensor that holds the new name gets a fresh one."""
        if old == new:
            return
        if new in self._names:
            self._rename(new, self.fresh(f"{new}_inner"))
        self._names.add(new)
        self._rename(old, new)

    def _rename(self, old: str, new: str) -> None:
        for node in self.nodes:
            _replace(node.input, old, new)
            _replace(node.output, old, new)
        for entry in (*self.proto.input, *self.proto.output):
            if entry.name == old:
                entry.name = new
        if old in self.constants:
            self.constants[new] = self.constants.pop(old)
            self.constants[new].name = new

    def restrict(self, outputs: Iterable[str]) -> None:
        """Drop every node that none of ``outputs`` needs."""
        needed, kept = set(outputs), []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                needed.update(reads(node))
                kept.append(node)
        self.nodes = kept[::-1]

    def to_model(self) -> ModelProto:
        """Return the model as it now is, without unused constants, notes and shape annotations."""
        self.restrict(self.output_names)
        used = {name for node in self.nodes for name in reads(node)} | set(self.output_names)
        model = ModelProto()
        model.CopyFrom(self._model)
        graph = model.graph
        inputs = [entry for entry in graph.input if entry.name not in self.constants]
        for field in (
            "node",
            "initializer",
            "value_info",
            "input",
            "metadata_props",
            "quantization_annotation",
        ):
            graph.ClearField(field)
        graph.input.extend(inputs)
        graph.node.extend(self.nodes)
        graph.initializer.extend(tensor for name, tensor in self.constants.items() if name in used)
        return model

    def subgraph(self, inputs: list[ValueInfoProto], outputs: list[ValueInfoProto]) -> ModelProto:
        """Return a model of the nodes that lead from ``inputs`` to ``outputs``.

        It has the operator sets of this graph.
        """
        part = Graph(self._model)
        part.nodes, part.constants = list(self.nodes), dict(self.constants)
        for field, entries in (("input", inputs), ("output", outputs)):
            part.proto.ClearField(field)
            getattr(part.proto, field).extend(entries)
        return part.to_model()


def reads(node: NodeProto) -> list[str]:
    """Return the tensors that a node reads, those included that its inner graphs capture.

    Names inside these graphs are among them.
    """
    inner = (part for entry in node.attribute for part in (entry.g, *entry.graphs))
    return [
        *node.input,
        *(
            name
            for graph in inner
            for name in (*(n for part in graph.node for n in reads(part)), *(e.name for e in graph.output))
        ),
    ]


def _replace_all(node: NodeProto, names: Mapping[str, str]) -> None:
    for part in (node.input, node.output):
        part[:] = [names.get(name, name) for name in part]
    for entry in node.attribute:
        for graph in (entry.g, *entry.graphs) if entry.type in (entry.GRAPH, entry.GRAPHS) else ():
            for inner in graph.node:
                _replace_all(inner, names)
            for output in graph.output:
                output.name = names.get(output.name, output.name)


def _replace(names: MutableSequence[str], old: str, new: str) -> None:
    for index, name in enumerate(names):
        if name == old:
            names[index] = new
