"""Folders of open_clip with random weights, against the package's own transform and vectors.

Where the package is not installed, a stand-in with its two functions shows which scores are kept.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from anytag.errors import MissingExtraError, ModelError, UsageError
from anytag.evaluation.asking import score_images
from anytag.evaluation.open_clip_models import OpenClip, weights_digest
from anytag.evaluation.score_store import ScoreStore

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


class Tower(torch.nn.Module):
    """Mean colour, projected; a sentence is its length."""

    def __init__(self, mean: float) -> None:
        super().__init__()
        self.project = torch.nn.Linear(3, 4)
        self.register_buffer("count", torch.tensor(3))  # no axes
        self.visual = SimpleNamespace(
            preprocess_cfg={"size": 4, "mean": (mean,) * 3, "std": (0.5,) * 3}
        )

    def encode_image(self, images: torch.Tensor, normalize: bool) -> torch.Tensor:
        vectors: torch.Tensor = self.project(images.mean((2, 3)))
        return torch.nn.functional.normalize(vectors, dim=-1) if normalize else vectors

    def encode_text(self, tokens: torch.Tensor, normalize: bool) -> torch.Tensor:
        return torch.nn.functional.normalize(tokens.float(), dim=-1) if normalize else tokens


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A stand-in for the package; ``scored`` counts its photos."""

    def create(name: str, pretrained: str, device: Any) -> tuple[Tower, Any]:
        assert name == "tiny"
        network = Tower(package.mean)
        network.load_state_dict(torch.load(pretrained))

        def transform(image: Image.Image) -> torch.Tensor:
            package.scored += 1
            pixels = np.array(image.resize((4, 4)), np.float32) / 255
            return (torch.from_numpy(pixels).permute(2, 0, 1) - package.mean) / 0.5

        return network.to(device), transform

    def tokenizer(name: str) -> Any:
        return lambda texts: torch.tensor([[len(text), 1, 2, 3] for text in texts])

    package = SimpleNamespace(
        create_model_from_pretrained=create, get_tokenizer=tokenizer, mean=0.5, scored=0
    )
    monkeypatch.setitem(sys.modules, "open_clip", package)
    return package


def save_weights(path: Path, seed: int) -> None:
    torch.manual_seed(seed)
    torch.save(Tower(0.5).state_dict(), path)


def test_kept_scores_are_those_of_the_weights_and_not_of_their_name(
    stand_in: SimpleNamespace, tmp_path: Path
) -> None:
    weights, photos = tmp_path / "w.pt", [tmp_path / f"{n}.png" for n in range(3)]
    for number, path in enumerate(photos):
        Image.new("RGB", (9, 9), (90 * number, 10, 200)).save(path)

    def score() -> tuple[np.ndarray, int]:
        """Scores of all photos, and how many of them were computed."""
        before = stand_in.scored
        asked = OpenClip(f"tiny/{weights}", "cpu").ask("mine", TAGS)
        ids = [path.name for path in photos]
        store = ScoreStore(tmp_path / "out", "mine", asked.settings, ids, asked.num_columns)
        found, failed = score_images(asked, ids, photos, store, workers=1)
        store.close()
        assert not failed
        return found.scores, stand_in.scored - before

    save_weights(weights, 1)
    first, computed = score()
    assert computed == 3
    os.utime(weights, (1, 1))  # the same weights, copied again
    again, computed = score()
    assert computed == 0
    np.testing.assert_array_equal(again, first)
    save_weights(weights, 2)  # other weights under the same name
    other, computed = score()
    assert computed == 3
    assert np.abs(other - first).max() > 0.01
    stand_in.mean = 0.4  # other statistics of the pixels
    assert score()[1] == 3


def test_every_weight_and_its_name_and_type_change_the_digest() -> None:
    torch.manual_seed(0)
    network = Tower(0.5)
    seen = {weights_digest(network)}
    assert seen == {weights_digest(network)}
    with torch.no_grad():
        network.project.bias[3] += 1e-6
    seen.add(weights_digest(network))
    network.count += 1
    seen.add(weights_digest(network))
    seen.add(weights_digest(network.bfloat16()))
    seen.add(weights_digest(torch.nn.Sequential(network)))
    assert len(seen) == 5
