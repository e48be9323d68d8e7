"""The toolbox's view of an oracle, and the attacks that it has: the boundary attack and SimBA.

Brendel, Rauber, Bethge: Decision-based adversarial attacks. ICLR 2018.
Guo, Gardner, You, Wilson, Weinberger: Simple black-box adversarial attacks. ICML 2019.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.attacks.randomness import seeded
from evaluation.attacks.target import MISSING
from evaluation.queries.attacks.problem import Problem
from evaluation.queries.oracle import Oracle
from evaluation.queries.settings import Boundary, SimBA
from mutant_guard.errors import DataError

_ROUNDS = 1_000_000


def boundary(oracle: Oracle, problem: Problem, settings: Boundary) -> None:
    """Walk along the boundary towards the source until the oracle ends it.

    Raises:
        CampaignOverError: the campaign is over.
        DataError: the toolbox is not installed.
    """
    estimator = _estimator(oracle, problem)
    from art.attacks.evasion import BoundaryAttack

    with seeded(int(problem.rng.integers(2**32))):
        BoundaryAttack(
            estimator,
            targeted=False,
            delta=settings.delta,
            epsilon=settings.epsilon,
            max_iter=_ROUNDS,
            sample_size=settings.samples,
            init_size=1,
            verbose=False,
        ).generate(_single(problem.source), _one_hot(problem), x_adv_init=_single(problem.start))


def simba(oracle: Oracle, problem: Problem, settings: SimBA) -> None:
    """Change one pixel after the other, in random order, until the oracle ends it.

    Raises:
        CampaignOverError: the campaign is over.
        DataError: the toolbox is not installed.
    """
    estimator = _estimator(oracle, problem)
    from art.attacks.evasion import SimBA as Method

    with seeded(int(problem.rng.integers(2**32))):
        Method(
            estimator,
            attack="px",
            max_iter=settings.steps,
            epsilon=settings.epsilon,
            order="random",
            freq_dim=1,
            stride=1,
            batch_size=1,
            verbose=False,
        ).generate(_single(problem.source), _one_hot(problem))


def _estimator(oracle: Oracle, problem: Problem) -> Any:
    try:
        from art.estimators.classification.blackbox import BlackBoxClassifierNeuralNetwork
    except ImportError as error:
        raise DataError(MISSING) from error

    def predict(images: NDArray[np.float32]) -> NDArray[np.float32]:
        found = oracle.ask(images)
        return _probabilities(found.fooled, found.costs, problem)

    return BlackBoxClassifierNeuralNetwork(
        predict,
        input_shape=problem.source.shape,
        nb_classes=problem.classes,
        channels_first=False,
        clip_values=(0.0, 1.0),
    )


def _probabilities(
    fooled: NDArray[np.bool_], costs: NDArray[np.float64], problem: Problem
) -> NDArray[np.float32]:
    """Return probabilities whose largest is the true label's unless the oracle is fooled.

    The true label's probability falls with the cost.
    """
    classes = problem.classes
    least = 1.5 / classes
    true = np.where(fooled, 0.0, least + (1 - least) * np.clip(costs / 2, 0, 1))
    made = np.repeat((1 - true)[:, None] / (classes - 1), classes, axis=1)
    made[:, problem.label] = true
    return made.astype(np.float32)


def _single(image: NDArray[np.float64]) -> NDArray[np.float32]:
    return image[None].astype(np.float32)


def _one_hot(problem: Problem) -> NDArray[np.float32]:
    return np.eye(problem.classes, dtype=np.float32)[[problem.label]]
