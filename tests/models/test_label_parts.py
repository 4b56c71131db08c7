"""Inference (parts, folded projections, packed weights) against the plain path under no_grad."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from anytag.models import decoder as decoder_module
from anytag.models import reweight
from anytag.models.config import DecoderConfig
from anytag.models.decoder import TaggingDecoder
from anytag.models.layers import CrossAttention
from anytag.models.released import GroupwiseDecoder
from anytag.models.reweight import Descriptions, Reweighting

CONFIG = DecoderConfig(hidden=48, num_layers=3, num_heads=4, ffn=64)
WIDTH = 20


def spread_out(module: nn.Module) -> None:
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)


@pytest.fixture
def tagging() -> TaggingDecoder:
    torch.manual_seed(0)
    found = TaggingDecoder(CONFIG, WIDTH).eval()
    spread_out(found)
    return found


@pytest.mark.parametrize("num_tags", [1, 7, 300])
@pytest.mark.parametrize("num_images", [1, 3])
@pytest.mark.parametrize("num_tokens", [4, 30])
@pytest.mark.parametrize("rows", [5, 10_000])
def test_inference_equals_the_plain_path(
    tagging: TaggingDecoder,
    monkeypatch: pytest.MonkeyPatch,
    num_tags: int,
    num_images: int,
    num_tokens: int,
    rows: int,
) -> None:
    """4 tokens fold, 30 do not."""
    monkeypatch.setattr(decoder_module, "CPU_ROWS", rows)
    tokens = torch.randn(num_images, num_tokens, WIDTH)
    for queries in (torch.randn(num_tags, 48), torch.randn(num_images, num_tags, 48)):
        with torch.no_grad():
            state = tagging.prepare(queries)
            expected = tagging(state, tokens)
        with torch.inference_mode():
            found = tagging(tagging.prepare(queries), tokens)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_tags_of_tag2text_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    decoder = GroupwiseDecoder(CONFIG, WIDTH, 50).eval()
    spread_out(decoder)
    tokens = torch.randn(2, 4, WIDTH)
    with torch.no_grad():
        expected = decoder(decoder.prepare(), tokens)
    monkeypatch.setattr(decoder_module, "CPU_ROWS", 14)
    with torch.inference_mode():
        state = decoder.prepare()
        torch.testing.assert_close(decoder(state, tokens), expected, atol=1e-4, rtol=1e-4)
        some = decoder(state.take([40, 3]), tokens)
    torch.testing.assert_close(some, expected[:, [40, 3]], atol=1e-4, rtol=1e-4)


def test_take_of_a_label_state(tagging: TaggingDecoder) -> None:
    tokens, queries = torch.randn(2, 4, WIDTH), torch.randn(9, 48)
    with torch.inference_mode():
        state = tagging.prepare(queries)
        found = tagging(state.take([8, 0, 5]), tokens)
        expected = tagging(state, tokens)[:, [8, 0, 5]]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_folding_pays_from_where_its_multiplications_do() -> None:
    """RAM's sizes: N D^2 / (D (D - 3 N)) = 334.4 tags at 145 tokens; never at 577."""
    attention = CrossAttention(768, 512, 4, 0.0)
    assert not attention.folding_saves(334, 145)
    assert attention.folding_saves(335, 145)
    assert not attention.folding_saves(10**6, 577)


@pytest.mark.parametrize("projected", [True, False])
def test_folded_attention_equals_attention(projected: bool) -> None:
    torch.manual_seed(0)
    attention = CrossAttention(48, WIDTH, 4, 0.0).eval()
    spread_out(attention)
    h, tokens = torch.randn(2, 6, 48), torch.randn(2, 5, WIDTH)
    with torch.no_grad():
        query = attention.query(h)
        folded = attention.fold(tokens, projected=projected)
        found = attention.read(query if projected else h, folded)
        expected = attention(query, tokens)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_descriptions_in_parts(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    torch.manual_seed(0)
    weighing, image = Reweighting(), torch.randn(3, 16)
    table = nn.functional.normalize(torch.randn(40, 16), dim=-1)
    descriptions = Descriptions.from_rows(table, [5, 5, 5, 5, 5, 5, 3, 7])
    with torch.no_grad():
        expected = weighing(image, descriptions)
    monkeypatch.setattr(reweight, "ROWS", rows)
    with torch.inference_mode():
        torch.testing.assert_close(weighing(image, descriptions), expected)
