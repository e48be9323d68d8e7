"""Table of docs/scale.md, from the figures of the benchmark's page."""

import re

STORES = {
    "LeNet": "mnist_lenet",
    "ResNet-20": "cifar10_resnet20",
    "EfficientNet-Lite0": "lite0_by_lite1",
}
FIGURES = (
    "capacity",
    "utilisation",
    "replicas_10000",
    "replicas_100000",
    "replicas_1000000",
    "processor_seconds",
)
"""Figures of a store in the order of the columns."""


def scale_rows(page: str) -> list[list[str]]:
    """Return the rows of the table, a store each, from the text of ``benchmarks/SCALE.md``.

    A dash stands where no utilisation keeps the objective.
    """
    shown = dict(re.findall(r"(?m)^\| (scale_\w+) \| ([^|]+?) \|", page))
    return [
        [name, *(shown.get(f"scale_{key}_{figure}", "–") for figure in FIGURES)]
        for name, key in STORES.items()
    ]
