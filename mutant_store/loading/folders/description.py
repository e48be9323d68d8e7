"""What a folder's files say of a model, whoever wrote them."""

from dataclasses import dataclass

from mutant_store.loading.input_spec import InputOptions

FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
"""Names of Pillow's filters by their numbers."""


@dataclass(frozen=True)
class Description:
    """Treatment of images, and class names.

    Attributes:
        source: name of the file that describes the treatment of images; None where none does.
        input: mean, standard deviation, channel order, size and resize rule; None what it leaves
            open.
        unread: why the resize rule is not read, and which to choose; empty where it is.
        classes: class names in the model's order; None where none are given.
        classes_source: name of the file that gives them.
    """

    source: str | None
    input: InputOptions
    unread: str = ""
    classes: list[str] | None = None
    classes_source: str = ""
