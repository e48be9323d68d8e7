"""Settings of the baselines."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=1)]


class BaselineSettings(BaseModel):
    """Settings of all baselines; the defaults are for LeNet on MNIST.

    For ResNet-20 on CIFAR-10: ``perturbation_sigma`` 0.05, ``perturbation_draws`` 25,
    ``squeezing_bits`` 5, ``dropout_epochs`` 1, ``dropout_images`` 20000, ``ensemble_members`` 2,
    ``ensemble_epochs`` 5.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    only: tuple[str, ...] | None = None
    """Names of the baselines that are measured; None: all."""
    training_images: Count | None = None
    """Number of training images that are used, drawn at random; None: all."""
    perturbation_sigma: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Standard deviation of the noise on the input, as a share of the pixel range."""
    perturbation_draws: Count = 50
    """Number of noisy copies of an image."""
    squeezing_bits: Annotated[int, Field(ge=1, le=7)] = 1
    """Number of bits a channel that are left."""
    squeezing_median: Annotated[int, Field(ge=2)] = 2
    """Side of the median filter in pixels."""
    dropout_rate: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of the units in front of a dense layer that are dropped."""
    dropout_epochs: Count = 3
    """Number of epochs in which the classifier's copy gets used to dropout."""
    dropout_images: Count | None = None
    """Number of training images that the copy sees; None: all."""
    dropout_passes: Annotated[int, Field(ge=2)] = 50
    """Number of passes an image."""
    ensemble_members: Annotated[int, Field(ge=2)] = 3
    """Number of networks, the classifier included."""
    ensemble_epochs: Count | None = 12
    """Number of epochs of the others; None: the classifier's own."""
    ensemble_temperatures: bool = False
    """Whether logits are divided by temperatures that fit clean images.

    Retrained mutants have such temperatures.
    """
    lid_neighbours: Annotated[int, Field(ge=2)] = 20
    """Number of neighbours that an estimate of the local intrinsic dimensionality takes."""
    lid_references: Count = 100
    """Number of clean images among which they are found."""

    @model_validator(mode="after")
    def _enough_references(self) -> "BaselineSettings":
        if self.lid_references <= self.lid_neighbours:
            raise ValueError("lid_references must be more than lid_neighbours")
        return self
