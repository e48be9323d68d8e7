"""The tiny classifier that the evaluation's command trains, for tests of the files it writes."""

from tests.evaluation.conftest import run_train, tiny_model

__all__ = ["run_train", "tiny_model"]
