"""A BLIP folder with random weights, against transformers' own forward and preprocessing."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from anytag.errors import ModelError
from anytag.evaluation.text_matching import ImageTextMatcher

transformers = pytest.importorskip("transformers")

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "photo", "of", "cat", "dog", "red"]
WORDS += ["panda", ".", "##s"]
TAGS = ["red panda", "cat", "dogs", "cat", "red red red panda"]
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def write_blip(folder: Path, class_name: str = "BlipForImageTextRetrieval") -> Path:
    """Files, keys and settings as in Salesforce/blip-itm-base-coco, in small."""
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
             "num_attention_heads": 2}  # fmt: skip
    text = {**small, "vocab_size": len(WORDS), "max_position_embeddings": 20,
            "encoder_hidden_size": 12, "pad_token_id": 0, "bos_token_id": 2,
            "eos_token_id": 3, "sep_token_id": 3}  # fmt: skip
    vision = {**small, "hidden_size": 12, "image_size": 16, "patch_size": 8}
    config = transformers.BlipConfig(
        text_config=text, vision_config=vision, image_text_hidden_size=8
    )
    network = getattr(transformers, class_name)(config).eval()
    with torch.no_grad():  # BLIP's own are so small that all photos and tags would look alike
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.3)
    network.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    about = {"do_lower_case": True, "tokenizer_class": "BertTokenizer", "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    (folder / "preprocessor_config.json").write_text(
        json.dumps(
            {"do_normalize": True, "do_rescale": True, "do_resize": True, "do_pad": True,
             "image_mean": MEAN, "image_std": STD, "resample": 3, "rescale_factor": 1 / 255,
             "image_processor_type": "BlipImageProcessor", "processor_class": "BlipProcessor",
             "size": {"height": 16, "width": 16}, "size_divisor": 32}
        )
    )  # fmt: skip
    return folder


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers' own
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_blip(tmp_path_factory.mktemp("blip"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    random = np.random.default_rng(0)
    paths = [tmp_path_factory.mktemp("photos") / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):  # from dark to bright
        low, high = 80 * number, 80 * number + 90
        Image.fromarray(random.integers(low, high, (40, 61, 3), np.uint8)).save(path)
    return paths


def pixels_of(model: ImageTextMatcher, photos: list[Path]) -> np.ndarray:
    return np.stack([model.preprocessing.load(photo).pixels for photo in photos])


def published(folder: Path, photos: list[Path], texts: list[str]) -> np.ndarray:
    """The probability that they match, pair by pair, by the whole model of transformers."""
    network = transformers.BlipForImageTextRetrieval.from_pretrained(folder).eval()
    tokenizer = transformers.BertTokenizer.from_pretrained(folder)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    found = []
    for photo in photos:
        square = Image.open(photo).convert("RGB").resize((16, 16), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(square)).permute(2, 0, 1) / 255
        for text in texts:
            tokens = tokenizer([text], return_tensors="pt")
            with torch.no_grad():
                output = network(
                    input_ids=tokens["input_ids"],
                    attention_mask=tokens["attention_mask"],
                    pixel_values=((pixels - mean) / std)[None],
                    use_itm_head=True,
                )
            found.append(float(output.itm_score.softmax(dim=1)[0, 1]))
    return np.array(found, np.float32).reshape(len(photos), len(texts))


@pytest.mark.parametrize("texts", [2, 64])
def test_scores_are_those_of_the_whole_model(
    folder: Path, photos: list[Path], texts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the sentences' lengths, and in passes of two as in one."""
    monkeypatch.setattr("anytag.evaluation.text_matching._TEXTS", texts)
    model = ImageTextMatcher(folder)
    asked = model.ask("blip", TAGS)
    scores = asked.score(pixels_of(model, photos))
    expected = published(folder, photos, [f"a photo of a {tag}." for tag in TAGS])
    assert scores.shape == (3, 5)
    assert np.ptp(expected, axis=0).min() > 0.001  # photos differ
    assert np.ptp(expected, axis=1).min() > 0.01  # and tags
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    np.testing.assert_allclose(scores[:, 1], scores[:, 3], atol=1e-6)
    assert "image-text matching, 'a photo of a {}.'" in asked.notes[0]


def test_a_tags_score_does_not_depend_on_the_others(folder: Path, photos: list[Path]) -> None:
    model = ImageTextMatcher(folder)
    pixels = pixels_of(model, photos)
    scores = model.ask("blip", TAGS, "{}").score(pixels)
    alone = model.ask("blip", ["dogs"], "{}").score(pixels[1:2])
    np.testing.assert_allclose(alone[0, 0], scores[1, 2], atol=1e-5)


def test_keys_and_values_are_computed_once_for_all_tags_of_a_pass(
    folder: Path, photos: list[Path]
) -> None:
    model = ImageTextMatcher(folder)
    seen: list[tuple[int, ...]] = []
    cross = model.network.text_encoder.encoder.layer[0].crossattention.self
    cross.key.register_forward_hook(lambda layer, inputs, output: seen.append(output.shape))
    model.ask("blip", TAGS).score(pixels_of(model, photos))
    assert seen == [(1, 5, 16)] * 3  # four patches and the class token, a pass for each photo


def test_on_the_command_line(
    folder: Path, photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from anytag.cli.eval_options import EvalOptions
    from anytag.cli.eval_run import run

    rows = "".join(
        f"{path},{tags}\n" for path, tags in zip(photos, ["cat", "dog", "cat|dog"], strict=True)
    )
    (tmp_path / "truth.csv").write_text(f"image,tags\n{rows}")
    options = EvalOptions(
        set_name=None, annotations=tmp_path / "truth.csv", kind="auto", tags=None, images=None,
        model=[f"mine=blip:{folder}"], scores=None, threshold="best-f1", prompt="a {}",
        descriptions=None, out=None, quiet=False, device="cpu", dtype="auto", batch_size=2,
        workers=1,
    )  # fmt: skip
    assert run(options) == 0
    printed = capsys.readouterr()
    assert [line.split()[0] for line in printed.out.splitlines()] == ["system", "mine"]
    assert "mine: image-text matching, 'a {}'" in printed.err


def test_models_without_a_matching_head_are_refused(folder: Path, tmp_path: Path) -> None:
    captions = write_blip(tmp_path / "captions", "BlipForConditionalGeneration")
    with pytest.raises(ModelError, match=r"lacks \d+ of the \d+ weights of BlipForImageText"):
        ImageTextMatcher(captions)
    (folder / "config.json").rename(folder / "kept.json")
    try:
        (folder / "config.json").write_text('{"model_type": "clip"}')
        with pytest.raises(ModelError, match="family 'clip', expected blip"):
            ImageTextMatcher(folder)
    finally:
        (folder / "kept.json").replace(folder / "config.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="cannot be read as a model"):
        ImageTextMatcher(tmp_path / "empty")
