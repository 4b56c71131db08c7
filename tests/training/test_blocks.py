"""Frozen, trained and recomputed parts of backbones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from anytag.errors import ConfigError
from anytag.models.config import DecoderConfig, EncoderConfig, TaggerConfig
from anytag.models.mobilenet import MobileNetV2
from anytag.models.swin import Swin, SwinConfig
from anytag.models.tagging import TaggingNetwork
from anytag.training.blocks import (
    backbone_blocks,
    checkpoint_blocks,
    is_frozen,
    rest_frozen,
    set_trainable,
)

SWIN = SwinConfig(
    image_size=64, embed_dim=8, depths=(2, 2), num_heads=(1, 2), window_size=4, drop_path_rate=0.4
)


def build(backbone: str) -> TaggingNetwork:
    torch.manual_seed(0)
    config = TaggerConfig(
        encoder=EncoderConfig(backbone="mobilenet_v2", image_size=64, token_width=12),
        decoder=DecoderConfig(hidden=8, num_layers=1, num_heads=2, ffn=16),
        text_width=6,
    )
    return TaggingNetwork(config, Swin(SWIN) if backbone == "swin" else MobileNetV2())


@pytest.fixture(params=["swin", "mobilenet"])
def network(request: pytest.FixtureRequest) -> TaggingNetwork:
    return build(request.param)


class Nested(nn.Module):
    """Stages of blocks, as timm's EfficientNet and ResNet have them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(1, 1)
        self.blocks = nn.Sequential(
            nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)), nn.Linear(1, 1)
        )
        self.layer1 = nn.Sequential(nn.Bilinear(1, 1, 1))
        self.layer_scale = nn.Sequential(nn.Linear(1, 1))


def test_blocks_are_found_in_order() -> None:
    swin, nested = Swin(SWIN), Nested()
    assert backbone_blocks(swin) == [*swin.layers[0].blocks, *swin.layers[1].blocks]
    assert len(backbone_blocks(MobileNetV2())) == 17
    assert backbone_blocks(nested) == [*nested.blocks[0], nested.blocks[1], nested.layer1[0]]
    assert backbone_blocks(nn.Linear(1, 1)) == []


def trained_names(network: nn.Module) -> list[str]:
    return [name for name, value in network.named_parameters() if value.requires_grad]


def test_what_follows_the_first_trained_block_is_trained() -> None:
    network = build("swin")
    set_trainable(network, 3)
    starts = {
        name.split(".attn")[0].split(".norm")[0].split(".mlp")[0] for name in trained_names(network)
    }
    backbone = sorted(name for name in starts if "backbone" in name)
    assert backbone == [
        "encoder.backbone",  # the last norm
        "encoder.backbone.layers.0.blocks.1",
        "encoder.backbone.layers.0.downsample",
        "encoder.backbone.layers.0.downsample.reduction.weight",
        "encoder.backbone.layers.1.blocks.0",
        "encoder.backbone.layers.1.blocks.1",
    ]


@pytest.mark.parametrize("count", [0, 2])
def test_no_gradient_and_no_graph_for_what_is_frozen(network: TaggingNetwork, count: int) -> None:
    set_trainable(network, count)
    network.train()
    rest_frozen(network)
    blocks = backbone_blocks(network.encoder.backbone)
    seen: list[bool] = []
    for block in blocks:
        block.register_forward_hook(lambda _m, _i, out: seen.append(out.requires_grad))
    network(torch.randn(2, 3, 64, 64), network.prepare(torch.randn(5, 6))).sum().backward()
    assert seen == [False] * (len(blocks) - count) + [True] * count
    for parameter in network.parameters():
        assert (parameter.grad is not None) == parameter.requires_grad
    rest = [n for n in trained_names(network) if "backbone" not in n]
    assert len(rest) == sum("backbone" not in name for name, _ in network.named_parameters())
    assert bool(count) == any("backbone" in name for name in trained_names(network))


def test_frozen_blocks_skip_no_branches() -> None:
    network = build("swin")
    set_trainable(network, 0)
    network.train()
    rest_frozen(network)
    assert is_frozen(network.encoder.backbone)
    assert network.decoder.training
    images = torch.randn(8, 3, 64, 64)
    assert torch.equal(network.encoder.backbone(images), network.encoder.backbone(images))


def test_all_is_trained_again(network: TaggingNetwork) -> None:
    set_trainable(network, 0)
    set_trainable(network, None)
    assert len(trained_names(network)) == len(list(network.parameters()))


@pytest.mark.parametrize("count", [-1, 18])
def test_more_blocks_than_there_are(count: int) -> None:
    with pytest.raises(ConfigError, match="the backbone has 17 blocks"):
        set_trainable(build("mobilenet"), count)


def gradients(network: TaggingNetwork, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    network.zero_grad()
    torch.manual_seed(1)  # of the branches that are skipped
    images, rows = torch.linspace(-2, 2, 3 * 3 * 64 * 64).view(3, 3, 64, 64), torch.ones(5, 6)
    with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
        network(images, network.prepare(rows)).sum().backward()
    return {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
@pytest.mark.parametrize("count", [None, 2])
def test_recomputed_gradients_are_equal(
    network: TaggingNetwork, count: int | None, dtype: torch.dtype | None
) -> None:
    set_trainable(network, count)
    network.train()
    rest_frozen(network)
    plain = gradients(network, dtype)
    runs: list[int] = []
    blocks = backbone_blocks(network.encoder.backbone)
    for number, block in enumerate(blocks):
        first = next(block.children())
        first.register_forward_hook(lambda *_, number=number: runs.append(number))
    checkpoint_blocks(network.encoder.backbone)
    recomputed = gradients(network, dtype)
    trained = len(blocks) if count is None else count
    frozen = len(blocks) - trained
    assert [runs.count(i) for i in range(len(blocks))] == [1] * frozen + [2] * trained
    assert recomputed.keys() == plain.keys()
    for name, gradient in plain.items():
        assert torch.equal(recomputed[name], gradient), name


def test_activations_inside_blocks_are_not_kept() -> None:
    """Bytes that the graph holds on to for the backward pass."""

    def saved_bytes(network: TaggingNetwork) -> int:
        kept: dict[int, int] = {}

        def pack(value: Tensor) -> Tensor:
            kept[value.data_ptr()] = value.untyped_storage().nbytes()
            return value

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
            network(torch.randn(4, 3, 64, 64), network.prepare(torch.randn(5, 6)))
        return sum(kept.values())

    network = build("swin")
    plain = saved_bytes(network)
    checkpoint_blocks(network.encoder.backbone)
    assert saved_bytes(network) < plain / 2


def test_without_gradients_nothing_is_recomputed() -> None:
    network = build("swin").eval()
    checkpoint_blocks(network.encoder.backbone)
    with torch.no_grad():
        assert not network.encoder(torch.randn(1, 3, 64, 64)).requires_grad


def test_unknown_backbones_cannot_be_recomputed() -> None:
    with pytest.raises(ConfigError, match="no blocks are known in Linear"):
        checkpoint_blocks(nn.Linear(1, 1))
