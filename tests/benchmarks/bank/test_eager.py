"""Tests that the torch mutants that are timed are the mutants the product makes."""

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.agreement import DisagreementError, check_agreement
from benchmarks.bank import eager
from benchmarks.bank.networks import Network
from benchmarks.bank.pools import Pool, draw_pool
from mutant_guard.bank.session import IMAGES, open_session, run_session

pytestmark = pytest.mark.slow


def source(pool: Pool) -> nn.Module:
    return pool.network.module if pool.operator == "nai" else eager.folded(pool.network.module)


def answer(module: nn.Module, pool: Pool) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    with torch.inference_mode():
        return np.asarray(module(torch.from_numpy(pool.network.inputs[:3])).numpy())


def test_a_mutant_answers_like_its_stand_alone_file(pool: Pool) -> None:
    original = answer(pool.network.module, pool)
    for number, mutant in enumerate(pool.mutants, 1):
        model = pool.stand_alone.model(number, original_names=False).SerializeToString()
        expected = run_session(open_session(model, threads=1), IMAGES, pool.network.inputs[:3])[0]
        found = answer(eager.mutated(source(pool), mutant), pool)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
        assert not np.allclose(found, original, rtol=1e-3, atol=1e-3)


def test_nai_is_the_same_with_batch_normalisation_folded_or_not(untrained: Network) -> None:
    pool = draw_pool(untrained, "nai", 3)
    for mutant in pool.mutants:
        one, other = (
            answer(eager.mutated(module, mutant), pool)
            for module in (untrained.module, eager.folded(untrained.module))
        )
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


def test_the_module_itself_is_left_alone(pool: Pool) -> None:
    module = source(pool)
    before = answer(module, pool)
    eager.mutated(module, pool.mutants[0])
    assert (answer(module, pool) == before).all()


def test_folding_changes_no_answer_and_leaves_no_normalisation(pool: Pool) -> None:
    folded = eager.folded(pool.network.module)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in folded.modules())
    np.testing.assert_allclose(answer(folded, pool), answer(pool.network.module, pool), rtol=1e-3, atol=1e-3)


def test_the_bank_agrees_and_a_wrong_mutant_is_noticed(pool: Pool) -> None:
    session = pool.bank.session(threads=1)
    modules = [eager.mutated(source(pool), mutant) for mutant in pool.mutants]
    inputs = pool.network.inputs[:3]
    check_agreement(session, modules, range(1, 7), inputs)
    with pytest.raises(DisagreementError, match="do not agree on mutant 1;"):
        check_agreement(session, modules[1:2], [1], inputs)
    session.close()


def test_right_answers_are_counted_over_all_batches(pool: Pool) -> None:
    images = torch.from_numpy(pool.network.inputs)
    labels = torch.from_numpy(answer(pool.network.module, pool).argmax(axis=1))
    batches = [(images[:2], labels[:2]), (images[2:3], 1 + labels[2:3])]
    assert eager.correct(pool.network.module, batches, 1) == 2
    scores = eager.scores([pool.network.module] * 2, images[:1], 1)
    assert scores.argmax(axis=1).tolist() == [int(labels[0])] * 2
