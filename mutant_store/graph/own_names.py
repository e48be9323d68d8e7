"""Class names that an ONNX file carries in the notes of other projects.

Ultralytics writes ``names``, Hugging Face ``id2label``, scikit-learn's exporter lists classes in
the graph itself.
"""

import ast
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress

from onnx import ModelProto, helper, numpy_helper

_KEYS = ("names", "class_names", "classes", "id2label", "labels")
_MOST_CHARACTERS = 1 << 20
_LEAST_DIFFERENT = 0.9
"""Share of the names that differ in a list of names; ImageNet's has two cranes, and 998 of 1,000."""


def names_of_file(model: ModelProto) -> list[str] | None:
    """Return the class names in the model's own order, or None where it has none."""
    notes = {entry.key: entry.value for entry in model.metadata_props}
    for key in _KEYS:
        if key in notes and (found := names_of(_parsed(notes[key]))):
            return found
    for node in model.graph.node:
        if node.op_type == "ZipMap":
            for entry in node.attribute:
                if found := names_of(helper.get_attribute_value(entry)):
                    return found
    extracted = {node.input[0] for node in model.graph.node if node.op_type == "ArrayFeatureExtractor"}
    for tensor in model.graph.initializer:
        if tensor.name in extracted and tensor.name == "classes":
            return names_of(numpy_helper.to_array(tensor).ravel().tolist())
    return None


def names_of(value: object) -> list[str] | None:
    """Return names that are given as a list, or as a mapping from position to name.

    Anything else gives None, and so do names that are empty, or of which more than one in ten is a
    name that was there before.
    """
    if isinstance(value, Mapping):
        try:
            positions = {int(key): name for key, name in value.items()}
        except (TypeError, ValueError):
            return None
        if sorted(positions) != list(range(len(value))):
            return None
        value = [positions[number] for number in range(len(value))]
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return None
    names = [name.decode(errors="replace") if isinstance(name, bytes) else name for name in value]
    if any(isinstance(name, bool) or not isinstance(name, str | int) for name in names):
        return None
    found = [str(name).strip() for name in names]
    several = len(found) > 1 and all(found) and len(set(found)) >= _LEAST_DIFFERENT * len(found)
    return found if several else None


def value_of(text: str) -> object:
    """Return a value written as JSON or as Python writes it; None for any other text."""
    if len(text) > _MOST_CHARACTERS:
        return None
    for parse in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            return parse(text)
    return None


def _parsed(text: str) -> object:
    """Return a value written as JSON or as Python writes it, or a list of what commas separate."""
    value = value_of(text)
    too_long = len(text) > _MOST_CHARACTERS
    return [part.strip() for part in text.split(",")] if value is None and not too_long else value
