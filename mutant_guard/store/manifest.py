"""``manifest.json`` of a store version. Light: the server reads it with pydantic alone."""

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
    """A record that is never changed, of these fields and no others."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class InputSpec(Frozen):
    """What the classifier takes. Pixels are divided by 255, then normalised per channel by mean and std."""

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
        return self

    def tensor(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The classifier's input for pixels uint8 [N, height, width, channels]."""
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        return to_input(pixels, mean=mean, std=std, layout=self.layout)


class FileEntry(Frozen):
    """A file of the version: its sha256 in hex and its size in bytes."""

    sha256: str
    size: int


class TailEntry(Frozen):
    """The part of the bank behind one entry point.

    Its file; whether its mutants share weights; its inputs among the outputs of the prefix; its mutants' numbers.
    """

    file: str
    shared: bool
    features: list[str]
    mutants: list[int]


class DataParts(Frozen):
    """The disjoint parts of the clean images, each a range of a source in its fixed order.

    ``train`` is what trained the classifier, None where its file does not say.
    """

    train: DataRange | None
    filter: DataRange
    choice: DataRange
    certification: DataRange


class RetrainRecord(Frozen):
    """How the mutants of the operator ``retrain`` were made; see ``Recipe``.

    ``network`` is the registered name or where it came from, ``shift``, ``flip``, ``bf16`` and ``device`` say how
    training images were varied and in which arithmetic, and ``data`` is what mutants were trained on.
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

    ``candidates[i]`` is the number of the draw that became mutant i + 1: with the operator, the rate and the
    seed it says how the mutant came about; what it changes stands in ``mutants.safetensors``. ``accuracies[i]`` is
    its share of right answers on the filter images it was run on, which are not all where the filter could judge
    it earlier; ``filter_error`` is the probability that it judged otherwise than on all of them. ``decks`` is the
    number of secret orders requests meet the mutants in.
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
