"""How an untrained network is made, as something to send to other processes."""

from dataclasses import dataclass

from torch import nn

from mutant_store.networks import CLASSIFIERS


@dataclass(frozen=True)
class Architecture:
    """A registered network by its ``name``, for a number of ``classes``."""

    name: str
    classes: int

    def build(self) -> nn.Module:
        """A network as its constructor initialises it, from torch's own generator."""
        return CLASSIFIERS[self.name].build(self.classes)
