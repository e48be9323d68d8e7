"""Configuration of an experiment: a TOML file."""

import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from annotated_types import Ge, Gt, Le, Len
from pydantic import BaseModel, Field, StringConstraints, TypeAdapter, ValidationError, model_validator

from evaluation.adaptive.settings import AttackSettings as AdaptiveAttack
from evaluation.attacks.settings import AttackSettings
from evaluation.baselines import BaselineSettings, baselines
from evaluation.experiment.material.pool_settings import RETRAIN, PoolSettings, is_trained
from evaluation.experiment.records.results import NORMAL, WRONG
from evaluation.experiment.records.targets import Target
from mutant_guard.errors import DataError
from mutant_guard.store.manifest import Frozen

_ADAPTIVE: TypeAdapter[AdaptiveAttack] = TypeAdapter(AdaptiveAttack)

_FOLDER = "{data}"
_M = TypeVar("_M", bound=BaseModel)

Count = Annotated[int, Ge(1)]


class AdaptiveSettings(Frozen):
    """Attacks by an attacker that knows the guard.

    Attributes:
        images: number of rightly labelled test images that are attacked.
        epsilons: largest changes of a pixel, pixels 0 to 1; every attack is made at each.
        attacks: settings of ``evaluation.adaptive.settings`` without ``epsilon``.
        mutants: number of own mutants that an attacker without the store draws, or trains.
        knowledge: attackers besides the one that knows the classifier alone: one with own mutants
            (``method``), one with the store itself (``store``).
    """

    images: Count
    epsilons: Annotated[tuple[Annotated[float, Gt(0), Le(1)], ...], Len(1)]
    attacks: Annotated[tuple[dict[str, Any], ...], Len(1)]
    mutants: Count = 200
    knowledge: tuple[Literal["method", "store"], ...] = ("method", "store")

    @model_validator(mode="after")
    def _attacks_are_known(self) -> Self:
        for epsilon in self.epsilons:
            self.at(epsilon)
        return self

    def at(self, epsilon: float) -> list[AdaptiveAttack]:
        """Return the attacks at one size."""
        return [_ADAPTIVE.validate_python({**attack, "epsilon": epsilon}) for attack in self.attacks]


class Explanation(Frozen):
    """Reason why cells differ from the paper's.

    Patterns are those of shells; the first that matches counts.

    Attributes:
        table: ``label change rate``, ``AUROC`` or ``detection``.
        operator: pattern of operators.
        kind: pattern of kinds.
        direction: whether ours is above or below the paper's.
        text: the reason.
    """

    table: str = "*"
    operator: str = "*"
    kind: str = "*"
    direction: Literal["above", "below", "*"] = "*"
    text: Annotated[str, Len(1)]

    def covers(self, table: str, operator: str, kind: str, direction: str) -> bool:
        """Check whether the reason is about a cell."""
        pairs = (
            (self.table, table),
            (self.operator, operator),
            (self.kind, kind),
            (self.direction, direction),
        )
        return all(fnmatchcase(value, pattern) for pattern, value in pairs)


class Config(Frozen):
    """Configuration of one experiment.

    Attributes:
        title: heading of the report.
        model: the classifier's ONNX file, its .safetensors beside it; relative to the working
            folder.
        data: SPEC of its data without the split, ``{data}`` standing for the folder given to the
            command.
        paper: data set of the paper's tables that the results are compared with, or none.
        other: SPEC of images of other things, to see the guard's answers to them.
        seed: seed of everything that is drawn.
        normal: number of rightly labelled test images.
        wrong: largest number of wrongly labelled ones.
        rhos: ρ of Algorithm 1, each at the main rate.
        delta_ratio: δ/ςh of Algorithm 1.
        pools: settings of the mutants.
        attacks: settings of the attacks that make suspicious images.
        baselines: settings of other detectors, or none.
        adaptive: settings of attacks by an attacker that knows the guard, or none.
        adaptive_report: name of the report of attacks on such a store by who knows it, made by
            ``python -m evaluation adaptive``, or none.
        against: detectors that the summed doubts of trained mutants are compared with, image by
            image.
        targets: figures that were asked for.
        posted: number of images of each kind that are also sent to the real server.
        timed: number of images on which the time of one image is measured.
        explanations: reasons why cells differ from the paper's.
    """

    title: str
    model: Path
    data: str
    paper: Literal["mnist", "cifar10"] | None = None
    other: str | None = None
    seed: int = 0
    normal: Count
    wrong: Count
    rhos: Annotated[tuple[Annotated[float, Gt(0)], ...], Len(1)]
    delta_ratio: Annotated[float, Gt(0), Le(1)] = 0.1
    pools: PoolSettings
    attacks: Annotated[tuple[AttackSettings, ...], Len(1)]
    baselines: BaselineSettings | None = None
    adaptive: AdaptiveSettings | None = None
    adaptive_report: Annotated[str, StringConstraints(pattern=r"^[\w-]+$")] | None = None
    against: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()
    posted: Count = 20
    timed: Count = 30
    explanations: tuple[Explanation, ...] = Field(default=())

    @model_validator(mode="after")
    def _kinds_have_names_of_their_own(self) -> Self:
        names = [NORMAL, WRONG, *(attack.name for attack in self.attacks)]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"attacks need names of their own; used twice: {', '.join(sorted(twice))}")
        return self

    @model_validator(mode="after")
    def _adaptive_attacks_follow_gradients(self) -> Self:
        if self.adaptive is not None and self.pools.operators[0] not in {"nai", RETRAIN}:
            raise ValueError(
                "adaptive attacks are made against the first operator's store and need it to be nai or retrain; "
                "put one of them first, or leave [adaptive] out; python -m evaluation adaptive attacks robust mutants"
            )
        return self

    @model_validator(mode="after")
    def _detectors_are_there(self) -> Self:
        known = {f"LCR {name}" for name in self.pools.operators}
        known |= {f"doubt {name}" for name in self.pools.operators if is_trained(name)}
        if self.baselines is not None:
            known |= {one.name for one in baselines(self.baselines)}
        if unknown := sorted(set(self.against) - known):
            raise ValueError(f"against names detectors that there are not: {', '.join(unknown)}")
        return self

    def spec(self, split: str, folder: Path) -> str:
        """Return the SPEC of a split of the data below a folder."""
        return f"{self.data.replace(_FOLDER, str(folder))}@{split}"

    def other_spec(self, folder: Path) -> str | None:
        """Return the SPEC of the images of other things, below a folder."""
        return None if self.other is None else self.other.replace(_FOLDER, str(folder))

    @property
    def needs_folder(self) -> bool:
        """Whether the folder given to the command matters."""
        return _FOLDER in self.data or _FOLDER in (self.other or "")

    def paper_column(self, kind: str) -> str | None:
        """Return the column of the paper's tables that a kind belongs in."""
        if kind in {NORMAL, WRONG}:
            return kind
        return next((attack.paper for attack in self.attacks if attack.name == kind), None)


def read_config(path: Path) -> Config:
    """Read a configuration, see ``read_toml``."""
    return read_toml(path, Config)


def read_toml(path: Path, kind: type[_M]) -> _M:
    """Read a TOML file as a record.

    Args:
        path: the file.
        kind: model of the record.

    Raises:
        DataError: the file cannot be read, or no experiment can be made of it; the message says
            where.
    """
    try:
        return kind.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); evaluation/configs/ has some") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no TOML file: {error}") from error
    except ValidationError as error:
        # A misspelt field is missing as well: the message names first a field that should not be
        # there.
        first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise DataError(f"{path}: {where}: {first['msg'].removeprefix('Value error, ')}") from error
