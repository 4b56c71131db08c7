"""Asking some tags of a step: those that occur always, the others in expectation."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from anytag.training.asking import choose_own_tags, choose_tags
from anytag.training.losses import asymmetric_loss


def targets(seed: int, images: int, tags: int, share: float) -> Tensor:
    return (torch.rand(images, tags, generator=torch.Generator().manual_seed(seed)) < share).float()


@given(st.integers(0, 99), st.integers(1, 6), st.integers(2, 60), st.integers(1, 40))
def test_what_occurs_is_asked_and_weights_make_up_for_the_rest(
    seed: int, images: int, tags: int, number: int
) -> None:
    truth = targets(seed, images, tags, 0.05)
    asked = choose_tags(truth, number)
    if asked is None:
        assert number >= tags
        return
    occurring = set(truth.any(0).nonzero()[:, 0].tolist())
    assert occurring <= set(asked.ids.tolist())
    assert len(set(asked.ids.tolist())) == len(asked.ids)
    assert torch.isclose(asked.weights.sum(), torch.tensor(float(tags)))


def test_all_tags_need_no_choice() -> None:
    assert choose_tags(targets(0, 2, 5, 0.3), None) is None
    assert choose_tags(targets(0, 2, 5, 0.3), 5) is None


def test_the_mean_over_choices_is_the_loss_of_all_tags() -> None:
    torch.manual_seed(0)
    truth, logits = targets(1, 4, 40, 0.1), torch.randn(4, 40)
    options = {"gamma_neg": 2.0, "gamma_pos": 0.0, "clip": 0.05}
    whole = asymmetric_loss(logits, truth, **options).sum()
    sampled = []
    for _ in range(4000):
        asked = choose_tags(truth, 20)
        assert asked is not None
        weights = asked.weights.expand(4, -1)
        loss = asymmetric_loss(
            logits[:, asked.ids], truth[:, asked.ids], weights=weights, **options
        )
        sampled.append(loss.sum())
    assert torch.isclose(torch.stack(sampled).mean(), whole, rtol=0.01)


def test_low_scores_do_not_count_as_occurring() -> None:
    truth = torch.full((3, 50), 0.01)
    truth[1, 7] = 0.6
    asked = choose_tags(truth, 10)
    assert asked is not None
    assert len(asked.ids) == 10
    assert asked.weights[asked.ids == 7].tolist() == [1.0]
    assert torch.allclose(asked.weights[asked.ids != 7], torch.tensor(49 / 9))


@given(st.integers(0, 99), st.integers(1, 6), st.integers(2, 60), st.integers(1, 40))
def test_each_picture_is_asked_its_likeliest_tags(
    seed: int, images: int, tags: int, number: int
) -> None:
    scores = torch.rand(images, tags, generator=torch.Generator().manual_seed(seed))
    asked = choose_own_tags(scores, number)
    if asked is None:
        assert number >= tags
        return
    assert asked.ids.shape == (images, number)
    assert torch.isclose(asked.weights.sum(), torch.tensor(float(tags)))
    for row, ids in zip(scores, asked.ids.tolist(), strict=True):
        assert len(set(ids)) == number
        likeliest = row.argsort(descending=True)[: number // 3].tolist()
        assert set(ids[: number // 3]) == set(likeliest)


def test_the_mean_over_own_choices_is_the_loss_of_all_tags() -> None:
    torch.manual_seed(0)
    truth, logits = targets(1, 4, 40, 0.1), torch.randn(4, 40)
    options = {"gamma_neg": 2.0, "gamma_pos": 0.0, "clip": 0.05}
    whole = asymmetric_loss(logits, truth, **options).sum()
    sampled = []
    for _ in range(4000):
        asked = choose_own_tags(truth, 20)
        assert asked is not None
        chosen, answers = logits.gather(1, asked.ids), truth.gather(1, asked.ids)
        weights = asked.weights.expand(4, -1)
        sampled.append(asymmetric_loss(chosen, answers, weights=weights, **options).sum())
    assert torch.isclose(torch.stack(sampled).mean(), whole, rtol=0.01)
