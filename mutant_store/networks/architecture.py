"""How an untrained network is made, as something to send to other processes."""

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import nn

from mutant_guard.errors import ModelError
from mutant_store.networks import CLASSIFIERS


class Architecture(Protocol):
    """Makes networks; ``name`` is what records call it."""

    @property
    def name(self) -> str:
        """A registered name, ``module:callable`` or ``onnx``."""

    def build(self) -> nn.Module:
        """A network as its constructor initialises it, from torch's own generator."""


@dataclass(frozen=True)
class Registered:
    """A registered network for a number of classes."""

    name: str
    classes: int

    def build(self) -> nn.Module:
        """A network as its constructor initialises it."""
        return CLASSIFIERS[self.name].build(self.classes)


@dataclass(frozen=True)
class Made:
    """What ``module:callable`` makes; the module is looked for in the working directory as well."""

    name: str

    def build(self) -> nn.Module:
        """Call it.

        Raises:
            ModelError: there is no such module or callable, or it makes no network.
        """
        module, _, attribute = self.name.partition(":")
        if (here := str(Path.cwd())) not in sys.path:
            sys.path.append(here)
        try:
            make = importlib.import_module(module)
            for part in attribute.split("."):
                make = getattr(make, part)
        except (ImportError, AttributeError, ValueError) as error:
            raise ModelError(f"'{self.name}' cannot be imported ({error}); give module:callable") from error
        try:
            network = make()  # type: ignore[operator]  # whatever it is, it is called or refused
        except TypeError as error:
            raise ModelError(
                f"'{self.name}' is to make a network when it is called without arguments: {error}"
            ) from error
        if not isinstance(network, nn.Module):
            raise ModelError(f"'{self.name}' makes a {type(network).__name__} and not a torch.nn.Module")
        return network
