"""Losses against plain formulas, at extreme values and in half precision."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from anytag.training.losses import (
    MAX_RATIO,
    alignment_loss,
    asymmetric_loss,
    caption_loss,
    distillation_loss,
    joint_loss,
    same_captions,
)

RAM = {"gamma_neg": 7.0, "gamma_pos": 0.0, "clip": 0.05}
HUGE = st.floats(-(2.0**100), 2.0**100, width=32)


def by_hand(logit: float, target: float, gamma_neg: float, gamma_pos: float, clip: float) -> float:
    """One answer in double precision."""
    present = 1 / (1 + math.exp(-logit))
    absent = min(1 - present + clip, 1.0)
    if target == 1:
        return -((1 - present) ** gamma_pos) * math.log(present)
    return -((1 - absent) ** gamma_neg) * math.log(absent)


@pytest.mark.parametrize("gammas", [(7.0, 0.0, 0.05), (4.0, 1.0, 0.0), (0.0, 0.0, 0.0)])
def test_asymmetric_loss_is_its_equation(gammas: tuple[float, float, float]) -> None:
    values = [-6.0, -1.5, 0.0, 0.7, 5.0]
    neg, pos, clip = gammas
    for target in (0.0, 1.0):
        loss = asymmetric_loss(
            torch.tensor([values]),
            torch.full((1, 5), target),
            gamma_neg=neg,
            gamma_pos=pos,
            clip=clip,
        )
        expected = sum(by_hand(value, target, neg, pos, clip) for value in values)
        assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_without_focus_it_is_binary_cross_entropy() -> None:
    logits, targets = torch.randn(4, 9), torch.rand(4, 9)
    loss = asymmetric_loss(logits, targets, gamma_neg=0, gamma_pos=0, clip=0)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, targets, reduction="none"
    )
    torch.testing.assert_close(loss, expected.sum(1))


def test_answers_that_are_not_known_cost_and_teach_nothing() -> None:
    logits = torch.randn(2, 6, requires_grad=True)
    targets, weights = torch.randint(0, 2, (2, 6)).float(), torch.ones(2, 6)
    weights[0, 2:] = 0
    loss = asymmetric_loss(logits, targets, **RAM, weights=weights)
    short = asymmetric_loss(logits[:1, :2], targets[:1, :2], **RAM)
    torch.testing.assert_close(loss[:1], short)
    loss.sum().backward()
    assert logits.grad is not None
    assert not logits.grad[0, 2:].any()
    assert logits.grad[0, :2].all()


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(HUGE, min_size=1, max_size=6),
    target=st.sampled_from([0.0, 0.3, 1.0]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
    gammas=st.sampled_from([(7.0, 0.0), (4.0, 0.0), (2.0, 1.0), (0.5, 3.5)]),
)
def test_asymmetric_loss_is_always_finite(
    values: list[float], target: float, dtype: torch.dtype, gammas: tuple[float, float]
) -> None:
    # float16 turns the largest into infinity, which is a certain answer and no error
    logits = torch.tensor([values]).to(dtype).requires_grad_(True)
    targets = torch.full((1, len(values)), target, dtype=dtype)
    loss = asymmetric_loss(logits, targets, gamma_neg=gammas[0], gamma_pos=gammas[1], clip=0.05)
    assert loss.dtype == torch.float32
    assert (loss >= 0).all()
    assert loss.isfinite().all()
    loss.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_what_is_not_a_number_is_not_hidden() -> None:
    assert asymmetric_loss(torch.tensor([[math.nan]]), torch.zeros(1, 1), **RAM).isnan().all()


def sample_captions() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    ids = torch.randint(1, 11, (3, 8))
    mask = torch.arange(8) < torch.tensor([[8], [6], [0]])
    return torch.randn(3, 8, 11), ids, mask


def test_caption_loss_is_the_mean_of_next_tokens() -> None:
    logits, ids, mask = sample_captions()
    total, count = caption_loss(logits, ids, mask, num_ignored=4, label_smoothing=0.1)
    expected = []
    for row, length in ((0, 8), (1, 6)):
        for place in range(4, length):
            log = logits[row, place - 1].double().log_softmax(-1)
            expected.append(-0.9 * log[ids[row, place]] - 0.1 * log.mean())
    assert count == len(expected) == 6
    torch.testing.assert_close(total, torch.stack(expected).sum().float())


def test_the_prompt_and_what_follows_the_end_are_not_learned() -> None:
    logits, ids, mask = sample_captions()
    logits.requires_grad_(True)
    total, _ = caption_loss(logits, ids, mask, num_ignored=4, label_smoothing=0.1)
    total.backward()
    assert logits.grad is not None
    learned = logits.grad.abs().sum(-1) > 0
    assert learned.nonzero().tolist() == [[0, 3], [0, 4], [0, 5], [0, 6], [1, 3], [1, 4]]


@pytest.mark.parametrize("length", [1, 8])
def test_no_captions_at_all(length: int) -> None:
    logits = torch.randn(2, length, 5, requires_grad=True)
    ids, mask = torch.ones(2, length, dtype=torch.int64), torch.zeros(2, length)
    total, count = caption_loss(logits, ids, mask, num_ignored=4, label_smoothing=0.1)
    assert (total, count) == (0, 0)
    total.backward()
    assert logits.grad is not None
    assert not logits.grad.any()


def test_losses_of_half_precision_are_float32() -> None:
    half = torch.randn(2, 3).bfloat16()
    assert distillation_loss(half, half).dtype == torch.float32
    ids = torch.ones(2, 3, dtype=torch.int64)
    text, _ = caption_loss(
        torch.randn(2, 3, 4).bfloat16(), ids, ids, num_ignored=1, label_smoothing=0.1
    )
    assert text.dtype == torch.float32


def test_distillation_is_the_mean_distance_of_each_image() -> None:
    loss = distillation_loss(torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([3.0, -2.0]))
    assert loss.tolist() == [3.0, 2.5]


def test_alignment_takes_all_right_captions() -> None:
    logits = torch.tensor([[0.3, -0.2, 1.0]])
    loss = alignment_loss(logits, torch.tensor([[True, False, True]]), gamma_neg=4, clip=0.05)
    expected = (
        by_hand(0.3, 1, 4, 0, 0.05) + by_hand(-0.2, 0, 4, 0, 0.05) + by_hand(1, 1, 4, 0, 0.05)
    )
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_equal_captions_are_right_for_each_other() -> None:
    found = same_captions(("a dog", "a cat", "a dog", "", ""))
    assert found.int().tolist() == [
        [1, 0, 1, 0, 0],
        [0, 1, 0, 0, 0],
        [1, 0, 1, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]
    assert torch.equal(same_captions(("a", "b", "c")), torch.eye(3, dtype=torch.bool))


@settings(max_examples=50, deadline=None)
@given(tagging=st.floats(1e-3, 1e4), captioning=st.floats(1e-3, 1e2), factor=st.floats(0.1, 10))
def test_captions_set_the_size_of_tagging(tagging: float, captioning: float, factor: float) -> None:
    """The sum is twice the caption loss, and the gradient keeps its direction."""
    weight = torch.tensor([1.0, 2.0], requires_grad=True)
    tags, text = (weight**2).sum() * tagging, (weight[0] - weight[1]).abs() * captioning
    total = joint_loss(tags, captioning=text, tagging_weight=factor)
    assert total.item() == pytest.approx(2 * text.item(), rel=1e-4)
    (found,) = torch.autograd.grad(total, weight, retain_graph=True)
    (of_tags,) = torch.autograd.grad(tags, weight, retain_graph=True)
    (of_text,) = torch.autograd.grad(text, weight)
    torch.testing.assert_close(found, of_text + of_tags * (text / tags).detach(), rtol=1e-4, atol=0)


def test_sums() -> None:
    one, two, four, eight = (torch.tensor(x) for x in (1.0, 2.0, 4.0, 8.0))
    assert joint_loss(one, tagging_weight=3.0) == 3
    assert joint_loss(one, alignment=two, distillation=four, tagging_weight=3.0) == 13
    assert joint_loss(one, distillation=four, distillation_weight=0.5) == 3
    assert joint_loss(two, captioning=eight, distillation=four) == 20


def test_without_any_caption_tagging_is_still_learned() -> None:
    assert joint_loss(torch.tensor(3.0), captioning=torch.tensor(0.0), tagging_weight=2.0) == 6


def test_a_vanished_tagging_loss_is_not_blown_up() -> None:
    assert joint_loss(torch.tensor(0.0), captioning=torch.tensor(2.0)) == 2
    tags = torch.tensor(1e-12, requires_grad=True)
    joint_loss(tags, captioning=torch.tensor(2.0)).backward()
    assert tags.grad == MAX_RATIO


def test_the_ratio_is_that_of_all_processes() -> None:
    """Values of this process and of another one; the other has twice the tags and no text."""

    def mean(values: Tensor) -> Tensor:
        return (values + torch.tensor([4.0, 0.0])) / 2

    tags = torch.tensor(2.0, requires_grad=True)
    joint_loss(tags, captioning=torch.tensor(6.0), reduce=mean).backward()
    assert tags.grad == 1.0  # (6 + 0) / 2 over (2 + 4) / 2
