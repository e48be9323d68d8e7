"""Content of ``manifest.json`` of a store version.

Its imports are light: the server reads the file with pydantic alone.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le, Len
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, model_validator

from mutant_guard.bank.views import Inputs, Views
from mutant_guard.store.choices import ChannelOrder, Layout, OutputKind
from mutant_guard.store.model_card import DataRange
from mutant_guard.store.preprocessing import to_box, to_input
from mutant_guard.store.resizing import ResizeRule

SCHEMA_VERSION = 6

Rate = Annotated[float, Ge(0), Le(1)]

_Side = Annotated[int, Ge(1), Le(1 << 14)]
"""Height or width of a classifier's images, in pixels."""


def _plain(name: str) -> str:
    """Return a file name that leads nowhere else.

    Raises:
        ValueError: the name is empty or hidden, or holds a separator or what cannot be printed.
    """
    if (
        name.startswith(".")
        or "/" in name
        or "\\" in name
        or not name.isprintable()
        or not 0 < len(name) < 256
    ):
        raise ValueError(f"{name[:64]!a} is no plain name")
    return name


PlainName = Annotated[str, AfterValidator(_plain)]
"""Name of a file within one folder."""


RecipeValue = str | bool | int | float | None | list[float]
"""Value of a setting by which a mutant was trained."""


class Frozen(BaseModel):
    """Record that is never changed, with these fields and no others, whose numbers are finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class InputSpec(Frozen):
    """Input of the classifier.

    Pixels are divided by 255, then normalised per channel by mean and std, whose bounds keep what
    becomes of pixels finite in float32. ``resize`` is the text of a ``ResizeRule``, in its shortest
    form. Under ``channel_order`` ``bgr`` the channels are blue, green and red, and mean and std have
    that order.
    """

    height: _Side
    width: _Side
    channels: Literal[1, 3]
    mean: list[Annotated[float, Ge(-1e6), Le(1e6)]]
    std: list[Annotated[float, Ge(1e-9), Le(1e6)]]
    layout: Layout
    resize: Annotated[str, AfterValidator(lambda text: str(ResizeRule.parse(text)))]
    channel_order: ChannelOrder = "rgb"

    @model_validator(mode="after")
    def _consistent(self) -> "InputSpec":
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(f"mean and std need {self.channels} value(s), one a channel")
        ResizeRule.parse(self.resize).check(height=self.height, width=self.width)
        return self

    @property
    def squashed(self) -> "InputSpec":
        """The same input for pictures that show what the classifier sees, cropped already."""
        return self.model_copy(update={"resize": "bilinear"})

    def tensor(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the classifier's input, float32, for pixels uint8 [N, height, width, channels].

        Grey pixels have one channel, others red, green and blue, whatever the classifier's order.
        """
        mean, std = self._scale
        return to_input(self._ordered(pixels), mean=mean, std=std, layout=self.layout)

    def box(
        self, pixels: NDArray[np.uint8], epsilons: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return bounds of the classifier's inputs for all images near given ones; see ``to_box``.

        Args:
            pixels: uint8 [N, height, width, channels], as for ``tensor``.
            epsilons: float64 [N], largest change of a pixel of each image, in units of the pixel
                range 0 to 1.
        """
        mean, std = self._scale
        return to_box(self._ordered(pixels), epsilons, mean=mean, std=std, layout=self.layout)

    @property
    def _scale(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return _array(tuple(self.mean)), _array(tuple(self.std))

    def _ordered(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return pixels[..., ::-1] if self.channel_order == "bgr" else pixels


@lru_cache(maxsize=64)
def _array(values: tuple[float, ...]) -> NDArray[np.float32]:
    array = np.array(values, np.float32)
    array.setflags(write=False)
    return array


class FileEntry(Frozen):
    """File of the version: its sha256 in hex and its size in bytes."""

    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Ge(0)]


class TailEntry(Frozen):
    """Part of the bank behind one entry point.

    It names its file, whether its mutants share weights, its inputs among the outputs of the
    prefix and the views, its mutants' numbers, and whether it is a classifier of its own.
    """

    file: PlainName
    shared: bool
    features: Annotated[list[str], Len(1)]
    mutants: Annotated[list[Annotated[int, Ge(1)]], Len(1)]
    own_graph: bool = False


class DataParts(Frozen):
    """Disjoint parts of the clean images, each a range of a source in its fixed order.

    ``train`` is the part that trained the classifier, None where the classifier's file does not
    record it. Of ``choice`` the images beyond the first 500 may certify as well; certificates say
    how many images did.
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


class CompanionRecord(Frozen):
    """Companion: another classifier of the same classes, which serves as a mutant.

    ``source`` is the name that it was given by, and ``mutant`` its number in the pool.
    ``input_name``, ``output_name``, ``output_kind`` and ``outputs``, the number of its classes, are
    those of its own file. ``class_map`` has its class for each class of the original, −1 where it
    knows none; it is None where both have the same classes in the same order. ``multiply_adds`` is
    its work for one image, and ``relative_cost`` that work as a multiple of the original's.
    ``taught`` says how it was trained on the original's adversarial images, if it was.
    """

    source: str
    mutant: Annotated[int, Ge(1)]
    input: InputSpec
    input_name: str
    output_name: str
    output_kind: OutputKind
    outputs: Annotated[int, Ge(1)]
    class_map: list[Annotated[int, Ge(-1)]] | None
    multiply_adds: Annotated[float, Ge(0)]
    relative_cost: Annotated[float, Ge(0)]
    taught: RetrainRecord | None = None


class RobustRecord(Frozen):
    """Robust mutant: a network of its own, trained against attacks on itself; see ``RobustRecipe``.

    ``mutant`` is its number in the pool, and ``network`` the name of its architecture. ``recipe``
    holds the settings of its training by name, and ``data`` is what it was trained on. ``accuracy``
    and ``robust_accuracy`` are the shares of held-back training images that it got right, as they
    are and under attack. ``multiply_adds`` is its work for one image, and ``relative_cost`` that
    work as a multiple of the original's. Where it is ``certified``, it was trained with bounds on
    its answers, and ``bounds`` is the file of the graph that computes them. ``companion`` is the
    number of the companion whose weights training started from: the mutant has that one's graph,
    input and classes, and its own weights. It is None for another start.
    """

    mutant: Annotated[int, Ge(1)]
    network: str
    recipe: dict[str, RecipeValue]
    data: DataRange
    accuracy: Rate
    robust_accuracy: Rate
    multiply_adds: Annotated[float, Ge(0)]
    relative_cost: Annotated[float, Ge(0)]
    certified: bool = False
    bounds: PlainName | None = None
    companion: Annotated[int, Ge(1)] | None = None


class Manifest(Frozen):
    """Everything about a version that is not a weight or a threshold.

    ``candidates[i]`` is the number of the draw that became mutant i + 1: together with the
    operator, the rate and the seed it determines how the mutant was made. (``rates`` has the rate of
    each operator where they differ; ``rate`` is then the first one's.) The mutant's changes are in
    ``mutants.safetensors``. ``accuracies[i]`` is the mutant's share of right answers on the
    filter images it was run on, which are not all of them where the filter could judge it earlier.
    ``filter_error`` is the probability that the filter judged it otherwise than on all of them.
    ``decks`` is the number of secret orders in which requests meet the mutants. In all of them
    mutants of a lower rank come first: ``ranks[i]`` is that of mutant i + 1, and without any all
    ranks are equal; robust mutants have rank 0 and others a higher one. ``views`` are the inputs of
    tails that read an image otherwise than the original does, numbered from 1 on.
    """

    schema_version: int
    name: Annotated[str, StringConstraints(pattern=r"^[^/\x00-\x1f\x7f]{1,255}$")]
    input: InputSpec
    input_name: str
    output_name: str
    output_kind: OutputKind
    classes: Annotated[list[str], Len(1)]
    operator: str
    rate: Annotated[float, Ge(0)]
    rates: dict[str, float] = {}
    seed: int
    neurons: int
    layers: list[str]
    mutants: Annotated[int, Ge(1)]
    decks: Annotated[int, Ge(1), Le(1 << 32)]
    candidates: list[int]
    candidates_drawn: int
    ranks: list[Annotated[int, Ge(0)]] = []
    companions: list[CompanionRecord] = []
    robust: list[RobustRecord] = []
    views: list[InputSpec] = []
    accuracy_ratio: float
    filter_error: float
    original_accuracy: Rate
    accuracies: list[Rate]
    bank: Annotated[list[TailEntry], Len(1)]
    data: DataParts
    retraining: RetrainRecord | None = None
    files: dict[PlainName, FileEntry]
    built_with: dict[str, str]

    @model_validator(mode="after")
    def _every_mutant_once(self) -> "Manifest":
        numbers = [number for tail in self.bank for number in tail.mutants]
        if len(numbers) != self.mutants or sorted(numbers) != list(range(1, self.mutants + 1)):
            raise ValueError(f"the bank does not hold each of {self.mutants:,} mutants once")
        for name in ("candidates", "accuracies"):
            found = len(getattr(self, name))
            if found != self.mutants:
                raise ValueError(f"{name} has {found:,} values for {self.mutants:,} mutants")
        if self.ranks and len(self.ranks) != self.mutants:
            raise ValueError(f"ranks has {len(self.ranks):,} values for {self.mutants:,} mutants")
        own = sorted(number for tail in self.bank if tail.own_graph for number in tail.mutants)
        robust = [entry.mutant for entry in self.robust]
        given = [*(companion.mutant for companion in self.companions), *robust]
        if own != given or given != list(range(1, len(given) + 1)):
            raise ValueError(
                "companions and then robust mutants are not the first mutants, with graphs of their own"
            )
        if any((entry.companion or 0) > len(self.companions) for entry in self.robust):
            raise ValueError("a robust mutant was trained from a companion that is none of the mutants")
        first = [number for number, rank in enumerate(self.ranks or [0] * self.mutants, 1) if rank == 0]
        if robust and first != robust:
            raise ValueError("robust mutants do not come before all others in every order")
        return self

    def tensors(self, pixels: Sequence[NDArray[np.uint8]]) -> Inputs:
        """Return images as the networks of the bank read them.

        Args:
            pixels: uint8 [N, height, width, channels] for each view, see ``inputs``.
        """
        if not self.views:
            return self.input.tensor(pixels[0])
        return Views(tuple(spec.tensor(own) for spec, own in zip(self.inputs, pixels, strict=True)))

    @property
    def inputs(self) -> list[InputSpec]:
        """Inputs of all views of an image: the original's, then those of ``views``."""
        return [self.input, *self.views]
