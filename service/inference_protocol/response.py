"""Writer of answers to inference requests."""

from collections.abc import Iterable
from typing import Any

from mutant_guard.wire.inference import InferResponse, Parameters, ResponseOutput
from service.inference_protocol.tensors import OutputTensor, to_binary, to_json


def encode(
    model_name: str,
    model_version: str,
    request_id: str | None,
    outputs: Iterable[tuple[OutputTensor, bool]],
    parameters: Parameters | None = None,
) -> tuple[bytes, int | None]:
    """Return the body of an answer.

    Args:
        model_name: name of the model that answers.
        model_version: version of the model.
        request_id: the client's name for the request, None where it has none.
        outputs: output tensors, each with whether it is sent as binary data.
        parameters: parameters of the answer, None where it has none.

    Returns:
        The body, and the length in bytes of its JSON where binary data follows it
            (``Inference-Header-Content-Length``), else None.

    Raises:
        ProtocolError: an output in JSON holds a value that JSON cannot.
    """
    described, parts = [], []
    for tensor, binary in outputs:
        if binary:
            parts.append(to_binary(tensor))
            described.append(_output(tensor, parameters={"binary_data_size": len(parts[-1])}))
        else:
            described.append(_output(tensor, data=to_json(tensor)))
    further: dict[str, Any] = {} if request_id is None else {"id": request_id}
    if parameters is not None:
        further["parameters"] = parameters
    message = InferResponse(model_name=model_name, model_version=model_version, **further, outputs=described)
    header = message.model_dump_json(exclude_unset=True).encode()
    return b"".join((header, *parts)), len(header) if parts else None


def _output(tensor: OutputTensor, **content: Any) -> ResponseOutput:
    return ResponseOutput(
        name=tensor.name, shape=list(tensor.values.shape), datatype=tensor.datatype.value, **content
    )
