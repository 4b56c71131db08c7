"""The tagging network: facts that must hold whatever the weights."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from anytag.errors import ConfigError, MissingExtraError
from anytag.models.config import DecoderConfig, EncoderConfig, TaggerConfig, nano, ram
from anytag.models.encoder import ImageEncoder, build_backbone
from anytag.models.layers import CrossAttention
from anytag.models.tagging import TaggingNetwork


class Patches(nn.Module):
    """A backbone small enough to reason about: non-overlapping patches, flattened."""

    num_features = 3 * 16 * 16

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """[B, 3, H, W] -> [B, N, 768]."""
        return nn.functional.unfold(images, 16, stride=16).mT


CONFIG = TaggerConfig(
    encoder=EncoderConfig(backbone="mobilenet_v2", image_size=32, token_width=24),
    decoder=DecoderConfig(hidden=32, num_layers=2, num_heads=4, ffn=48),
    text_width=12,
)


@pytest.fixture
def network() -> TaggingNetwork:
    torch.manual_seed(0)
    network = TaggingNetwork(CONFIG, Patches())
    for parameter in network.parameters():  # the initial 0.02 makes all logits nearly equal
        nn.init.normal_(parameter, std=0.3)
    return network.eval()


def test_first_token_is_the_projected_mean(network: TaggingNetwork) -> None:
    images = torch.randn(3, 3, 32, 48)
    tokens = network.encoder(images)
    assert tokens.shape == (3, 1 + 6, 24)
    mean = network.encoder.projection(network.encoder.backbone(images).mean(1))
    torch.testing.assert_close(tokens[:, 0], mean)
    # A linear projection of the mean is the mean of the projections.
    torch.testing.assert_close(tokens[:, 0], tokens[:, 1:].mean(1), atol=1e-5, rtol=1e-5)


def test_no_projection_keeps_the_backbones_width() -> None:
    config = EncoderConfig(backbone="mobilenet_v2", image_size=32, token_width=None)
    assert ImageEncoder(config, Patches()).token_width == 768


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(7)), st.integers(1, 7))
def test_labels_do_not_interact(order: list[int], count: int) -> None:
    torch.manual_seed(1)
    network = TaggingNetwork(CONFIG, Patches()).eval()
    images, text = torch.randn(2, 3, 32, 32), torch.randn(7, 12)
    whole = network(images, network.prepare(text))
    chosen = order[:count]
    part = network(images, network.prepare(text[chosen]))
    torch.testing.assert_close(part, whole[:, chosen], atol=1e-5, rtol=1e-5)


def test_images_do_not_interact(network: TaggingNetwork) -> None:
    images, labels = torch.randn(4, 3, 32, 32), network.prepare(torch.randn(5, 12))
    alone = torch.cat([network(image[None], labels) for image in images])
    torch.testing.assert_close(network(images, labels), alone, atol=1e-5, rtol=1e-5)


def test_equals_the_equations_written_out(network: TaggingNetwork) -> None:
    """Softmax attention by hand, head by head, for one image and one tag."""
    images, text = torch.randn(1, 3, 32, 32), torch.randn(1, 12)
    tokens = network.encoder(images)[0]
    h = torch.relu(network.queries.projection(text))[0]
    for layer in network.decoder.layers:
        attention = layer.cross_attention
        q, k, v = attention.query(h), attention.key(tokens), attention.value(tokens)
        heads = []
        for head in range(4):
            part = slice(8 * head, 8 * head + 8)
            weights = torch.softmax(k[:, part] @ q[part] / 8**0.5, dim=0)
            heads.append(weights @ v[:, part])
        h = layer.cross_attention_norm(h + attention.output(torch.cat(heads)))
        inner = layer.ffn.up(h)
        gelu = 0.5 * inner * (1 + torch.erf(inner / 2**0.5))
        h = layer.ffn_norm(h + layer.ffn.down(gelu))
    expected = network.decoder.logit(h)
    torch.testing.assert_close(
        network(images, network.prepare(text))[0], expected, atol=1e-5, rtol=1e-5
    )


def test_queries_of_each_image_are_accepted(network: TaggingNetwork) -> None:
    """RAM++ has other queries for every image; equal ones give RAM's answer."""
    images, text = torch.randn(2, 3, 32, 32), torch.randn(5, 12)
    queries = network.queries(text)
    shared = network.decoder(network.decoder.prepare(queries), network.encoder(images))
    each = network.decoder(
        network.decoder.prepare(queries.expand(2, -1, -1)), network.encoder(images)
    )
    torch.testing.assert_close(each, shared)


def test_attention_maps_are_distributions_and_explain_the_output(network: TaggingNetwork) -> None:
    tokens, labels = network.encoder(torch.randn(2, 3, 32, 32)), network.prepare(torch.randn(5, 12))
    maps = network.decoder.attention_maps(labels, tokens)
    assert maps.shape == (2, 2, 4, 5, 1 + 4)
    torch.testing.assert_close(maps.sum(-1), torch.ones(2, 2, 4, 5))
    attention = network.decoder.layers[0].cross_attention
    assert isinstance(attention, CrossAttention)
    values = attention.split_heads(attention.value(tokens))
    mixed = attention.output((maps[0] @ values).transpose(1, 2).flatten(2))
    torch.testing.assert_close(mixed, attention(labels.projected, tokens), atol=1e-5, rtol=1e-5)


def test_gradient_reaches_every_parameter(network: TaggingNetwork) -> None:
    network.train()
    images, text = torch.randn(2, 3, 32, 32), torch.randn(5, 12)
    network(images, network.prepare(text)).square().sum().backward()
    silent = [
        name
        for name, p in network.named_parameters()
        # A key bias shifts all scores of a query alike, so softmax gives it no gradient.
        if not name.endswith("key.bias") and (p.grad is None or not p.grad.abs().any())
    ]
    assert silent == []


def test_size_of_the_released_head() -> None:
    """RAM's tagging head has 13.39 M parameters beside its projections (shared counts)."""
    config = ram()
    network = TaggingNetwork(config, Patches())
    head = sum(p.numel() for p in network.decoder.layers.parameters())
    assert round(head / 1e6, 2) == 13.39
    assert sum(p.numel() for p in network.queries.parameters()) == 512 * 768 + 768


def test_nano_is_small() -> None:
    network = TaggingNetwork(nano())
    assert sum(p.numel() for p in network.parameters()) < 5_000_000


@pytest.mark.parametrize(
    ("backbone", "error", "message"),
    [
        ("resnet", ConfigError, "unknown backbone 'resnet'"),
        ("timm:no_such_model", (ConfigError, MissingExtraError), "no_such_model|pip install"),
    ],
)
def test_wrong_backbone(backbone: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build_backbone(EncoderConfig(backbone=backbone, image_size=64, token_width=8))


@pytest.mark.parametrize(
    ("name", "side", "tokens"),
    [("resnet18", 64, 4), ("vit_tiny_patch16_224", 96, 36), ("convnext_atto", 64, 4)],
)
def test_timm_backbones_give_tokens(name: str, side: int, tokens: int) -> None:
    pytest.importorskip("timm", reason="needs anytag[timm]", exc_type=ImportError)
    config = EncoderConfig(backbone=f"timm:{name}", image_size=side, token_width=8)
    encoder = ImageEncoder(config).eval()
    with torch.inference_mode():
        assert encoder(torch.randn(1, 3, side, side)).shape == (1, 1 + tokens, 8)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden": 30, "num_layers": 1, "num_heads": 4, "ffn": 8},
    ],
)
def test_decoder_sizes_are_checked(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="not divisible"):
        DecoderConfig(**wrong)


def test_encoder_sizes_are_checked() -> None:
    with pytest.raises(ConfigError, match="at least 32"):
        EncoderConfig(backbone="mobilenet_v2", image_size=16, token_width=8)
    with pytest.raises(ConfigError, match="three values"):
        EncoderConfig(backbone="mobilenet_v2", image_size=64, token_width=8, mean=(0.5,))
