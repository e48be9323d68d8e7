"""Outputs of a model: the classifier's own output, and label and verdict of the guard."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mutant_guard.wire.inference import TensorMetadata
from service.inference_protocol.datatypes import Datatype
from service.inference_protocol.errors import HiddenOutputError, ProtocolError
from service.inference_protocol.request import InferenceRequest
from service.inference_protocol.tensors import OutputTensor, of_bytes

NO_DOUBT = -1.0
"""Value that stands for an absent doubt: JSON has no NaN and its numeric tensors no null."""


@dataclass(frozen=True)
class ImageResult:
    """Result of the guard for one image; the fields are those of ``POST /classify``.

    Attributes:
        scores: float32 [classes], the classifier's output.
    """

    scores: NDArray[np.float32]
    label: int
    class_name: str
    confidence: float
    verdict: str
    undecided_because: str | None
    adversarial: bool
    mutants: int
    doubt: float | None
    decided_by: str | None


@dataclass(frozen=True)
class Output:
    """Output of a model.

    Attributes:
        name: name of the output.
        datatype: datatype of the output.
        size: dimensions after the number of images.
        description: text about what the output holds.
        secret: whether the output is withheld from callers who see the verdict alone.
        value: function that takes the element or row for one image from its result.
    """

    name: str
    datatype: Datatype
    size: tuple[int, ...]
    description: str
    secret: bool
    value: Callable[[ImageResult], Any]

    def tensor(self, results: Sequence[ImageResult]) -> OutputTensor:
        """Return the output's tensor [N, *size] for the results of N images."""
        values = [self.value(result) for result in results]
        array: NDArray[Any] = (
            of_bytes([str(value).encode() for value in values])
            if self.datatype == Datatype.BYTES
            else np.array(values, self.datatype.dtype)
        )
        return OutputTensor(self.name, self.datatype, array)


_OF_THE_GUARD = (
    Output("label", Datatype.INT64, (), "class the classifier chooses", False, lambda r: r.label),
    Output("class_name", Datatype.BYTES, (), "its name", False, lambda r: r.class_name),
    Output("confidence", Datatype.FP32, (), "its probability", True, lambda r: r.confidence),
    Output(
        "verdict",
        Datatype.BYTES,
        (),
        "whether to trust the label: normal, adversarial or undecided",
        False,
        lambda r: r.verdict,
    ),
    Output(
        "undecided_because",
        Datatype.BYTES,
        (),
        "what ended the test undecided: deadline, max_mutants, pool_exhausted or not_finite; else empty",
        False,
        lambda r: r.undecided_because or "",
    ),
    Output(
        "adversarial", Datatype.BOOL, (), "whether the verdict is an alarm", False, lambda r: r.adversarial
    ),
    Output("mutants", Datatype.INT64, (), "mutants the verdict took", False, lambda r: r.mutants),
    Output(
        "doubt",
        Datatype.FP32,
        (),
        "mean doubt of the label among them; -1 where there is none",
        True,
        lambda r: NO_DOUBT if r.doubt is None else r.doubt,
    ),
    Output(
        "decided_by",
        Datatype.BYTES,
        (),
        "confidence, or the operator of the mutant that decided; empty where undecided",
        False,
        lambda r: r.decided_by or "",
    ),
)


class Outputs:
    """Outputs of a model, in the order of an answer."""

    def __init__(self, classifier_output: str, output_kind: str, classes: int) -> None:
        """List the classifier's output and those of the guard.

        Where the name of the classifier's output is one of the guard's own, ``classifier_`` is put
        before it.

        Args:
            classifier_output: name of the classifier's output.
            output_kind: its kind, logits or probabilities.
            classes: number of classes.
        """
        taken = {output.name for output in _OF_THE_GUARD}
        name = f"classifier_{classifier_output}" if classifier_output in taken else classifier_output
        scores = Output(
            name,
            Datatype.FP32,
            (classes,),
            f"the classifier's {output_kind}",
            True,
            lambda result: result.scores,
        )
        self._all = {output.name: output for output in (scores, *_OF_THE_GUARD)}

    def visible(self, *, secrets: bool) -> list[Output]:
        """Return the outputs that a caller may see.

        Args:
            secrets: whether the caller sees all outputs, or the verdict alone.
        """
        return [output for output in self._all.values() if secrets or not output.secret]

    def described(self, *, secrets: bool) -> list[TensorMetadata]:
        """Return the metadata of the outputs that a caller may see.

        Args:
            secrets: whether the caller sees all outputs, or the verdict alone.
        """
        return [
            TensorMetadata(
                name=output.name,
                datatype=output.datatype,
                shape=[-1, *output.size],
                parameters={"description": output.description},
            )
            for output in self.visible(secrets=secrets)
        ]

    def chosen(self, request: InferenceRequest, *, secrets: bool) -> list[tuple[Output, bool]]:
        """Return the outputs that a request asks for, each with whether it is sent as binary data.

        Args:
            request: the parsed request.
            secrets: whether the caller sees all outputs, or the verdict alone.

        Raises:
            ProtocolError: the request asks for an output that is not there.
            HiddenOutputError: the request asks for an output that the caller may not see.
        """
        visible = self.visible(secrets=secrets)
        if request.outputs is None:
            return [(output, request.binary_output) for output in visible]
        allowed = ", ".join(f"'{output.name}'" for output in visible)
        for asked in request.outputs:
            if asked.name not in self._all:
                raise ProtocolError(
                    f"output '{asked.name:.64}' is not known to this model; ask for {allowed}"
                )
            if self._all[asked.name] not in visible:
                raise HiddenOutputError(
                    f"output '{asked.name}' is not given with this key, which sees the verdict alone; ask for {allowed}"
                )
        return [(self._all[asked.name], asked.binary) for asked in request.outputs]


def tensors(
    chosen: Iterable[tuple[Output, bool]], results: Sequence[ImageResult]
) -> list[tuple[OutputTensor, bool]]:
    """Return the tensors of chosen outputs, each with whether it is sent as binary data.

    Args:
        chosen: outputs, each with whether it is sent as binary data.
        results: results of N images.
    """
    return [(output.tensor(results), binary) for output, binary in chosen]
