"""Shared file for the weights of all graphs of a store, which holds each weight once."""

import hashlib

from onnx import ModelProto, TensorProto, numpy_helper

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
