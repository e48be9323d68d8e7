"""Content of ``manifest.json`` of a store version.

Its imports are light: the server reads the file with pydantic alone.
"""

from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator

from mutant_guard.store.choices import Layout, OutputKind, Resize
from mutant_guard.store.model_card import DataRange
from mutant_guard.store.preprocessing import to_input

SCHEMA_VERSION = 4

Rate = Annotated[float, Ge(0), Le(1)]


class Frozen(BaseModel):
    """Record that is never changed, with these fields and no others, whose numbers are finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class InputSpec(Frozen):
    """Input of the classifier.

    Pixels are divided by 255, then normalised per channel by mean and std.
    """

    height: int
    width: int
    channels: Literal[1, 3]
    mean: list[float]
    std: list[Annotated[float, Gt(0)]]
    layout: Layout
    resize: Resize

    @model_validator(mode="after")
    def _one_value_a_channel(self) -> "InputSpec":
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(f"mean and std need {self.channels} value(s), one a channel")
        with np.errstate(all="ignore"):
            ends = self._normalised(np.array([[[[0] * self.channels]], [[[255] * self.channels]]], np.uint8))
        if not np.isfinite(ends).all():
            raise ValueError("with this mean and std pixels become numbers that float32 does not hold")
        return self

    def tensor(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the classifier's input, float32, for pixels uint8 [N, height, width, channels]."""
        return self._normalised(pixels)

    def _normalised(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        return to_input(pixels, mean=mean, std=std, layout=self.layout)


class FileEntry(Frozen):
    """File of the version: its sha256 in hex and its size in bytes."""

    sha256: str
    size: int


class TailEntry(Frozen):
    """Part of the bank behind one entry point.

    It names its file, whether its mutants share weights, its inputs among the outputs of the
    prefix, and its mutants' numbers.
    """

    file: str
    shared: bool
    features: list[str]
    mutants: list[int]


class DataParts(Frozen):
    """Disjoint parts of the clean images, each a range of a source in its fixed order.

    ``train`` is the part that trained the classifier, None where the classifier's file does not
    record it.
    """

    train: DataRange | None
    filter: DataRange
    choice: DataRange
    certification: DataRange


class RetrainRecord(Frozen):
    """Recipe by which the mutants of the operator ``retrain`` were made; see ``Recipe``.

    ``network`` is the registered name of the network or its origin. ``shift``, ``flip``, ``bf16``
    and ``device`` record how training images were varied and in which arithmetic. ``data`` is the
    data that mutants were trained on.
    """

    network: str
    share: float
    epochs: int
    adversarial_share: float
    adversarial_images: int
    epsilons: list[float]
    attacks: list[str]
    steps: int
    batch_size: int
    learning_rate: float
    label_smoothing: float
    jitter: float
    shift: int
    flip: bool
    bf16: bool
    labels: Literal["data", "original"]
    device: str
    data: DataRange


class Manifest(Frozen):
    """Everything about a version that is not a weight or a threshold.

    ``candidates[i]`` is the number of the draw that became mutant i + 1: together with the
    operator, the rate and the seed it determines how the mutant was made. The mutant's changes are
    in ``mutants.safetensors``. ``accuracies[i]`` is the mutant's share of right answers on the
    filter images it was run on, which are not all of them where the filter could judge it earlier.
    ``filter_error`` is the probability that the filter judged it otherwise than on all of them.
    ``decks`` is the number of secret orders in which requests meet the mutants.
    """

    schema_version: int
    name: str
    input: InputSpec
    input_name: str
    output_name: str
    output_kind: OutputKind
    classes: list[str]
    operator: str
    rate: float
    seed: int
    neurons: int
    layers: list[str]
    mutants: int
    decks: int
    candidates: list[int]
    candidates_drawn: int
    accuracy_ratio: float
    filter_error: float
    original_accuracy: Rate
    accuracies: list[Rate]
    bank: list[TailEntry]
    data: DataParts
    retraining: RetrainRecord | None = None
    files: dict[str, FileEntry]
    built_with: dict[str, str]
