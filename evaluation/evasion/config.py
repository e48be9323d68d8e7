"""Configuration of the strongest attacks on a store: a TOML file."""

from pathlib import Path
from typing import Annotated, Self

from annotated_types import Gt, Len, Lt
from pydantic import StringConstraints, model_validator

from evaluation.adaptive.strongest.settings import AttackSettings, Count, Size
from evaluation.experiment.material.config import read_toml
from mutant_guard.store.manifest import Frozen

_FOLDER = "{data}"


class EvasionConfig(Frozen):
    """Configuration of the strongest attacks on a store.

    Attributes:
        title: heading of the report.
        data: SPEC of labelled images, ``{data}`` standing for the folder given to the command.
        images: number of rightly labelled images attacked.
        sizes: largest changes of a pixel, pixels from 0 to 1.
        false_alarms: rates of false alarms at which the store's policy is calibrated and evaded.
        attacks: the attacks.
        sanity_images: number of images that are attacked with changes of any size, which have to
            evade all.
        block: number of images attacked at a time, and kept.
        seed: seed of all random choices.
        earlier: name of the report of ``python -m evaluation run`` on a store without robust
            mutants, whose attackers stand beside these; or none.
    """

    title: str
    data: str
    images: Count
    sizes: Annotated[tuple[Size, ...], Len(1)]
    false_alarms: Annotated[tuple[Annotated[float, Gt(0), Lt(1)], ...], Len(1)] = (0.05, 0.01)
    attacks: Annotated[tuple[AttackSettings, ...], Len(1)]
    sanity_images: Count = 50
    block: Count = 100
    seed: int = 0
    earlier: Annotated[str, StringConstraints(pattern=r"^[\w-]+$")] | None = None

    @model_validator(mode="after")
    def _attacks_have_names_of_their_own(self) -> Self:
        names = [attack.name for attack in self.attacks]
        if len(set(names)) < len(names):
            raise ValueError(f"attacks need names of their own, got {', '.join(names)}")
        return self

    def spec(self, folder: Path) -> str:
        """Return the SPEC of the images below a folder."""
        return self.data.replace(_FOLDER, str(folder))

    @property
    def needs_folder(self) -> bool:
        """Whether the folder given to the command matters."""
        return _FOLDER in self.data

    @property
    def needs_another(self) -> bool:
        """Whether an attack is made with a store of the attacker's own."""
        return any(attack.knowledge == "method" for attack in self.attacks)

    def policies(self) -> dict[str, float]:
        """Return the rates of false alarms by the names of the policies, the largest first."""
        return {f"{100 * rate:g} %": rate for rate in sorted(self.false_alarms, reverse=True)}


def read_config(path: Path) -> EvasionConfig:
    """Read a configuration.

    Raises:
        DataError: the file cannot be read, or no attacks can be made of it; the message says where.
    """
    return read_toml(path, EvasionConfig)
