"""Networks of a store of few mutants, each converted from its own graph."""

import numpy as np
import torch
from torch import Tensor, nn

from evaluation.adaptive.mutants import Network, SeparateNetworks, scaled
from mutant_guard.errors import ModelError
from mutant_guard.store.manifest import InputSpec
from mutant_guard.store.reader import Store
from mutant_store.bank.export import open_mutants
from mutant_store.networks.conversion import ConvertedNetwork

_COMPARED = 3
_TOLERANCE = 1e-2


class StoredNetworks(SeparateNetworks):
    """Original and mutants of a store, robust ones with graphs of their own among them."""

    def __init__(self, store: Store) -> None:
        """Convert the networks of a store.

        Raises:
            ModelError: as for ``networks_of``.
        """
        self.networks, self.count = networks_of(store), store.manifest.mutants
        self.classes = len(store.manifest.classes)
        self._robust = len(store.manifest.robust)

    def sample(self, images: int, mutants: int, generator: torch.Generator) -> Tensor:
        """Draw mutants for every image: the robust ones, which are heard first, then any others."""
        places = torch.rand(images, self.count, generator=generator)
        places[:, : self._robust] -= 1
        return places.argsort(1)[:, :mutants] + 1


def networks_of(store: Store, device: str = "cpu") -> list[Network]:
    """Return the original and all mutants of a store, as functions of pixels.

    Args:
        store: the store.
        device: ``cpu``, or ``cuda`` for networks that compute there; what they read and answer is on
            the CPU in either case.

    Raises:
        ModelError: a mutant reads another view of the image, or a graph cannot be converted to
            torch.
    """
    manifest = store.manifest
    if manifest.companions:
        raise ModelError(
            f"store '{store.name}' has companions, which read images of their own; these attacks are on robust and "
            "retrained mutants"
        )
    mutants = open_mutants(store)
    networks = [
        on_pixels(
            ConvertedNetwork(mutants.model(number, original_names=False), manifest.input.layout),
            manifest.input,
            device,
        )
        for number in range(manifest.mutants + 1)
    ]
    _check(store, networks)
    return networks


def on_pixels(network: nn.Module, spec: InputSpec, device: str = "cpu") -> Network:
    """Return a network that reads pixels [N, C, H, W] from 0 to 1, red before green and blue."""
    frozen = network.eval().requires_grad_(requires_grad=False).to(device)
    mean, std = (torch.tensor(values)[:, None, None] for values in (spec.mean, spec.std))
    flipped = spec.channel_order == "bgr"

    def answer(images: Tensor) -> Tensor:
        read = images.flip(1) if flipped else images
        found: Tensor = frozen(((read - mean) / std).to(device))
        return found.to(images.device)

    return answer


def _check(store: Store, networks: list[Network]) -> None:
    """Compare converted networks with the bank, on noise.

    Raises:
        ModelError: the scores differ.
    """
    spec = store.manifest.input
    shape = (_COMPARED, spec.height, spec.width, spec.channels)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    session = store.session(threads=1)
    features = session.features(spec.tensor(pixels))
    for number, network in enumerate(networks):
        expected = session.scores(features, np.arange(_COMPARED), np.full(_COMPARED, number))
        with torch.no_grad():
            found = network(scaled(pixels)).numpy()
        if np.abs(found - expected).max() > _TOLERANCE * max(1.0, float(np.abs(expected).max())):
            raise ModelError(
                f"store '{store.name}': mutant {number}, converted to torch, gives other scores than the bank"
            )
    session.close()
