"""Architectures: ways of making an untrained network that can be sent to other processes."""

import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

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
        width: factor of the numbers of channels; 1 for the network itself.
    """

    name: str
    classes: int
    width: float = 1.0

    def build(self) -> nn.Module:
        """Make a network as its constructor initialises it.

        Raises:
            ModelError: it is made in one width only.
        """
        make: Callable[..., nn.Module] = CLASSIFIERS[self.name].build
        return make(self.classes, **_widened(self.name, make, self.width))


@dataclass(frozen=True)
class Made:
    """Maker of the networks that ``module:callable`` returns.

    The module is looked for in the working directory as well.

    Attributes:
        name: the text ``module:callable``.
        width: argument ``width`` of the call; 1 calls it without arguments.
    """

    name: str
    width: float = 1.0

    def build(self) -> nn.Module:
        """Import the module, call the callable and return the network.

        Raises:
            ModelError: there is no such module or callable, it makes no network, or none of another
                width.
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
            network = make(**_widened(self.name, make, self.width))  # type: ignore[operator]  # called or refused
        if not isinstance(network, nn.Module):
            raise ModelError(f"'{self.name}' makes a {type(network).__name__} and not a torch.nn.Module")
        return network


def _widened(name: str, make: Any, width: float) -> dict[str, float]:
    """Return the arguments that make a network of a width: none for 1.

    Raises:
        ModelError: the maker has no parameter ``width``.
    """
    if width == 1:
        return {}
    if "width" not in inspect.signature(make).parameters:
        raise ModelError(
            f"--width {width:g}: {name} is made in one width only; give --architecture MODULE:CALLABLE, a callable "
            "that takes width=, or leave out --width"
        )
    return {"width": width}
