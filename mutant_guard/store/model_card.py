"""Metadata in the ONNX file from a training run, so that a build knows its input and its data."""

from typing import Annotated

from annotated_types import Ge, Le
from pydantic import BaseModel, ConfigDict, ValidationError

from mutant_guard.errors import ModelError
from mutant_guard.store.choices import Layout

KEY = "mutant_guard"


class DataRange(BaseModel):
    """Run of images in the fixed order of one source: enough to tell whether two sets share images.

    ``source`` is the sha256 over the sorted digests of every image of the source that the range is
    cut from, so two copies of a data set under different paths compare equal.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    spec: str
    source: str
    start: int
    stop: int

    def overlaps(self, other: "DataRange") -> bool:
        """Check whether the two ranges share images of the same source."""
        return self.source == other.source and self.start < other.stop and other.start < self.stop


class ModelCard(BaseModel):
    """Metadata of a classifier: training data, normalisation, layout, class names and accuracy.

    The normalisation is for the pixel range 0 to 1. The accuracy is the share of right answers on
    images that did not train it.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    train_data: DataRange | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    layout: Layout | None = None
    classes: list[str] | None = None
    accuracy: Annotated[float, Ge(0), Le(1)] | None = None


def parse(text: str | None) -> ModelCard:
    """Read the card from the metadata value, or return an empty card where there is none.

    Raises:
        ModelError: the value is there but does not parse.
    """
    if text is None:
        return ModelCard()
    try:
        return ModelCard.model_validate_json(text)
    except ValidationError as error:
        raise ModelError(
            f"the ONNX file's metadata entry {KEY!r} is damaged; export the model again"
        ) from error
