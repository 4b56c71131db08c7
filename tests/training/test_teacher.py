"""Teachers: tiny random models in the folders of transformers, and our own directories."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from anytag.checkpoints.directory import find_model, load_directory
from anytag.data.transforms import CLIP, IMAGENET, normalize
from anytag.errors import ConfigError, MissingExtraError, ModelError
from anytag.training.teacher import open_teacher, resize

transformers = pytest.importorskip("transformers")

SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole CLIP, as it is published: two towers in one file."""
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    text = {"vocab_size": 50, "max_position_embeddings": 16, "bos_token_id": 0, "eos_token_id": 1}
    config = transformers.CLIPConfig(
        text_config={**SIZES, **text},
        vision_config={**SIZES, "image_size": 32, "patch_size": 16},
        projection_dim=12,
    )
    transformers.CLIPModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vit")
    torch.manual_seed(0)
    config = transformers.ViTConfig(**SIZES, image_size=32, patch_size=16)
    transformers.ViTModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def crops() -> Tensor:
    torch.manual_seed(1)
    return torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)


def pixels(crops: Tensor, statistics: Any) -> Tensor:
    return normalize(crops.permute(0, 2, 3, 1), statistics)


def test_clip_is_projected_and_not_normalised(clip: Path, crops: Tensor) -> None:
    teacher = open_teacher(f"clip:{clip}")
    features = teacher(crops)
    model = transformers.CLIPModel.from_pretrained(clip).eval()
    with torch.no_grad():
        pooled = model.vision_model(pixel_values=pixels(crops, CLIP)).pooler_output
        expected = model.visual_projection(pooled)
    torch.testing.assert_close(features, expected)
    assert teacher.width == 12
    assert features.dtype == torch.float32
    assert not features.requires_grad
    assert not torch.allclose(features.norm(dim=-1), torch.ones(3), atol=1e-3)


def test_crops_of_another_size_are_resized(clip: Path, crops: Tensor) -> None:
    teacher = open_teacher(f"clip:{clip}")
    large = crops.repeat_interleave(2, -1).repeat_interleave(2, -2)
    assert torch.equal(teacher(large), teacher(resize(large, 32)))
    assert torch.equal(resize(crops, 32), crops)
    shrunk = resize(torch.full((1, 3, 64, 64), 200, dtype=torch.uint8), 32)
    assert (shrunk == 200).all()


def test_resizing_does_not_wrap_around() -> None:
    """Bicubic overshoots at edges; 255 and more must not become dark."""
    edge = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    edge[..., 4:] = 255
    grown = resize(edge, 31)[0, 0, 0]
    assert (grown.diff().to(torch.int16) < 128).all()
    assert grown[-1] == 255
    assert grown[0] == 0


def test_statistics_of_the_folder_count(clip: Path, crops: Tensor, tmp_path: Path) -> None:
    for file in clip.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"shortest_edge": 99}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(half))
    found, usual = open_teacher(f"clip:{tmp_path}"), open_teacher(f"clip:{clip}")
    assert not torch.allclose(found(crops), usual(crops))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [1, 2]}))
    with pytest.raises(ModelError, match=r"preprocessor_config\.json: cannot be read"):
        open_teacher(f"clip:{tmp_path}")


def test_pooled_output_of_any_picture_model(vit: Path, clip: Path, crops: Tensor) -> None:
    model = transformers.ViTModel.from_pretrained(vit).eval()
    with torch.no_grad():
        expected = model(pixel_values=pixels(crops, IMAGENET))
    teacher = open_teacher(f"transformers:{vit}")
    torch.testing.assert_close(teacher(crops), expected.pooler_output)
    assert open_teacher(f"transformers:{clip}").width == 16  # its picture side, not projected


def test_without_a_pooler_the_tokens_are_averaged(vit: Path, crops: Tensor, tmp_path: Path) -> None:
    state = load_file(vit / "model.safetensors")
    kept = {key: value for key, value in state.items() if "pooler" not in key}
    assert len(kept) < len(state)
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text((vit / "config.json").read_text())
    model = transformers.ViTModel.from_pretrained(vit).eval()
    with torch.no_grad():
        expected = model(pixel_values=pixels(crops, IMAGENET)).last_hidden_state.mean(1)
    torch.testing.assert_close(open_teacher(f"transformers:{tmp_path}")(crops), expected)


def test_convolutional_features_are_flat(tmp_path: Path, crops: Tensor) -> None:
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic"
    )
    transformers.ResNetModel(config).save_pretrained(tmp_path)
    assert open_teacher(f"transformers:{tmp_path}")(crops).shape == (3, 12)


def test_weights_that_are_missing_are_not_made_up(vit: Path, tmp_path: Path) -> None:
    state = load_file(vit / "model.safetensors")
    del state["layernorm.weight"]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text((vit / "config.json").read_text())
    with pytest.raises(ModelError, match=r"1 weights missing \(layernorm.weight\)"):
        open_teacher(f"transformers:{tmp_path}")


def test_pickles_are_not_opened(vit: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((vit / "config.json").read_text())
    torch.save(load_file(vit / "model.safetensors"), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        open_teacher(f"transformers:{tmp_path}")


def test_own_models_give_their_mean_token(tiny_model: Path, crops: Tensor) -> None:
    teacher = open_teacher(f"model:{tiny_model}")
    loaded = load_directory(tiny_model)
    sizes = loaded.card.network.encoder
    larger = resize(crops, sizes.image_size)
    statistics = type(CLIP)(mean=sizes.mean, std=sizes.std)
    with torch.no_grad():
        expected = loaded.network.encoder(pixels(larger, statistics))[:, 0]
    torch.testing.assert_close(teacher(crops), expected)
    assert teacher.width == 24


def test_the_embedded_model_can_teach(crops: Tensor) -> None:
    assert find_model("nano").is_dir()
    features = open_teacher("model:nano")(crops)
    assert features.shape == (3, 256)
    assert features.isfinite().all()


def test_random_numbers_of_the_run_are_not_used_up(vit: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    open_teacher(f"transformers:{vit}")
    assert torch.rand(1) == expected


@pytest.mark.parametrize("spec", ["nano", "clip:", "vit:x", ""])
def test_unknown_specs(spec: str) -> None:
    with pytest.raises(ConfigError, match="expected clip:ID"):
        open_teacher(spec)


@pytest.mark.parametrize("spec", ["clip:./nowhere", "transformers:/no/where", "model:./nowhere"])
def test_models_that_do_not_exist(spec: str) -> None:
    with pytest.raises(ModelError, match=r"no (teacher|model)"):
        open_teacher(spec)


@pytest.mark.skipif(importlib.util.find_spec("timm") is not None, reason="timm is installed")
def test_timm_is_an_extra() -> None:
    with pytest.raises(MissingExtraError, match=r"anytag\[timm\]"):
        open_teacher("timm:resnet18")


def test_timm_folders(tmp_path: Path, crops: Tensor) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=0).eval()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    config = {
        "architecture": "vit_tiny_patch16_224",
        "num_features": 192,
        "model_args": {"img_size": 32, "num_classes": 0},
        "pretrained_cfg": {
            "input_size": [3, 32, 32],
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "num_classes": 0,
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    teacher = open_teacher(f"timm:local-dir:{tmp_path}")
    with torch.no_grad():
        expected = model((crops.float() / 255 - 0.5) / 0.5)
    torch.testing.assert_close(teacher(crops), expected)
    with pytest.raises(ModelError, match="timm:nonsense"):
        open_teacher("timm:nonsense")
