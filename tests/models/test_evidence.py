"""Which tokens speak for a tag: each answer found once more, the slow way."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from torch import Tensor

from anytag.models.config import DecoderConfig, EncoderConfig, TaggerConfig
from anytag.models.decoder import LabelState
from anytag.models.evidence import (
    Decoding,
    attention,
    blocks,
    gradient,
    occlusion,
    open_decoding,
    relevance,
)
from anytag.models.layers import DecoderLayer
from anytag.models.tagging import TaggingNetwork

SIDE = 3


def make(num_layers: int = 2) -> tuple[TaggingNetwork, LabelState, Tensor, Decoding]:
    """A network in float64, three tags, an image, and its decoding; weights far from zero."""
    config = TaggerConfig(
        encoder=EncoderConfig(backbone="mobilenet_v2", image_size=32 * SIDE, token_width=12),
        decoder=DecoderConfig(hidden=16, num_layers=num_layers, num_heads=4, ffn=20),
        text_width=8,
    )
    torch.manual_seed(0)
    network = TaggingNetwork(config).double().eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    for block in (network.encoder.backbone,):  # deep and without normalisation
        for parameter in block.parameters():
            torch.nn.init.normal_(parameter, std=0.15)
    with torch.inference_mode():
        labels = network.prepare(torch.randn(3, 8, dtype=torch.float64))
    image = torch.randn(1, 3, 32 * SIDE, 32 * SIDE, dtype=torch.float64)
    decoding = open_decoding(network, labels, image)
    # tokens that differ, whatever the random backbone makes of noise
    mixed = torch.randn(1, 1 + SIDE**2, 12, dtype=torch.float64)
    return network, labels, image, Decoding(**{**vars_of(decoding), "tokens": mixed})


def vars_of(decoding: Decoding) -> dict[str, object]:
    return {name: getattr(decoding, name) for name in Decoding.__dataclass_fields__}


def test_the_decoding_gives_the_networks_logits() -> None:
    network, labels, image, _ = make()
    with torch.no_grad():
        torch.testing.assert_close(
            open_decoding(network, labels, image).logits(), network(image, labels)
        )


def test_occlusion_is_the_decoder_without_those_tokens() -> None:
    network, labels, _, decoding = make()
    found = occlusion(decoding, SIDE, reach=1)
    with torch.no_grad():
        whole = network.decoder(labels, decoding.tokens)[0]
        for place in range(SIDE**2):
            y, x = divmod(place, SIDE)
            kept = [0] + [
                1 + other
                for other in range(SIDE**2)
                if max(abs(other // SIDE - y), abs(other % SIDE - x)) > 1
            ]
            expected = whole - network.decoder(labels, decoding.tokens[:, kept])[0]
            torch.testing.assert_close(found[:, place], expected)


def test_occlusion_in_parts_of_a_large_grid() -> None:
    """More places than are computed together."""
    network, labels, _, decoding = make()
    tokens = torch.randn(1, 1 + 49, 12, dtype=torch.float64)
    found = occlusion(Decoding(**{**vars_of(decoding), "tokens": tokens}), 7, reach=0)
    assert found.shape == (3, 49)
    with torch.no_grad():
        rest = torch.cat([tokens[:, :41], tokens[:, 42:]], dim=1)
        expected = network.decoder(labels, tokens) - network.decoder(labels, rest)
    torch.testing.assert_close(found[:, 40], expected[0])


def test_gradient_is_the_slope_along_the_token() -> None:
    network, labels, _, decoding = make()
    found = gradient(decoding)
    step = 1e-5
    with torch.no_grad():
        for place in range(SIDE**2):
            change = torch.zeros_like(decoding.tokens)
            change[:, 1 + place] = step * decoding.tokens[:, 1 + place]
            above, below = (
                network.decoder(labels, decoding.tokens + sign * change)[0] for sign in (1, -1)
            )
            torch.testing.assert_close(
                found[:, place], (above - below) / (2 * step), rtol=1e-5, atol=1e-7
            )


def test_relevance_is_the_positive_part_of_weight_times_slope() -> None:
    _, _, _, decoding = make(num_layers=1)
    found = relevance(decoding)
    layer = cast(DecoderLayer, decoding.layers[0])
    part = layer.cross_attention
    step = 1e-5
    with torch.no_grad():
        weights = part.weights(part.query(decoding.queries), decoding.tokens)
        expected = torch.zeros_like(weights)
        for head in range(4):
            for token in range(1 + SIDE**2):
                moved = []
                for sign in (1, -1):
                    changed = weights.clone()
                    changed[0, head, :, token] += sign * step
                    h = layer.join(decoding.queries, part.mix(changed, decoding.tokens))
                    moved.append(decoding.read(h)[0])
                expected[0, head, :, token] = (moved[0] - moved[1]) / (2 * step)
        expected = (expected * weights).clamp(min=0).mean(dim=1)[0, :, 1:]
    assert expected.max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)


def test_attention_is_the_decoders() -> None:
    network, labels, _, decoding = make()
    with torch.no_grad():
        maps = network.decoder.attention_maps(labels, decoding.tokens)
    torch.testing.assert_close(attention(decoding), maps.mean(dim=(0, 2))[0, :, 1:])


@pytest.mark.parametrize(("reach", "sizes"), [(0, {1}), (1, {4, 6, 9}), (2, {9})])
def test_blocks(reach: int, sizes: set[int]) -> None:
    found = blocks(9, 3, reach)
    assert set(found.sum(dim=1).tolist()) == sizes
    assert bool((found == found.T).all())
