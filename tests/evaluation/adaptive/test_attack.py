"""Targets that attacks are given."""

import torch

from evaluation.adaptive.attack import Victims, with_original


def test_targets_are_the_wrong_labels_by_likelihood(victims: Victims) -> None:
    ranked = torch.stack([victims.targets(rank) for rank in range(9)], 1)
    assert not (ranked == victims.labels[:, None]).any()
    assert all(len(set(row)) == 9 for row in ranked.tolist())
    scores = victims.logits.gather(1, ranked)
    assert (scores[:, :-1] >= scores[:, 1:]).all()


def test_the_original_comes_first() -> None:
    assert with_original(torch.tensor([[3, 1], [2, 5]])).tolist() == [[0, 3, 1], [0, 2, 5]]
