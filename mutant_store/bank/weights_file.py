"""Shared file for the weights of all graphs of a store, which holds each weight once."""

import hashlib

from onnx import ModelProto, TensorProto, numpy_helper

from mutant_guard.errors import StoreError

_LEAST_BYTES = 1024
_ALIGNMENT = 64


class WeightsFile:
    """Collector of large constants of several models, kept as what ONNX calls external data.

    Attributes:
        name: name of the file, which lies in the same directory as the models.
        content: bytes of the file.
    """

    def __init__(self, name: str) -> None:
        """Begin an empty file of a name."""
        self.name = name
        self.content = bytearray()
        self._places: dict[bytes, int] = {}

    def moved(self, model: ModelProto) -> ModelProto:
        """Return a copy of a model whose large constants stand in the file.

        Equal constants, of any model, share a place. Constants whose data are elsewhere already are
        left alone.
        """
        moved = ModelProto()
        moved.CopyFrom(model)
        for tensor in moved.graph.initializer:
            if tensor.data_location == TensorProto.EXTERNAL:  # its data are given when the model is loaded
                continue
            content = numpy_helper.to_array(tensor).tobytes()
            if len(content) < _LEAST_BYTES or tensor.data_type == TensorProto.STRING:
                continue
            shape, name, kind = list(tensor.dims), tensor.name, tensor.data_type
            tensor.Clear()
            tensor.name, tensor.data_type, tensor.data_location = name, kind, TensorProto.EXTERNAL
            tensor.dims.extend(shape)
            entries = {"location": self.name, "offset": self._place(content), "length": len(content)}
            for key, value in entries.items():
                tensor.external_data.add(key=key, value=str(value))
        return moved

    def _place(self, content: bytes) -> int:
        digest = hashlib.sha256(content).digest()
        if digest not in self._places:
            self.content.extend(bytes(-len(self.content) % _ALIGNMENT))
            self._places[digest] = len(self.content)
            self.content.extend(content)
        return self._places[digest]


def filled(model: ModelProto, name: str, content: bytes) -> ModelProto:
    """Return a model whose constants stand in the file that ``WeightsFile`` made, with their data.

    onnx itself reads such data from a path: the file may change after it was checked, and a file
    with several links is refused.

    Args:
        model: the model; changed in place.
        name: name of the file.
        content: bytes of the file.

    Raises:
        StoreError: a constant stands in another file, or beyond the end of this one.
    """
    for tensor in model.graph.initializer:
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        place = {entry.key: entry.value for entry in tensor.external_data}
        start, length = int(place.get("offset", 0)), int(place.get("length", 0))
        data = content[start : start + length]
        if place.get("location") != name or len(data) != length or not length:
            raise StoreError(f"the data of constant '{tensor.name}' are not in {name}; build the store again")
        tensor.raw_data = data
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]
    return model
