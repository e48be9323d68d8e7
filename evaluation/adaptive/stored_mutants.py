"""Mutants of a store itself, for an attacker that has a copy of it."""

from evaluation.adaptive.mutants import Mutants, check_scores
from evaluation.adaptive.stored_networks import StoredNetworks
from evaluation.adaptive.torch_mutants import TorchMutants
from evaluation.adaptive.trained_mutants import TrainedMutants
from mutant_guard.bank.pool import unpack
from mutant_guard.errors import ModelError
from mutant_guard.store.reader import MUTANTS, ROBUST, Store
from mutant_store.networks.weights import TrainedModel
from mutant_store.operators.nai import NeuronActivationInverse
from mutant_store.operators.retrain import Retrain


def from_store(store: Store, model: TrainedModel) -> Mutants:
    """Return the mutants of a store, with the store's numbers.

    Raises:
        ModelError: the store has companions, or no robust mutants and others than NAI alone or
            retrain alone, or was not built from this model.
    """
    pool = unpack(store.arrays(MUTANTS))
    operators = {mutant.operator for mutant in pool}
    if ROBUST in operators:
        mutants: Mutants = StoredNetworks(store)
    elif operators == {Retrain.name}:
        mutants = TrainedMutants(model, [mutant.choice["values"] for mutant in pool])
    elif operators == {NeuronActivationInverse.name}:
        mutants = _negated(store, model, TorchMutants(model, [mutant.choice["neurons"] for mutant in pool]))
    else:
        raise ModelError(
            f"store '{store.name}' has mutants by {', '.join(sorted(operators))}; adaptive attacks follow gradients "
            "through mutants by nai alone, by retrain alone, or by any operator beside robust ones"
        )
    check_scores(mutants, store, model)
    return mutants


def _negated(store: Store, model: TrainedModel, mutants: TorchMutants) -> TorchMutants:
    if mutants.neurons != store.manifest.neurons:
        raise ModelError(
            f"store '{store.name}' mutates {store.manifest.neurons} neurons and {model.name} has "
            f"{mutants.neurons}: it was built from another model, or with --layers"
        )
    return mutants
