"""Execution of ONNX graphs with onnxruntime.

Its imports are light: both the server and the offline tools load it.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from math import prod
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mutant_guard.errors import ModelError, one_line

Model = bytes | Path
FloatArray = NDArray[np.float32]
Feed = Mapping[str, NDArray[np.float32] | NDArray[np.int64]]
Providers = Sequence[str | tuple[str, dict[str, str]]]
"""Execution providers in order of preference, some with options."""

IMAGES = "images"
"""Name of the image input of every graph in a store."""

_NOTHING = 4  # onnxruntime would print what it raises as well
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
"""Names of execution providers."""

ROW_BYTES = "row_bytes"
"""Key in a graph's metadata of the bytes of activations that a run takes for each row."""

_LARGE_ROW = 1 << 20
"""Bytes of activations of a row from which on a graph shares its arena with others."""
_NOTED = re.compile(rb"\x0a\x09" + ROW_BYTES.encode() + rb"\x12[\x01-\x0f]([0-9]+)")
_END = 1 << 16
"""Bytes at the end of a serialised model among which its metadata are looked for."""

_AS_REQUESTED = 1  # onnxruntime's arena_extend_strategy: take no more than is asked for


def open_session(
    model: Model,
    *,
    providers: Providers = (CPU,),
    threads: int = 0,
    constants: Mapping[str, FloatArray] | None = None,
    external: Mapping[str, bytes] | None = None,
    shared_arena: bool | None = None,
) -> onnxruntime.InferenceSession:
    """Open an inference session that does not spin when idle.

    Sessions of large graphs take the activations of their runs from one arena of the process, which
    keeps what the largest runs at a time took. Others have an arena each, which is a little faster.

    Args:
        model: serialised model, or the path of one.
        providers: execution providers in order of preference.
        threads: intra-op threads; 0 lets onnxruntime choose.
        constants: values by name of constants that the model declares as external data; no file is
            read for them.
        external: contents, by name, of the files that hold the model's other external data; no file
            is read then, and data in a file that is not among them are an error. By default
            onnxruntime reads the files beside the model.
        shared_arena: whether the session shares its arena; None: where the graph's metadata name
            much memory for a row.

    Raises:
        ModelError: onnxruntime cannot load the graph.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _NOTHING
    options.intra_op_num_threads = threads
    # Threads that sleep between the layers of a run wake too late; after a run they shall sleep.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0" if threads == 1 else "1")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if _is_large(model) if shared_arena is None else shared_arena:
        _share_arena()
        options.add_session_config_entry("session.use_env_allocators", "1")
        options.enable_mem_pattern = False  # it reserves the most that a run takes, once more
    if constants:
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(value) for value in constants.values()]
        options.add_external_initializers(list(constants), values)
    if external is not None:
        # onnxruntime looks on the disk where the table is empty
        files = {"": b"\0"} | {name: content for name, content in external.items() if content}
        options.add_external_initializers_from_files_in_memory(
            list(files), list(files.values()), list(map(len, files.values()))
        )
    source = model if isinstance(model, bytes) else str(model)
    try:
        return onnxruntime.InferenceSession(source, options, providers=list(providers))
    except Exception as error:  # onnxruntime raises a class of its own for every failure
        raise ModelError(f"onnxruntime cannot load the graph: {one_line(error)}") from error


@cache
def _share_arena() -> None:
    """Make the arena that the sessions of this process share."""
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg(0, _AS_REQUESTED, -1, -1))


def _is_large(model: Model) -> bool:
    """Check whether the metadata at the end of a serialised model name much memory for a row."""
    noted = _NOTED.search(model[-_END:]) if isinstance(model, bytes) else None
    return noted is not None and int(noted[1]) >= _LARGE_ROW


def row_bytes(session: onnxruntime.InferenceSession) -> int:
    """Return the bytes of activations of a row that a graph's metadata name, or 0 where they do not."""
    text = session.get_modelmeta().custom_metadata_map.get(ROW_BYTES, "")
    return int(text) if text.isdecimal() and len(text) < 16 else 0


def bytes_of_row(tensors: Sequence[onnxruntime.NodeArg]) -> int:
    """Return the bytes of a row of float32 inputs or outputs; sizes that are open count as 1."""
    shapes = [[size for size in tensor.shape[1:] if isinstance(size, int)] for tensor in tensors]
    return sum(4 * prod(shape) for shape in shapes)


def run_session(
    session: onnxruntime.InferenceSession, input_name: str, inputs: FloatArray
) -> list[FloatArray]:
    """Run one float32 input through a session and return all outputs.

    Raises:
        ModelError: the graph does not take this shape.
    """
    try:
        return outputs(session, {input_name: inputs})
    except Exception as error:
        raise ModelError(
            f"the model fails on inputs of shape {list(inputs.shape)}: {one_line(error)}"
        ) from error


def outputs(session: onnxruntime.InferenceSession, feed: Feed) -> list[FloatArray]:
    """Return all outputs of a graph, float32, on whatever device its session runs."""
    if session.get_providers()[0] == CUDA:
        return bound_outputs(session, feed, "cuda")
    return [np.asarray(value) for value in session.run(None, feed)]


def bound_outputs(session: onnxruntime.InferenceSession, feed: Feed, device: str) -> list[FloatArray]:
    """Return all outputs of a run with bound inputs and outputs: one copy in each direction.

    Args:
        session: the graph.
        feed: inputs by name; they are put on the device first.
        device: ``cuda`` or ``cpu``, onnxruntime's name of the session's device.
    """
    binding = session.io_binding()
    for name, value in feed.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(value, device, 0))
    for entry in session.get_outputs():
        binding.bind_output(entry.name, "cpu")
    session.run_with_iobinding(binding)
    return [np.asarray(value) for value in binding.copy_outputs_to_cpu()]
