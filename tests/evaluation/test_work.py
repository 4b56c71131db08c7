"""Multiplications of the full-size networks, against counts made another way."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from anytag import Tagger
from anytag.evaluation.timing import made_photos
from anytag.evaluation.work import CPU_PRODUCT, Work, ceiling, count_work, tagger_work
from anytag.models.config import ram
from anytag.models.tagging import TaggingNetwork

NUM_TAGS = 4585


def full_size(backbone: str, side: int = 384) -> dict[str, Work]:
    """RAM's sizes without memory."""
    with torch.device("meta"):
        network = TaggingNetwork(ram(backbone, side)).eval()
    model = SimpleNamespace(
        network=network,
        decode=lambda tokens, labels: network.decoder(labels, tokens),
        image_size=side,
        dtype=torch.float32,
    )
    return count_work(model, torch.empty(NUM_TAGS, 512, device="meta"))


@pytest.mark.parametrize(
    ("backbone", "side", "expected", "tokens", "width"),
    [
        ("swin_large", 384, 103.9, 144, 1536),
        ("swin_base", 384, 47.1, 144, 1024),
        ("swin_base", 224, 15.4, 49, 1024),
    ],
)
def test_the_backbones_work_is_the_published_one(
    backbone: str, side: int, expected: float, tokens: int, width: int
) -> None:
    """timm's table of these backbones, without a classifier."""
    encoder = full_size(backbone, side)["encoder"]
    projection = (tokens + 1) * width * 512 / 1e9
    assert encoder.total - projection == pytest.approx(expected, rel=0.01)
    assert 0.55 < encoder.feed_forward / encoder.total < 0.65
    assert encoder.feed_forward + encoder.attention < encoder.total


def test_the_heads_work_is_that_of_its_formula() -> None:
    """4,585 tags, 145 tokens: written out, and 58.3 GMAC of which 74 % are feed-forward."""
    found = full_size("swin_large")
    labels, decoder = found["labels"], found["decoder"]
    head = labels.total + decoder.total
    assert head == pytest.approx(58.3, rel=0.01)
    assert (labels.feed_forward + decoder.feed_forward) / head == pytest.approx(0.74, abs=0.01)
    square = NUM_TAGS * 768 * 768
    assert decoder.feed_forward == pytest.approx(2 * 2 * 4 * square / 1e9)
    assert labels.attention == pytest.approx(square / 1e9)  # the first layer's queries
    assert labels.total == pytest.approx((square + NUM_TAGS * 512 * 768) / 1e9)
    products = 3 * square + 2 * 2 * NUM_TAGS * 145 * 768 + 2 * 2 * 145 * 512 * 768
    assert decoder.attention == pytest.approx(products / 1e9)
    last = NUM_TAGS * 768
    assert decoder.total == pytest.approx(decoder.feed_forward + decoder.attention + last / 1e9)


def test_every_family_is_counted_and_works_afterwards(
    tiny_model: Path, released_models: dict[str, Path]
) -> None:
    photo = made_photos(1, size=(80, 60))[0]
    for path in (tiny_model, *released_models.values()):
        tagger = Tagger.from_pretrained(path, device="cpu")
        found = tagger_work(tagger)
        assert found is not None
        assert list(found) == ["labels", "encoder", "decoder"]
        for part in ("encoder", "decoder"):
            assert found[part].total > 0
            assert found[part].feed_forward + found[part].attention <= found[part].total
        fresh = Tagger.from_pretrained(path, device="cpu")
        assert tagger(photo).tags == fresh(photo).tags


def test_more_tags_are_more_work(tiny_model: Path) -> None:
    tagger = Tagger.from_pretrained(tiny_model, device="cpu")
    one, two = (tagger_work(tagger.with_tags([f"tag {i}" for i in range(n)])) for n in (10, 20))
    assert one is not None
    assert two is not None
    assert two["encoder"] == one["encoder"]
    assert two["labels"].total == pytest.approx(2 * one["labels"].total)
    assert two["decoder"].feed_forward == pytest.approx(2 * one["decoder"].feed_forward)


def test_an_exported_graph_is_not_counted() -> None:
    exported: Any = SimpleNamespace(model=object())
    assert tagger_work(exported) is None


def test_the_ceiling_is_of_the_layers_own_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by a second for every product: its size, a second."""
    calls: list[tuple[int, ...]] = []
    plain = nn.Linear.forward

    def forward(self: nn.Linear, x: torch.Tensor) -> torch.Tensor:
        calls.append((*x.shape, self.out_features))
        return plain(self, x)

    monkeypatch.setattr("anytag.models.linear.Linear.forward", forward)
    clock = iter(float(second) for second in range(100))
    monkeypatch.setattr("anytag.evaluation.work.time.perf_counter", lambda: next(clock))
    found = ceiling(torch.device("cpu"), torch.float32)
    assert set(calls) == {CPU_PRODUCT}
    assert found.product == CPU_PRODUCT
    assert found.gmac_per_s == pytest.approx(2304 * 768 * 3072 / 1e9)
