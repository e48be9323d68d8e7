"""Reading of the options that describe a classifier's input."""

import re
from math import isfinite

import typer


def numbers_of(text: str | None, option: str) -> list[float] | None:
    """Return the numbers, one a channel, that an option gives.

    Raises:
        BadParameter: the text holds something else than finite numbers.
    """
    if text is None:
        return None
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter(
            "give numbers separated by commas, one a channel", param_hint=option
        ) from error
    if not all(map(isfinite, found)):
        raise typer.BadParameter(f"'{text}': the numbers must be finite", param_hint=option)
    return found


def size_of(text: str | None) -> tuple[int, int] | None:
    """Return height and width, in pixels, that the option --size gives.

    Raises:
        BadParameter: the text is no size.
    """
    if text is None:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,4})(?:x([1-9][0-9]{0,4}))?", text)
    if found is None:
        raise typer.BadParameter("give HEIGHTxWIDTH in pixels, such as 224x224", param_hint="--size")
    return int(found[1]), int(found[2] or found[1])


def resize_rule(text: str | None) -> str | None:
    """Return the text of the option --resize, checked.

    Raises:
        BadParameter: the text is no rule.
    """
    from mutant_guard.store.resizing import ResizeRule

    if text is not None:
        try:
            ResizeRule.parse(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
    return text
