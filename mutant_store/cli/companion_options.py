"""Options of ``mutant-store build`` for companions."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mutant_guard.errors import ModelError
from mutant_store.cli.input_options import numbers_of, size_of

if TYPE_CHECKING:
    from mutant_store.loading.companions import CompanionSource

_PANEL = "Companions"
_SETTINGS = ("mean", "std", "layout", "resize", "size", "channel-order", "output", "output-kind")
_CHOICES = (
    ("layout", ("nchw", "nhwc", "flat")),
    ("channel-order", ("rgb", "bgr")),
    ("output-kind", ("logits", "probabilities")),
)

Companions = Annotated[
    list[str] | None,
    typer.Option(
        "--companion",
        metavar="MODEL[;NAME=VALUE...]",
        help="Another classifier of the same classes, which serves as a mutant: a file or folder as for MODEL; give "
        "the option once for each. What its file or folder does not say is as for the original; settings behind a ';' "
        "overrule both: mean, std, layout, resize, size, channel-order, output, output-kind, as in "
        "'other.onnx;resize=crop:274;mean=0.5,0.5,0.5'.",
        rich_help_panel=_PANEL,
    ),
]
ClassMaps = Annotated[
    list[Path] | None,
    typer.Option(
        "--class-map",
        help="JSON file with the companion's class for each of the original's classes, where names do not match: "
        '{"beagle": "dog", "tench": null}. The first is for the first companion, and so on.',
        rich_help_panel=_PANEL,
    ),
]


def companions_named(texts: list[str], class_maps: list[Path]) -> "tuple[CompanionSource, ...]":
    """Return the companions that the options name.

    Raises:
        ModelError: a setting is none, or has no such value; or there are more maps than companions.
    """
    if len(class_maps) > len(texts):
        raise ModelError(
            f"there are {len(class_maps)} --class-map and {len(texts)} --companion: give one for each"
        )
    maps: list[Path | None] = [*class_maps]
    maps += [None] * (len(texts) - len(class_maps))
    return tuple(_companion(text, chosen) for text, chosen in zip(texts, maps, strict=True))


def _companion(text: str, class_map: Path | None) -> "CompanionSource":
    from mutant_store.loading.companions import CompanionSource
    from mutant_store.loading.input_spec import InputOptions
    from mutant_store.loading.model_source import ModelSource

    model, *parts = text.split(";")
    found: dict[str, str] = {}
    for part in parts:
        name, sign, value = part.partition("=")
        if not sign or name.strip() not in _SETTINGS or name.strip() in found:
            raise ModelError(
                f"--companion '{text}': '{part}' is no setting of its own; write NAME=VALUE once each, with NAME one "
                f"of {', '.join(_SETTINGS)}"
            )
        found[name.strip()] = value.strip()
    for name, choices in _CHOICES:
        if name in found and found[name] not in choices:
            raise ModelError(f"--companion '{text}': {name} is one of {', '.join(choices)}")
    options = InputOptions(
        numbers_of(found.get("mean"), "--companion"),
        numbers_of(found.get("std"), "--companion"),
        found.get("layout"),  # type: ignore[arg-type]
        found.get("resize"),
        size_of(found.get("size")),
        found.get("channel-order"),  # type: ignore[arg-type]
    )
    return CompanionSource(
        ModelSource(model),
        options,
        output=found.get("output"),
        output_kind=found.get("output-kind"),  # type: ignore[arg-type]
        class_map=class_map,
    )
