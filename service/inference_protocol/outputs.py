"""What a model gives: the classifier's own output, and label and verdict of the guard."""

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
"""What stands for a doubt that there is none of: JSON has no NaN and its numeric tensors no null."""


@dataclass(frozen=True)
class ImageResult:
    """What the guard says of one image; the fields are those of ``POST /classify``.

    Attributes:
        scores: float32 [classes], the classifier's output.
    """

    scores: NDArray[np.float32]
    label: int
    class_name: str
    confidence: float
    verdict: str
    adversarial: bool
    mutants: int
    doubt: float | None
    decided_by: str | None


@dataclass(frozen=True)
class Output:
    """An output of a model.

    Attributes:
        name: its name.
        datatype: its datatype.
        size: its dimensions behind the number of images.
        description: what it holds.
        secret: whether callers who are told the verdict alone do not get it.
        value: its element or row of one image.
    """

    name: str
    datatype: Datatype
    size: tuple[int, ...]
    description: str
    secret: bool
    value: Callable[[ImageResult], Any]

    def tensor(self, results: Sequence[ImageResult]) -> OutputTensor:
        """Its tensor [N, *size] for the results of N images."""
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
    """The outputs of a model, in the order they are given."""

    def __init__(self, classifier_output: str, output_kind: str, classes: int) -> None:
        """Args: name and kind (logits or probabilities) of the classifier's output, and the number of its classes.

        Where that name is one of the guard's own, ``classifier_`` is put before it.
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
        """Those of a caller who is told all, or the verdict alone."""
        return [output for output in self._all.values() if secrets or not output.secret]

    def described(self, *, secrets: bool) -> list[TensorMetadata]:
        """Their metadata."""
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
        """The outputs a request is answered with, each with whether as binary data.

        Raises:
            ProtocolError: it asks for an output that is not there.
            HiddenOutputError: it asks for one that the caller is not shown.
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
    """The tensors of chosen outputs for the results of N images, each with whether as binary data."""
    return [(output.tensor(results), binary) for output, binary in chosen]
