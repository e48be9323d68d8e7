"""Configuration of an experiment with published classifiers: a TOML file."""

from pathlib import Path
from typing import Annotated, Self

from annotated_types import Ge, Len
from pydantic import model_validator

from evaluation.adaptive.settings import Joint
from evaluation.attacks.settings import AttackSettings
from evaluation.experiment.material.config import read_toml
from evaluation.experiment.records.results import NORMAL, WRONG
from evaluation.experiment.records.targets import Target
from evaluation.imagenet.classifiers import PublishedClassifier
from mutant_guard.errors import ModelError
from mutant_guard.store.manifest import Frozen

_FOLDER = "{data}"
Count = Annotated[int, Ge(1)]


class StoreSettings(Frozen):
    """Store that guards the original.

    Attributes:
        name: name of the store, in tables as well.
        companions: classifiers that serve as its mutants; none where mutants are drawn.
        options: further options of ``mutant-store build``.
    """

    name: Annotated[str, Len(1)]
    companions: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class JointSettings(Frozen):
    """Attack on the original and a store's companions at once.

    Attributes:
        store: name of the store whose companions the attacker holds.
        images: number of photographs that are attacked.
        attacks: settings of the attack, each with its size.
    """

    store: str
    images: Count
    attacks: Annotated[tuple[Joint, ...], Len(1)]


class Config(Frozen):
    """Configuration of one experiment.

    Attributes:
        title: heading of the report.
        original: name of the published classifier that is guarded.
        photographs: folder of the photographs, ``{data}`` standing for the folder given to the
            command.
        seed: seed of everything that is drawn.
        calibrating: number of photographs that the stores are built with; the others are tested.
        normal: largest number of rightly labelled test photographs.
        wrong: largest number of wrongly labelled ones.
        squeezing_bits: bits a channel that feature squeezing leaves.
        stores: stores that are measured.
        attacks: settings of the attacks.
        joint: attack by an attacker that holds the companions, or none.
        against: detectors that the stores are compared with, image by image.
        targets: figures that were asked for.
    """

    title: str
    original: str
    photographs: str
    seed: int = 0
    calibrating: Count
    normal: Count
    wrong: Count
    squeezing_bits: Annotated[int, Ge(1)] = 5
    stores: Annotated[tuple[StoreSettings, ...], Len(1)]
    attacks: Annotated[tuple[AttackSettings, ...], Len(1)]
    joint: JointSettings | None = None
    against: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()

    @model_validator(mode="after")
    def _names_are_there(self) -> Self:
        kinds = [NORMAL, WRONG, *(attack.name for attack in self.attacks)]
        stores = [store.name for store in self.stores]
        for names in (kinds, stores):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"names used twice: {', '.join(twice)}")
        for name in (self.original, *(name for store in self.stores for name in store.companions)):
            try:
                PublishedClassifier.named(name)
            except ModelError as error:
                raise ValueError(str(error)) from error
        if self.joint is not None and not self.store(self.joint.store).companions:
            raise ValueError(
                f"the joint attack needs a store with companions, and '{self.joint.store}' has none"
            )
        return self

    def store(self, name: str) -> StoreSettings:
        """Return the settings of a store.

        Raises:
            ValueError: there is no such store.
        """
        for store in self.stores:
            if store.name == name:
                return store
        raise ValueError(f"there is no store '{name}'")

    def source(self, data: Path) -> Path:
        """Return the folder of the photographs, below a folder."""
        return Path(self.photographs.replace(_FOLDER, str(data)))


def read_config(path: Path) -> Config:
    """Read a configuration, see ``read_toml``."""
    return read_toml(path, Config)
