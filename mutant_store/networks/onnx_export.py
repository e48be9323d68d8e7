"""Export of a torch classifier as one ONNX file.

The file says what the classifier was trained on, and nothing about the machine.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO

import numpy as np
import onnx
import onnxruntime
import torch
from google.protobuf.message import Message
from numpy.typing import NDArray
from torch import nn

from mutant_guard.errors import ModelError
from mutant_guard.store import model_card
from mutant_guard.store.model_card import ModelCard
from mutant_store.boundary import first_line

_TOLERANCE = 1e-3
_TALKATIVE = ("torch.onnx._internal.exporter._registration", "torch.fx.experimental.symbolic_shapes")
_REMEDY = (
    "its forward must take one batch of images of any number, return one tensor of scores, and not branch on the "
    "values of tensors; or export it yourself and give the ONNX file"
)


def to_onnx(model: nn.Module, card: ModelCard, images: NDArray[np.float32]) -> bytes:
    """Serialise a model with input ``images`` and output ``logits``, with a dynamic batch axis.

    Args:
        model: float32 network on the CPU, its weights in contiguous memory format.
        card: facts written into the metadata under ``model_card.KEY``.
        images: a few normalised inputs, float32 [N, C, H, W], N at least 2, with which the export
            is traced.

    Raises:
        ModelError: the exporter fails, or made something else than one self-contained graph.
    """
    try:
        with _quiet():
            program = torch.onnx.export(
                model.eval(),
                (torch.from_numpy(images[:2]),),
                dynamo=True,
                verbose=False,
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes=[{0: torch.export.Dim("batch")}],
            )
    except MemoryError:
        raise
    except Exception as error:  # the exporter's own message is the way it went, its cause says what is wrong
        reason = first_line(error.__cause__ or error)
        raise ModelError(f"torch cannot export this network to ONNX ({reason}); {_REMEDY}") from error
    if program is None:
        raise ModelError(
            "torch.onnx.export returned no program; use a tested version of torch (constraints.txt)"
        )
    proto = program.model_proto
    # The exporter notes stack traces with file paths in the metadata of every node.
    _strip(proto)
    onnx.helper.set_model_props(proto, {model_card.KEY: card.model_dump_json(exclude_none=True)})
    onnx.checker.check_model(proto)
    return proto.SerializeToString()


def largest_difference(content: bytes, model: nn.Module, images: NDArray[np.float32]) -> float:
    """Return the largest absolute difference of logits between an exported model and its network.

    Both run on the images as a batch, and on the first image alone.

    Args:
        content: the exported model.
        model: the network, on the CPU.
        images: normalised inputs, float32 [N, C, H, W].

    Raises:
        ModelError: the logits differ by more than 0.001.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    difference = 0.0
    for batch in (images, images[:1]):
        with torch.inference_mode():
            expected = model.eval()(torch.from_numpy(batch)).numpy()
        (actual,) = session.run(["logits"], {"images": batch})
        difference = max(difference, float(np.abs(actual - expected).max()))
    if not difference <= _TOLERANCE:
        raise ModelError(
            f"the exported model's logits differ from torch's by {difference:.2g}; it was not written"
        )
    return difference


def _strip(message: Message) -> None:
    for field, value in message.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in [value] if isinstance(value, Message) else value:
                _strip(part)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter says about itself.

    It says that torchvision is not there and that a function it uses is old, and prints the graph
    of a network that it cannot export.
    """
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.filterwarnings(
                "ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning
            )
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
