"""Part of the images that an attack is tried on.

It is the unit of work, and of what is kept of a killed run.
"""

import importlib.metadata
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.attacks.craft import attacked
from evaluation.attacks.digest import digest
from evaluation.attacks.kept_substitute import restored
from evaluation.attacks.randomness import seed_of
from evaluation.attacks.settings import AttackSettings, BlackBox, CarliniWagner
from evaluation.workspace import Arrays, Workspace
from mutant_guard.errors import DataError
from mutant_store.networks import weights
from mutant_store.networks.inference import logits
from mutant_store.threads import one_thread

SIZE = 100
"""Number of images a chunk.

The result of a chunk depends on its inputs alone, not on the process that makes it.
"""

_NOT_FOR_PIXELS = {"name", "samples", "attempts", "paper"}


@dataclass(frozen=True, eq=False)
class Chunk:
    """Images, and all that decides the result of an attack on them.

    Attributes:
        number: position among the chunks of the run, from 0.
        model: the classifier's ``.safetensors`` file.
        model_digest: ``file_digest`` of that file.
        attack: method and settings.
        images: uint8 [n, H, W, C].
        labels: int64 [n], which the classifier gives them.
        seed: seed of the run.
        folder: folder of the workspace that keeps the result.
        substitute: weights of the substitute, for ``black_box``.
    """

    number: int
    model: Path
    model_digest: str
    attack: AttackSettings
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    seed: int
    folder: Path
    substitute: Arrays | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def toolbox(self) -> str:
        """Package that makes the attack."""
        return "foolbox" if isinstance(self.attack, CarliniWagner) else "adversarial-robustness-toolbox"

    @property
    def inputs(self) -> dict[str, Any]:
        """All that the result depends on, as JSON values."""
        weight = self.substitute or {}
        return {
            "attack": self.attack.model_dump(exclude=_NOT_FOR_PIXELS),
            "model": self.model_digest,
            "seed": self.seed,
            "toolbox": importlib.metadata.version(self.toolbox),
            "images": digest(self.images.tobytes(), self.labels.tobytes()),
            "substitute": digest(*(weight[key].tobytes() for key in sorted(weight))),
            "chunk": self.number,
        }

    @property
    def kept(self) -> bool:
        """Whether the workspace has the result."""
        return Workspace(self.folder).file(self.attack.method, self.inputs).exists()

    def result(self, make: Callable[[], Arrays] | None = None) -> Arrays:
        """Return the attacked images, whether each fools, and the time it took.

        The entries are ``images`` uint8 [n, H, W, C], ``fooled`` bool [n] and ``seconds`` float64
        [1]. They are made on one torch thread, or read if they are kept.

        Args:
            make: makes them elsewhere, see ``made_from``; None makes them here.

        Raises:
            DataError: the classifier does not give an image its label.
        """
        return Workspace(self.folder).arrays(self.attack.method, self.inputs, make or self._make)

    def made_from(self, weights_file: bytes) -> Arrays:
        """Return what ``result`` returns, on a machine that has neither the model nor the workspace.

        Args:
            weights_file: content of the classifier's file.

        Raises:
            DataError: the content is not that of the file, or an image does not have its label.
        """
        if digest(weights_file) != self.model_digest:
            raise DataError(f"{self.model} is no longer the file that the attacks began with: run them again")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / self.model.name
            path.write_bytes(weights_file)
            return replace(self, model=path)._make()

    def _make(self) -> Arrays:
        started = time.perf_counter()
        model = weights.load(self.model)
        with one_thread():
            before = logits(model.network, model.classifier, self.images)
            if (wrong := np.flatnonzero(before.argmax(axis=1) != self.labels)).size:
                at = self.number * SIZE + int(wrong[0])
                raise DataError(f"image {at} is not labelled rightly by {model.name}; attack those that are")
            network = None
            if isinstance(self.attack, BlackBox) and self.substitute is not None:
                network = restored(self.attack.substitute, self.substitute, self.images, before.shape[1])
            seed = seed_of(self.seed, self.number)
            made = attacked(model, self.attack, self.images, self.labels, seed, network)
            after = logits(model.network, model.classifier, made).argmax(axis=1)
        return {
            "images": made,
            "fooled": after != self.labels,
            "seconds": np.array([time.perf_counter() - started]),
        }
