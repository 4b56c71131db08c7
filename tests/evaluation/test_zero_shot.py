"""CLIP and SigLIP folders with random weights, against transformers' own preprocessing."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from anytag.errors import ModelError
from anytag.evaluation.pretrained import Preprocessing
from anytag.evaluation.zero_shot import ZeroShot

transformers = pytest.importorskip("transformers")

WORDS = ["<pad>", "<unk>", "</s>", "a", "photo", "of", "cat", "dog", "red", "panda", "."]


def write_tokenizer(folder: Path, **special: str) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    model = tokenizers.models.WordLevel(
        {word: place for place, word in enumerate(WORDS)}, unk_token="<unk>"
    )
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 2)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", eos_token="</s>"
    ).save_pretrained(folder)


def write_clip(folder: Path) -> Path:
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
             "num_attention_heads": 2, "projection_dim": 12}  # fmt: skip
    text = {**small, "vocab_size": len(WORDS), "max_position_embeddings": 12, "eos_token_id": 2,
            "pad_token_id": 0, "bos_token_id": 3}  # fmt: skip
    vision = {**small, "image_size": 16, "patch_size": 8}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)
    transformers.CLIPModel(config).save_pretrained(folder)
    write_tokenizer(folder)
    # the class of the tokenizer in real folders; this tiny one is a plain fast tokenizer
    about = {"do_center_crop": True, "crop_size": {"height": 16, "width": 16},
             "size": {"shortest_edge": 16}, "resample": 3, "image_mean": [0.48, 0.46, 0.41],
             "image_std": [0.27, 0.26, 0.28], "do_normalize": True, "do_rescale": True,
             "rescale_factor": 1 / 255, "do_resize": True, "do_convert_rgb": True}  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(about))
    return folder


def write_siglip(folder: Path) -> Path:
    torch.manual_seed(1)
    small = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
             "num_attention_heads": 2}  # fmt: skip
    text = {**small, "vocab_size": len(WORDS), "max_position_embeddings": 8, "pad_token_id": 0,
            "eos_token_id": 2, "bos_token_id": 1}  # fmt: skip
    vision = {**small, "image_size": 16, "patch_size": 8}
    config = transformers.SiglipConfig(text_config=text, vision_config=vision)
    model = transformers.SiglipModel(config)
    with torch.no_grad():
        model.logit_scale.fill_(2.0)
        model.logit_bias.fill_(-1.0)
    model.save_pretrained(folder)
    write_tokenizer(folder)
    about = {"size": {"height": 16, "width": 16}, "resample": 3, "image_mean": [0.5, 0.5, 0.5],
             "image_std": [0.5, 0.5, 0.5]}  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(about))
    return folder


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers' own
        yield


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 255, (40, 61, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def pixels_of(model: ZeroShot, photo: Path) -> np.ndarray:
    return model.preprocessing.load(photo).pixels[None]


def test_clip_scores_are_cosines_of_the_whole_model(tmp_path: Path, photo: Path) -> None:
    model = ZeroShot(write_clip(tmp_path / "clip"))
    asked = model.ask("clip", ["cat", "red panda"])
    assert "'a photo of a {}.'" in asked.notes[0]
    scores = asked.score(pixels_of(model, photo))
    network = transformers.CLIPModel.from_pretrained(tmp_path / "clip").eval()
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path / "clip")
    texts = ["a photo of a cat.", "a photo of a red panda."]
    tokens = tokenizer(texts, padding=True, return_tensors="pt")
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ([0.48, 0.46, 0.41], [0.27, 0.26, 0.28]))
    plain = torch.from_numpy(pixels_of(model, photo)).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        output = network(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"],
            pixel_values=(plain - mean) / std,
        )  # fmt: skip
        expected = output.logits_per_image / network.logit_scale.exp()
    np.testing.assert_allclose(scores, expected.numpy(), atol=1e-5)
    alone = model.ask("clip", ["red panda"]).score(pixels_of(model, photo))
    np.testing.assert_allclose(alone[0, 0], scores[0, 1], atol=1e-6)  # no softmax over the list


def test_all_files_of_the_weights_belong_to_the_kept_scores(tmp_path: Path) -> None:
    folder = write_clip(tmp_path / "clip")
    network = transformers.CLIPModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    network.save_pretrained(folder, max_shard_size="20KB")
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 1

    def settings() -> object:
        return ZeroShot(folder).ask("clip", ["cat"]).settings

    seen = [settings()]
    assert settings() == seen[0]
    for file in (shards[-1], folder / "preprocessor_config.json"):
        os.utime(file, ns=(0, 0))
        seen.append(settings())
    assert seen[0] != seen[1] != seen[2]


def test_siglip_scores_are_the_models_sigmoid(tmp_path: Path, photo: Path) -> None:
    model = ZeroShot(write_siglip(tmp_path / "siglip"))
    scores = model.ask("s", ["Cat", "dog"], "a photo of a {}").score(pixels_of(model, photo))
    network = transformers.SiglipModel.from_pretrained(tmp_path / "siglip").eval()
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path / "siglip")
    tokens = tokenizer(
        ["a photo of a cat", "a photo of a dog"], padding="max_length", max_length=8,
        return_tensors="pt",
    )  # fmt: skip
    plain = torch.from_numpy(pixels_of(model, photo)).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        output = network(input_ids=tokens["input_ids"], pixel_values=(plain - 0.5) / 0.5)
    np.testing.assert_allclose(scores, output.logits_per_image.sigmoid().numpy(), atol=1e-5)


def test_preprocessing_is_that_of_the_published_code(tmp_path: Path, photo: Path) -> None:
    """Shorter side to 16 (61 x 40 -> 24 x 16), bicubic, and the middle of it."""
    found = Preprocessing.read(write_clip(tmp_path / "clip") / "preprocessor_config.json")
    image = Image.open(photo).resize((24, 16), Image.Resampling.BICUBIC).crop((4, 0, 20, 16))
    np.testing.assert_array_equal(found.load(photo).pixels, np.array(image))
    square = Preprocessing.read(write_siglip(tmp_path / "s") / "preprocessor_config.json")
    whole = Image.open(photo).resize((16, 16), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(square.load(photo).pixels, np.array(whole))
    assert (square.load(photo).width, square.load(photo).height) == (61, 40)


def test_other_models_are_refused(tmp_path: Path) -> None:
    folder = write_clip(tmp_path / "clip")
    (folder / "preprocessor_config.json").write_text('{"size": {}}')
    with pytest.raises(ModelError, match="no preprocessing that is known"):
        ZeroShot(folder)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match="no preprocessing that is known"):
        ZeroShot(folder)
    bert = transformers.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
        intermediate_size=8,
    )  # fmt: skip
    transformers.BertModel(bert).save_pretrained(tmp_path / "bert")
    with pytest.raises(ModelError, match="family 'bert', expected clip"):
        ZeroShot(tmp_path / "bert")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="cannot be read as a model"):
        ZeroShot(tmp_path / "empty")


def test_on_the_command_line_beside_a_tagger(
    tmp_path: Path, photo: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from anytag.cli.eval_options import EvalOptions
    from anytag.cli.eval_run import run

    write_clip(tmp_path / "clip")
    write_siglip(tmp_path / "siglip")
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(photo.read_bytes())
    (tmp_path / "truth.csv").write_text("image,tags\na.png,cat\nb.png,dog|red panda\n")
    sources = [f"tiny={tiny_model}", f"clip:{tmp_path / 'clip'}", f"siglip:{tmp_path / 'siglip'}"]
    options = EvalOptions(
        set_name=None, annotations=tmp_path / "truth.csv", kind="auto", tags=None,
        images=tmp_path, model=sources, scores=None, threshold="like=tiny",
        prompt="a photo of a {}.", descriptions=None, out=None, quiet=False, device="cpu",
        dtype="auto", batch_size=2, workers=1,
    )  # fmt: skip
    assert run(options) == 0
    printed = capsys.readouterr()
    assert [line.split("  ")[0] for line in printed.out.splitlines()] == [
        "system", "tiny", "clip", "siglip"
    ]  # fmt: skip
    assert "clip: zero-shot, 'a photo of a {}.'" in printed.err
