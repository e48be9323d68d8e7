"""Inputs of a model: encoded image files, or pixels at model size."""

import binascii

import numpy as np
from numpy.typing import NDArray

from mutant_guard.store.manifest import InputSpec
from mutant_guard.wire.inference import TensorMetadata
from service.inference_protocol.datatypes import Datatype
from service.inference_protocol.errors import ProtocolError
from service.inference_protocol.request import InferenceRequest
from service.inference_protocol.tensors import InputTensor, decode

IMAGE, PIXELS = "image", "pixels"


def described(spec: InputSpec) -> list[TensorMetadata]:
    """Return the metadata of a model's inputs."""
    return [
        TensorMetadata(
            name=IMAGE,
            datatype=Datatype.BYTES,
            shape=[-1],
            parameters={
                "description": "PNG, JPEG or WebP files: as they are in binary data, base64 text in JSON"
            },
        ),
        TensorMetadata(
            name=PIXELS,
            datatype=Datatype.UINT8,
            shape=[-1, spec.height, spec.width, spec.channels],
            parameters={"description": "pixels at model size, 0 to 255, not normalised"},
        ),
    ]


def images(
    request: InferenceRequest, spec: InputSpec, max_images: int
) -> list[bytes] | list[NDArray[np.uint8]]:
    """Return the images of a request.

    Args:
        request: the parsed request.
        spec: size and colour that the model takes.
        max_images: most images of a request.

    Returns:
        Encoded files, or pixels uint8 [height, width, channels] each.

    Raises:
        ProtocolError: the request does not have exactly one of the two inputs, or the input does
            not fit the model.
    """
    pixels = f"'{PIXELS}' (UINT8 [N, {spec.height}, {spec.width}, {spec.channels}])"
    wanted = f"'{IMAGE}' (BYTES [N], image files) or {pixels}"
    for name in request.inputs:
        if name not in (IMAGE, PIXELS):
            raise ProtocolError(f"input '{name:.64}' is not known to this model; send {wanted}")
    if len(request.inputs) != 1:
        raise ProtocolError(f"inputs '{IMAGE}' and '{PIXELS}' are both there; send {wanted}")
    (tensor,) = request.inputs.values()
    if tensor.name == IMAGE:
        _check(tensor, Datatype.BYTES, (), max_images)
        files = decode(tensor).tolist()
        return files if tensor.is_binary else [_of_base64(text, number) for number, text in enumerate(files)]
    _check(tensor, Datatype.UINT8, (spec.height, spec.width, spec.channels), max_images)
    return list(decode(tensor))


def _check(tensor: InputTensor, datatype: Datatype, size: tuple[int, ...], max_images: int) -> None:
    """Refuse a tensor that is not [N, *size] of a datatype, before any of it is decoded."""
    what = "image files" if datatype == Datatype.BYTES else "0 to 255, not normalised"
    if tensor.datatype != datatype:
        raise ProtocolError(
            f"input '{tensor.name}' has datatype '{tensor.datatype}'; send {datatype} ({what})"
        )
    if tensor.shape[1:] != size:
        shape = list(tensor.shape)
        wanted = ", ".join(map(str, ("N", *size)))
        raise ProtocolError(f"input '{tensor.name}' has shape {shape}; send [{wanted}] ({what})")
    if tensor.shape[0] > max_images:
        raise ProtocolError(
            f"input '{tensor.name}' has {tensor.shape[0]} images, more than {max_images}; send them in several requests"
        )


def _of_base64(text: bytes, number: int) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        raise ProtocolError(
            f"input '{IMAGE}': element {number} is no base64 ({error}); in JSON encode the file so, without line "
            "breaks, or send it as binary data"
        ) from error
