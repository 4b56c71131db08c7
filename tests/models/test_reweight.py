"""RAM++'s reweighting against its definition, written out tag by tag."""

from __future__ import annotations

import pytest
import torch

from anytag.errors import ModelError
from anytag.models.reweight import Descriptions, Reweighting


@pytest.mark.parametrize("counts", [[3, 3, 3, 3], [2, 5, 1, 5, 2], [1]])
def test_equals_the_definition(counts: list[int]) -> None:
    image, rows = torch.randn(2, 8), torch.randn(sum(counts), 8)
    module = Reweighting()
    mixed = module(image, Descriptions.from_rows(rows, counts))
    for b in range(2):
        direction = image[b] / image[b].norm()
        for tag, own in enumerate(rows.split(counts)):
            weights = (own @ direction / 0.07).softmax(0)
            torch.testing.assert_close(mixed[b, tag], weights @ own, rtol=1e-4, atol=1e-5)


def test_one_description_is_the_tag_itself() -> None:
    rows = torch.randn(4, 8)
    mixed = Reweighting()(torch.randn(3, 8), Descriptions.from_rows(rows, [1] * 4))
    torch.testing.assert_close(mixed, rows.expand(3, -1, -1))


def test_length_of_the_image_vector_does_not_matter() -> None:
    image, descriptions = torch.randn(2, 8), Descriptions.from_rows(torch.randn(9, 8), [4, 5])
    module = Reweighting()
    torch.testing.assert_close(module(image, descriptions), module(image * 7, descriptions))


def test_scale_learns() -> None:
    module = Reweighting()
    descriptions = Descriptions.from_rows(torch.randn(6, 8), [2, 2, 2])
    module(torch.randn(2, 8), descriptions).square().sum().backward()
    assert module.scale.grad is not None
    assert module.scale.grad != 0


def test_equal_counts_copy_nothing() -> None:
    rows = torch.randn(6, 8)
    assert Descriptions.from_rows(rows, [2, 2, 2]).groups[0].data_ptr() == rows.data_ptr()


@pytest.mark.parametrize("counts", [[2, 3], [6, 0], []])
def test_counts_that_do_not_fit_are_refused(counts: list[int]) -> None:
    with pytest.raises(ModelError, match="6 description embeddings"):
        Descriptions.from_rows(torch.zeros(6, 8), counts)


def rows_of(descriptions: Descriptions) -> list[torch.Tensor]:
    """[K, E] of each tag."""
    flat = [tag for group in descriptions.groups for tag in group]
    return [flat[place] for place in descriptions.order.tolist()]


def test_taking_and_joining_keep_each_tags_rows() -> None:
    counts = [2, 5, 1, 5, 2]
    rows = torch.randn(15, 8)
    every = Descriptions.from_rows(rows, counts)
    expected = list(rows.split(counts))
    for tags in ([0, 1, 2, 3, 4], [3, 0, 0, 2], [4], []):
        taken = every.take(tags)
        assert taken.num_tags == len(tags)
        assert all(map(torch.equal, rows_of(taken), (expected[tag] for tag in tags)))
    both = every.take([2, 1]).join(every.take([4, 1]))
    assert all(map(torch.equal, rows_of(both), (expected[tag] for tag in (2, 1, 4, 1))))
    image = torch.randn(3, 8)
    scale = Reweighting()
    torch.testing.assert_close(scale(image, both), scale(image, every)[:, [2, 1, 4, 1]])
