"""Attacks by an attacker that knows the guard, on the same images at every size.

They are kept once they were made.
"""

from collections.abc import Callable
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from evaluation.adaptive.mutants import Mutants
from evaluation.adaptive.run import adaptive
from evaluation.adaptive.settings import AttackSettings
from evaluation.adaptive.stored_mutants import from_store
from evaluation.adaptive.torch_mutants import drawn
from evaluation.attacks.craft import attacked
from evaluation.attacks.digest import file_digest
from evaluation.attacks.settings import Pgd
from evaluation.experiment.material.config import AdaptiveSettings
from evaluation.experiment.material.pool_settings import is_trained
from evaluation.experiment.material.pools import PoolKey, Pools
from evaluation.experiment.material.subject import ExperimentSubject
from evaluation.experiment.measuring.robustness import Attacked
from evaluation.sample_set import SampleSet
from evaluation.workspace import Workspace
from mutant_store.networks.inference import logits
from mutant_store.reporter import Reporter
from mutant_store.threads import one_thread

_FILTER_IMAGES = 500
Pixels = NDArray[np.uint8]


def attackers(
    subject: ExperimentSubject,
    settings: AdaptiveSettings,
    pools: Pools,
    key: PoolKey,
    workspace: Workspace,
    report: Reporter,
) -> list[Attacked]:
    """Make every attack at every size.

    They are plain PGD (knowledge ``none``), then each adaptive one with own mutants and with those
    of a pool's store.

    Raises:
        ModelError: the store has mutants by other operators than NAI or retrain.
    """
    model, seed = subject.model, subject.config.seed
    store = pools.required(key)
    the_store = from_store(store, model)
    positions = subject.right[: settings.images]
    clean = SampleSet("clean", subject.test.images[positions], subject.test.labels[positions], positions)

    @cache
    def known(knowledge: str) -> Mutants:
        if knowledge == "store":
            return the_store
        if is_trained(key.operator):
            return from_store(pools.another(key, settings.mutants), model)
        filtered_on = subject.train.part(0, _FILTER_IMAGES)
        return drawn(model, filtered_on, store.manifest.rate, settings.mutants, seed + 1)

    identity = {
        "model": file_digest(subject.weights_file),
        "images": clean.digest,
        "store": store.version,
        "mutants": settings.mutants,
        "seed": seed,
    }
    found = []

    def add(
        name: str, knowledge: str, epsilon: float, settings: BaseModel, make: Callable[[], Pixels]
    ) -> None:
        inputs = {**identity, **settings.model_dump(), "knowledge": knowledge}
        with one_thread():  # the same images on any number of cores
            kept = workspace.arrays(name, inputs, lambda: {"images": make()})
        found.append(_attacked(subject, name, knowledge, epsilon, clean, np.asarray(kept["images"])))

    for epsilon in settings.epsilons:
        plain = _plain(epsilon)
        add("pgd", "none", epsilon, plain, partial(attacked, model, plain, clean.images, clean.labels, seed))
        for knowledge in settings.knowledge:
            for attack in settings.at(epsilon):
                note = f"{attack.method}, {knowledge} known, ε {epsilon:g}"
                told = partial(_told, report, len(clean), note)
                make = partial(_adaptive, partial(known, knowledge), attack, clean, seed, told)
                add(attack.method, knowledge, epsilon, attack, make)
    return found


def _plain(epsilon: float) -> Pgd:
    """Return settings of PGD that knows nothing of the guard."""
    return Pgd(
        name="pgd", samples=1, attempts=1, epsilon=epsilon, step=0.1 * epsilon, iterations=40, restarts=0
    )


def _adaptive(
    mutants: Callable[[], Mutants],
    attack: AttackSettings,
    clean: SampleSet,
    seed: int,
    told: Callable[[int], None],
) -> Pixels:
    return adaptive(mutants(), attack, clean.images, clean.labels, seed, told)


def _told(report: Reporter, total: int, note: str, done: int) -> None:
    report.progress(done, total, note)


def _attacked(
    subject: ExperimentSubject, attack: str, knowledge: str, epsilon: float, clean: SampleSet, images: Pixels
) -> Attacked:
    labels = logits(subject.model.network, subject.model.classifier, images).argmax(axis=1)
    name = f"{attack}-{knowledge}-{epsilon:g}"
    samples = SampleSet(name, images, clean.labels, clean.sources)
    return Attacked(attack, knowledge, epsilon, samples, labels != clean.labels)
