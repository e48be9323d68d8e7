"""Job of robust mutants: the knowledge of every process that trains them."""

from dataclasses import dataclass

from torch import Tensor, nn

from mutant_store.networks.architecture import Architecture
from mutant_store.retraining.job import TrainingJob
from mutant_store.retraining.seeds import Purpose, drawing_for
from mutant_store.robust.intervals import initialise
from mutant_store.robust.settings import MOST_MUTANTS, RobustRecipe

HELD_BACK = "held-back.npy"


@dataclass(frozen=True)
class RobustJob(TrainingJob):
    """Training of a build's robust mutants.

    ``folder`` holds, besides the files of every training, ``held-back.npy`` int64 [H], positions of
    the training images that are not trained on, by which progress is judged.

    Attributes:
        recipe: settings of training.
        mutant: maker of the network that is trained.
        classes: number of classes.
        from_original: whether training starts from the original's weights.
        mirror: whether a mutant in the bank answers as ``Mirrored`` does around the trained network.
        ensemble: number of networks that are trained for a mutant, see ``Ensemble``.
    """

    recipe: RobustRecipe
    mutant: Architecture
    classes: int
    from_original: bool
    mirror: bool = False
    ensemble: int = 1

    def members(self, mutant: int) -> list[int]:
        """Return the numbers of a mutant's networks, of which the first has the mutant's number."""
        return [mutant + member * MOST_MUTANTS for member in range(self.ensemble)]

    @property
    def needs_original(self) -> bool:
        """Whether training runs the original beside the mutant."""
        return self.recipe.joint or self.recipe.distill > 0

    def start(self, number: int) -> nn.Module:
        """Return what the training of a mutant starts from, on the CPU.

        Raises:
            ModelError: the architecture makes no network.
        """
        if self.from_original:
            return self.original()
        with drawing_for(self.seed, Purpose.robust_initialisation, number):
            network = self.mutant.build()
            if self.recipe.method == "certified":
                initialise(network)
        return network

    def answers(self, network: nn.Module, pixels: Tensor) -> Tensor:
        """Return a mutant's logits float32 [n, classes] of pixels float32 [n, C, H, W].

        Pixels are in the range 0 to 1 and on the device. A network of its own answers with logits,
        one that starts from the original answers as that does.
        """
        return self.logits(network, pixels, None if self.from_original else "logits")
