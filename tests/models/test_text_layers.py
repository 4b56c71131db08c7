"""Layers of the captioner: plain attention as oracle, and refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from anytag.errors import ConfigError, ModelError
from anytag.models.config import CaptionerConfig
from anytag.models.text_layers import SelfAttention, TextEmbeddings

CONFIG = CaptionerConfig(
    hidden=16,
    num_layers=2,
    num_heads=4,
    ffn=24,
    vocab_size=11,
    max_positions=9,
    token_width=10,
    num_shared_layers=0,
)


@pytest.mark.parametrize("masked", [False, True])
def test_attention_equals_plain_softmax(masked: bool) -> None:
    attention = SelfAttention(16, 4, 0.1).eval()
    h = torch.randn(2, 6, 16)
    mask = torch.ones(6, 6, dtype=torch.bool).tril() if masked else None
    mixed = torch.empty_like(h)
    for head in range(4):
        part = slice(4 * head, 4 * head + 4)
        query, key = attention.query(h)[..., part], attention.key(h)[..., part]
        scores = query @ key.mT / 2
        if mask is not None:
            scores = scores.masked_fill(~mask, -1e9)
        mixed[..., part] = scores.softmax(-1) @ attention.value(h)[..., part]
    actual, (keys, values) = attention(h, mask, None)
    torch.testing.assert_close(actual, attention.output(mixed))
    assert keys.shape == values.shape == (2, 4, 6, 4)


def test_positions_count_from_the_first_token() -> None:
    embeddings, ids = TextEmbeddings(CONFIG).eval(), torch.randint(0, 11, (2, 7))
    torch.testing.assert_close(embeddings(ids)[:, 3:], embeddings(ids[:, 3:], first=3))


def test_text_longer_than_the_positions_is_refused() -> None:
    with pytest.raises(ModelError, match="10 tokens is longer than the 9"):
        TextEmbeddings(CONFIG)(torch.zeros(1, 10, dtype=torch.long))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_heads": 3}, "not divisible by 3 heads"),
        ({"num_shared_layers": 3}, "num_shared_layers 3"),
        ({"pad_id": 11}, "pad_id"),
        ({"ffn": 0}, "positive"),
    ],
)
def test_wrong_sizes_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(CONFIG, **changes)
