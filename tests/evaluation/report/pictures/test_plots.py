"""Pictures of the report: each can be read back and is not empty."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.experiment.records.results import Results
from evaluation.report.cells import Cells
from evaluation.report.pictures.cost_plot import _spread
from evaluation.report.pictures.mutants_plot import mutants_plot
from evaluation.report.pictures.plots import plots

_NAMES = [
    "adaptive",
    "confidence",
    "cost",
    "histogram-gf",
    "histogram-nai",
    "mutants-used",
    "paper-rates",
    "roc",
]


@pytest.mark.parametrize("name", _NAMES)
def test_a_picture_shows_something(folder: Path, name: str) -> None:
    content = (folder / f"{name}.png").read_bytes()
    with Image.open(BytesIO(content)) as image:
        assert image.info.keys() <= {"dpi"}
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape[1] >= 900
    coloured = (pixels.max(axis=2).astype(int) - pixels.min(axis=2)) > 60
    assert 0.0005 < coloured.mean() < 0.5
    assert len(np.unique(pixels @ np.array([65536, 256, 1]))) > 20


def test_there_is_no_picture_of_what_was_not_measured(results: Results) -> None:
    empty: dict[str, list[object]] = {
        name: []
        for name in (
            "label_change_rates",
            "curves",
            "cells",
            "scatter",
            "mutants_used",
            "adaptive",
            "histograms",
        )
    }
    assert plots(results.model_copy(update=empty)) == {}


def test_labels_keep_their_order_and_distance() -> None:
    places = [0.0, 0.01, 0.02, 0.5, 0.99, 0.995, 1.0]
    spread = _spread(places)
    assert spread == sorted(spread)
    assert np.diff(spread).min() >= 0.0209
    assert spread[3] == 0.5
    assert -1e-9 <= spread[0] <= spread[-1] <= 1


def test_policies_that_always_take_the_same_number_are_not_drawn(results: Results) -> None:
    only = {
        "mutants_used": [used.model_copy(update={"quantiles": [7.0, 7.0]}) for used in results.mutants_used]
    }
    assert mutants_plot(Cells(results.model_copy(update=only))) is None
    first = results.mutants_used[0].policy
    some = [
        used.model_copy(update={"quantiles": [7.0, 7.0]}) if used.policy == first else used
        for used in results.mutants_used
    ]
    figure = mutants_plot(Cells(results.model_copy(update={"mutants_used": some})))
    assert figure is not None
    assert [panel.get_title(loc="left") or panel.get_title() for panel in figure.axes] == [
        policy for policy in dict.fromkeys(used.policy for used in some) if policy != first
    ]
    assert "left out" in figure.get_supxlabel()
