"""Swin against golden numbers of the public code, a plain attention, and what it must not do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from anytag.errors import ConfigError, ModelError
from anytag.models.swin import Swin, SwinConfig, swin_base, swin_large
from anytag.models.windows import WindowAttention

GOLDEN = Path(__file__).parents[1] / "golden"
#: largest allowed difference, relative to the largest value of the tensor
TOLERANCE = 1e-5


def config_from(sizes: dict[str, Any]) -> SwinConfig:
    return SwinConfig(
        image_size=sizes["img_size"],
        patch_size=sizes["patch_size"],
        embed_dim=sizes["embed_dim"],
        depths=tuple(sizes["depths"]),
        num_heads=tuple(sizes["num_heads"]),
        window_size=sizes["window_size"],
    )


def load(config: SwinConfig, weights: dict[str, Tensor], prefix: str) -> Swin:
    """A Swin with every parameter filled; only rebuilt tables may be left over."""
    model = Swin(config).eval()
    kept = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
    result = model.load_state_dict(kept, strict=False)
    assert not result.missing_keys
    assert all(
        key.endswith((".attn_mask", ".relative_position_index")) for key in result.unexpected_keys
    )
    return model


def assert_close(actual: Tensor, expected: Tensor) -> None:
    assert actual.shape == expected.shape
    error = (actual - expected).abs().max() / expected.abs().max()
    assert error < TOLERANCE


@pytest.fixture(scope="module")
def released() -> Swin:
    """The backbone of the golden RAM: resolutions 32, 16, 8, 4, window 4."""
    sizes = json.loads((GOLDEN / "ram/config.json").read_text())["swin"]
    weights = load_file(GOLDEN / "visual_encoder.safetensors")
    return load(config_from(sizes), weights, "visual_encoder.")


@pytest.fixture(scope="module")
def images() -> Tensor:
    return load_file(GOLDEN / "ram/inputs.safetensors")["image"]


@pytest.fixture(scope="module")
def stages(released: Swin, images: Tensor) -> dict[str, Tensor]:
    """Outputs of the golden stages, by golden name."""
    found: dict[str, Tensor] = {}
    parts = {
        "swin.patch_embed": released.patch_embed,
        "swin.stage0.block0": released.layers[0].blocks[0],
        "swin.stage0.block1": released.layers[0].blocks[1],
        **{f"swin.stage{i}": released.layers[i] for i in range(4)},
    }
    handles = [
        part.register_forward_hook(lambda m, i, out, name=name: found.update({name: out}))
        for name, part in parts.items()
    ]
    with torch.no_grad():
        tokens = released(images)
    for handle in handles:
        handle.remove()
    found["swin.pooled"] = tokens.mean(1)
    found["swin.tokens"] = torch.cat([tokens.mean(1, keepdim=True), tokens], 1)
    return found


@pytest.mark.parametrize(
    "name",
    [
        "swin.patch_embed",
        "swin.stage0.block0",
        "swin.stage0.block1",
        "swin.stage0",
        "swin.stage1",
        "swin.stage2",
        "swin.stage3",
        "swin.tokens",
        "swin.pooled",
    ],
)
def test_stage_equals_golden(name: str, stages: dict[str, Tensor]) -> None:
    assert_close(stages[name], load_file(GOLDEN / "ram/outputs.safetensors")[name])


@pytest.mark.parametrize("name", ["a", "b"])
def test_other_sizes_equal_golden(name: str) -> None:
    sizes = json.loads((GOLDEN / "swin_extra/config.json").read_text())[name]
    weights = load_file(GOLDEN / "swin_extra/weights.safetensors")
    model = load(config_from(sizes), weights, f"{name}.")
    with torch.no_grad():
        tokens = model(load_file(GOLDEN / "swin_extra/inputs.safetensors")[f"{name}.image"])
    tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], 1)
    assert_close(tokens, load_file(GOLDEN / "swin_extra/outputs.safetensors")[f"{name}.tokens"])


def test_order_of_images_does_not_matter(released: Swin) -> None:
    images = torch.randn(3, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(released(images.roll(1, 0)), released(images).roll(1, 0))
        torch.testing.assert_close(released(images[:1]), released(images)[:1])


def test_cached_bias_follows_the_weights(released: Swin, images: Tensor) -> None:
    model = Swin(released.config).eval()
    with torch.no_grad():
        before = model(images)  # fills the cache
        model.load_state_dict(released.state_dict())
        expected = released(images)
        assert not torch.allclose(before, expected)
        torch.testing.assert_close(model(images), expected)
        torch.testing.assert_close(model.double()(images.double()).float(), expected)
    torch.testing.assert_close(model.float()(images), expected)  # with gradients: no cache


def test_cache_made_in_inference_mode_does_not_break_gradients(released: Swin) -> None:
    images = torch.randn(1, 3, 128, 128)
    with torch.inference_mode():
        released(images)
    images.requires_grad_(True)
    released(images).sum().backward()
    assert images.grad is not None


def small(**changes: Any) -> SwinConfig:
    sizes: dict[str, Any] = {
        "image_size": 64,
        "embed_dim": 8,
        "depths": (2, 2),
        "num_heads": (2, 4),
        "window_size": 4,
    }
    return SwinConfig(**{**sizes, **changes})


def test_gradient_reaches_every_parameter() -> None:
    model = Swin(small()).train()
    model(torch.randn(2, 3, 64, 64)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("block", [0, 1])
def test_fused_attention_equals_plain_softmax(block: int, gradients: bool) -> None:
    attention = Swin(small()).eval().layers[0].blocks[block].attn
    torch.nn.init.normal_(attention.relative_position_bias_table)
    windows = torch.randn(3, 16, 16, 8)
    with torch.set_grad_enabled(gradients):
        torch.testing.assert_close(attention(windows), plain_attention(attention, windows))


def plain_attention(attention: WindowAttention, windows: Tensor) -> Tensor:
    """Softmax of scaled products plus bias, one image and one window at a time."""
    heads, bias = attention.num_heads, attention.make_bias()[0]
    output = torch.empty_like(windows)
    for i, image in enumerate(windows):
        for j, window in enumerate(image):
            first = j * heads if attention.strangers is not None else 0
            qkv = attention.qkv(window).reshape(len(window), 3, heads, -1)
            mixed = []
            for head in range(heads):
                query, key, value = qkv[:, :, head].unbind(1)
                scores = query @ key.T / query.shape[-1] ** 0.5 + bias[first + head]
                mixed.append(scores.softmax(-1) @ value)
            output[i, j] = attention.proj(torch.cat(mixed, -1))
    return output


def test_stochastic_depth_only_in_training() -> None:
    model = Swin(small(drop_path_rate=0.9))
    images = torch.randn(8, 3, 64, 64)
    with torch.no_grad():
        model.eval()
        assert torch.equal(model(images), model(images))
        model.train()
        assert not torch.equal(model(images), model(images))


def test_built_on_meta_and_filled_by_assignment() -> None:
    """How large checkpoints are loaded: no second copy, and the tables are still real."""
    source = Swin(small()).eval()
    with torch.device("meta"):
        model = Swin(small()).eval()
    model.load_state_dict(source.state_dict(), assign=True)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(images), source(images))


@pytest.mark.parametrize(
    ("preset", "millions", "features"),
    [(swin_base, 86.88, 1024), (swin_large, 195.20, 1536)],
)
@pytest.mark.parametrize(("size", "tokens", "window"), [(224, 49, 7), (384, 144, 12)])
def test_presets(
    preset: Any, millions: float, features: int, size: int, tokens: int, window: int
) -> None:
    with torch.device("meta"):
        model = Swin(preset(size))
    assert model.config.window_size == window
    assert model.config.num_tokens == tokens
    assert model.num_features == features
    if size == 384:
        count = sum(p.numel() for p in model.parameters()) / 1e6
        assert count == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 60}, "not a multiple of 8"),
        ({"image_size": 72}, "multiple of 32"),
        ({"num_heads": (3, 4)}, "3 heads"),
        ({"num_heads": (2,)}, "one entry"),
        ({"depths": (2, 0)}, "positive"),
        ({"drop_path_rate": 1.0}, "drop_path_rate"),
    ],
)
def test_wrong_sizes_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small(**changes)


def test_wrong_image_size_is_refused() -> None:
    with pytest.raises(ModelError, match=r"built for images \[B, 3, 64, 64\]"):
        Swin(small())(torch.zeros(1, 3, 96, 96))


def test_export_keeps_the_batch_free() -> None:
    model, images = Swin(small()).eval(), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        batch = torch.export.Dim("batch", min=1, max=64)
        program = torch.export.export(model, (images,), dynamic_shapes=({0: batch},))
        torch.testing.assert_close(program.module()(images[:1]), model(images[:1]))


@pytest.mark.parametrize("num_images", [1, 2])
def test_inference_in_window_order_equals_the_plain_path(num_images: int) -> None:
    """Shifted and regular windows, a stage of one window, and stages that end on either kind."""
    torch.manual_seed(0)
    config = SwinConfig(
        image_size=48, embed_dim=8, depths=(2, 3, 1), num_heads=(1, 2, 4), window_size=3
    )
    network = Swin(config).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    images = torch.randn(num_images, 3, 48, 48)
    with torch.no_grad():
        expected = network(images)
    with torch.inference_mode():
        found = network(images)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
