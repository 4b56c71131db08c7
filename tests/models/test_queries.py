"""Label queries, and the comparison of texts with the mean token that nano has beside them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from anytag.models.config import DecoderConfig, EncoderConfig, TaggerConfig, nano, ram
from anytag.models.decoder import LabelState, match_logits
from anytag.models.evidence import open_decoding
from anytag.models.queries import LabelMatch
from anytag.models.tagging import TaggingNetwork

CONFIG = TaggerConfig(
    encoder=EncoderConfig(backbone="mobilenet_v2", image_size=32, token_width=24),
    decoder=DecoderConfig(hidden=32, num_layers=2, num_heads=4, ffn=48),
    text_width=12,
    match_inner=40,
)


@pytest.fixture
def network() -> TaggingNetwork:
    torch.manual_seed(0)
    network = TaggingNetwork(CONFIG).eval()
    for parameter in (*network.match.parameters(), *network.decoder.parameters()):
        nn.init.normal_(parameter, std=0.3)
    return network


def test_a_new_one_adds_nothing() -> None:
    """So that a network without it can be given one, and goes on as it was."""
    torch.manual_seed(0)
    new = TaggingNetwork(CONFIG).eval()
    plain = TaggingNetwork(replace(CONFIG, match_inner=None)).eval()
    state = {k: v for k, v in new.state_dict().items() if not k.startswith("match.")}
    plain.load_state_dict(state)
    images, text = torch.randn(2, 3, 32, 32), torch.randn(5, 12)
    with torch.inference_mode():
        torch.testing.assert_close(
            new(images, new.prepare(text)), plain(images, plain.prepare(text))
        )


def test_logits_are_the_decoders_and_a_dot_product(network: TaggingNetwork) -> None:
    images, text = torch.randn(3, 3, 32, 32), torch.randn(5, 12)
    with torch.inference_mode():
        labels, tokens = network.prepare(text), network.encoder(images)
        whole = network.decoder(labels, tokens)
        decoder = network.decoder(replace(labels, match=None), tokens)
        inner = network.match.expand(text)
        inner = 0.5 * inner * (1 + torch.erf(inner / 2**0.5)) / 40**0.5
        rows = inner @ network.match.reduce.weight.T + network.match.reduce.bias
        for image in range(3):
            for tag in range(5):
                product = (rows[tag, :24] * tokens[image, 0]).sum() / 24**0.5 + rows[tag, 24]
                torch.testing.assert_close(
                    whole[image, tag], decoder[image, tag] + product, atol=1e-4, rtol=1e-4
                )


def test_a_tags_answer_does_not_depend_on_the_other_tags(network: TaggingNetwork) -> None:
    images, text = torch.randn(2, 3, 32, 32), torch.randn(7, 12)
    with torch.inference_mode():
        whole = network(images, network.prepare(text))
        part = network(images, network.prepare(text[[4, 1]]))
    torch.testing.assert_close(part, whole[:, [4, 1]], atol=1e-5, rtol=1e-5)


def test_gradient_reaches_every_weight(network: TaggingNetwork) -> None:
    logits = network(torch.randn(2, 3, 32, 32), network.prepare(torch.randn(5, 12)))
    logits.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_vectors_of_each_image(network: TaggingNetwork) -> None:
    """Training asks each image other tags: rows [B, T, W + 1] give what [1, T, W + 1] gives."""
    tokens, rows = torch.randn(2, 7, 24), torch.randn(1, 5, 25)
    torch.testing.assert_close(
        match_logits(rows.expand(2, -1, -1), tokens), match_logits(rows, tokens)
    )


def test_explanations_start_from_the_same_logits(network: TaggingNetwork) -> None:
    images, labels = torch.randn(1, 3, 32, 32), network.prepare(torch.randn(5, 12))
    decoding = open_decoding(network, labels, images)
    torch.testing.assert_close(decoding.logits(), network(images, labels), atol=1e-5, rtol=1e-5)


def test_hidden_places_are_left_out_of_the_mean(network: TaggingNetwork) -> None:
    """With a decoder that says nothing, hiding a place is comparing with the others' mean."""
    nn.init.zeros_(network.decoder.logit.weight)
    images, labels = torch.randn(1, 3, 64, 64), network.prepare(torch.randn(5, 12))
    decoding = open_decoding(network, labels, images)
    tokens = network.encoder(images)
    mask = torch.ones(1, 5, dtype=torch.bool)
    mask[0, 2] = False
    expected = match_logits(labels.match, tokens[:, [1, 3, 4]].mean(1, keepdim=True))
    torch.testing.assert_close(
        decoding.logits(mask=mask), expected + network.decoder.logit.bias, atol=1e-5, rtol=1e-5
    )


def test_nano_has_it_and_ram_has_not() -> None:
    assert nano().match_inner == 1024
    assert ram().match_inner is None
    assert LabelState(torch.zeros(1, 1, 2), torch.zeros(1, 1, 2)).match is None
    assert LabelMatch(12, 40, 24)(torch.randn(5, 12)).shape == (5, 25)
