"""Folders of open_clip with random weights, against the package's own transform and vectors."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from anytag.errors import MissingExtraError, ModelError, UsageError
from anytag.evaluation.open_clip_models import OpenClip

TAGS = ["cat", "red panda"]
TEXTS = ["a photo of a cat.", "a photo of a red panda."]


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # open_clip's own
        yield


def write_model(folder: Path, *, siglip: bool) -> str:
    """A folder as open_clip's models lie on the hub; its source."""
    open_clip = pytest.importorskip("open_clip")
    from safetensors.torch import save_file

    model_cfg = {
        "embed_dim": 12,
        "vision_cfg": {"image_size": 16, "layers": 2, "width": 64, "patch_size": 8},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 2,
                     "layers": 2},
    }  # fmt: skip
    preprocess = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]}
    if siglip:
        model_cfg |= {"init_logit_scale": 2.0, "init_logit_bias": -1.0}
        preprocess["resize_mode"] = "squash"
    torch.manual_seed(int(siglip))
    network = open_clip.CLIP(**model_cfg)
    folder.mkdir()
    about = {"model_cfg": model_cfg, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(about))
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return f"local-dir:{folder}"


@pytest.mark.parametrize("siglip", [False, True])
def test_scores_are_those_of_the_package(tmp_path: Path, siglip: bool) -> None:
    source = write_model(tmp_path / "model", siglip=siglip)
    open_clip = pytest.importorskip("open_clip")
    noise = np.random.default_rng(0).integers(0, 255, (40, 61, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    model = OpenClip(source, "cpu")
    loaded = model.load(tmp_path / "photo.png")
    assert (loaded.pixels.shape, loaded.width, loaded.height) == ((16, 16, 3), 61, 40)
    scores = model.ask("mine", TAGS).score(loaded.pixels[None])
    network, transform = open_clip.create_model_from_pretrained(source)
    with torch.no_grad():
        image = network.encode_image(transform(Image.open(tmp_path / "photo.png"))[None])
        texts = network.encode_text(open_clip.get_tokenizer(source)(TEXTS))
        expected = torch.cosine_similarity(image, texts)[None]
        if siglip:
            expected = (expected * network.logit_scale.exp() + network.logit_bias).sigmoid()
    np.testing.assert_allclose(scores, expected.numpy(), atol=1e-5)
    assert not np.allclose(scores[0, 0], scores[0, 1], atol=1e-4)


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    source = write_model(tmp_path / "model", siglip=False)
    (tmp_path / "model" / "open_clip_model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be opened"):
        OpenClip(source, "cpu")
    with pytest.raises(ModelError, match="cannot be opened"):
        OpenClip("ViT-B-32/no_such_tag", "cpu")


@pytest.mark.parametrize("source", ["ViT-B-32", "ViT-B-32/", "/openai", ""])
def test_sources_in_no_known_form(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", sys)  # anything: it is not asked
    with pytest.raises(UsageError, match="expected NAME/PRETRAINED, for instance ViT-B-32/openai"):
        OpenClip(source)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'anytag\[open-clip\]'"):
        OpenClip("ViT-B-32/openai")
