"""Detectors that the guard is compared with on the same images."""

from evaluation.baselines.base import Baseline, Detector, FeatureDetector, sample
from evaluation.baselines.confidence import Confidence, Entropy, Margin
from evaluation.baselines.cross_fit import CrossFitted, cross_fitted
from evaluation.baselines.deep_ensemble import DeepEnsemble
from evaluation.baselines.dropout import DropoutSettings
from evaluation.baselines.feature_squeezing import FeatureSqueezing
from evaluation.baselines.input_perturbation import InputPerturbation
from evaluation.baselines.kernel_density import KernelDensity
from evaluation.baselines.local_intrinsic_dimensionality import LocalIntrinsicDimensionality
from evaluation.baselines.mahalanobis import Mahalanobis
from evaluation.baselines.mc_dropout import MonteCarloDropout
from evaluation.baselines.settings import BaselineSettings

__all__ = [
    "Baseline",
    "BaselineSettings",
    "CrossFitted",
    "Detector",
    "FeatureDetector",
    "baselines",
    "cross_fitted",
    "sample",
]


def baselines(settings: BaselineSettings) -> list[Detector | FeatureDetector]:
    """Return the baselines, not yet fitted, in the order of a table's rows.

    Those that see no adversarial image come first. The training images to fit them on are
    ``sample(train, settings.training_images, seed)``.

    Raises:
        ValueError: ``settings.only`` names a baseline that there is not.
    """
    dropout = DropoutSettings(
        settings.dropout_rate, settings.dropout_epochs, settings.dropout_images, settings.dropout_passes
    )
    every: list[Detector | FeatureDetector] = [
        Confidence(),
        Entropy(),
        Margin(),
        InputPerturbation(settings.perturbation_sigma, settings.perturbation_draws),
        FeatureSqueezing(settings.squeezing_bits, settings.squeezing_median),
        MonteCarloDropout(dropout),
        DeepEnsemble(
            settings.ensemble_members, settings.ensemble_epochs, temperatures=settings.ensemble_temperatures
        ),
        KernelDensity(dropout),
        Mahalanobis(),
        LocalIntrinsicDimensionality(settings.lid_neighbours, settings.lid_references),
    ]
    if settings.only is None:
        return every
    if unknown := sorted(set(settings.only) - {one.name for one in every}):
        raise ValueError(f"there is no baseline {', '.join(unknown)}")
    return [one for one in every if one.name in settings.only]
