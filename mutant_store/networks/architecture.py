"""Architectures: ways of making an untrained network that can be sent to other processes."""

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import nn

from mutant_guard.errors import ModelError
from mutant_store.boundary import boundary
from mutant_store.networks import CLASSIFIERS


class Architecture(Protocol):
    """Maker of untrained networks."""

    @property
    def name(self) -> str:
        """Name in records: a registered name, ``module:callable`` or ``onnx``."""

    def build(self) -> nn.Module:
        """Make a network as its constructor initialises it, from torch's own generator."""


@dataclass(frozen=True)
class Registered:
    """Maker of a registered network.

    Attributes:
        name: registered name.
        classes: number of classes.
    """

    name: str
    classes: int

    def build(self) -> nn.Module:
        """Make a network as its constructor initialises it."""
        return CLASSIFIERS[self.name].build(self.classes)


@dataclass(frozen=True)
class Made:
    """Maker of the networks that ``module:callable`` returns.

    The module is looked for in the working directory as well.

    Attributes:
        name: the text ``module:callable``.
    """

    name: str

    def build(self) -> nn.Module:
        """Import the module, call the callable and return the network.

        Raises:
            ModelError: there is no such module or callable, or it makes no network.
        """
        module, _, attribute = self.name.partition(":")
        if (here := str(Path.cwd())) not in sys.path:
            sys.path.append(here)
        with boundary(ModelError, f"'{self.name}' cannot be imported", "give module:callable"):
            make = importlib.import_module(module)
            for part in attribute.split("."):
                make = getattr(make, part)
        remedy = "give what makes a network when it is called without arguments"
        with boundary(ModelError, f"'{self.name}' does not make a network", remedy):
            network = make()  # type: ignore[operator]  # the object is called, whatever it is, or refused
        if not isinstance(network, nn.Module):
            raise ModelError(f"'{self.name}' makes a {type(network).__name__} and not a torch.nn.Module")
        return network
