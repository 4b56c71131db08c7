"""Grounding DINO through transformers, with a tiny model of random weights on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from anytag.engine.grounding_dino import GroundingDino
from anytag.errors import ModelError

transformers = pytest.importorskip("transformers")

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", ".", "cat", "traffic", "light", "dog", "##s"]


@pytest.fixture(scope="module")
def dino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder as transformers writes it."""
    folder = tmp_path_factory.mktemp("dino")
    backbone = transformers.SwinConfig(
        image_size=64,
        embed_dim=16,
        depths=[1, 1, 1, 1],
        num_heads=[1, 2, 4, 8],
        window_size=2,
        out_features=["stage2", "stage3", "stage4"],
    )
    text = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    config = transformers.GroundingDinoConfig(
        backbone_config=backbone,
        text_config=text,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_queries=20,
        num_feature_levels=4,
        encoder_n_points=2,
        decoder_n_points=2,
        max_text_len=256,
    )
    torch.manual_seed(0)
    transformers.GroundingDinoForObjectDetection(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt"), do_lower_case=True)
    tokenizer = transformers.BertTokenizerFast.from_pretrained(folder)
    tokenizer.save_pretrained(folder)
    transformers.GroundingDinoImageProcessor(
        size={"shortest_edge": 192, "longest_edge": 256}
    ).save_pretrained(folder)
    return folder


IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8))


def test_scores_are_those_of_the_post_processing_of_transformers(dino: Path) -> None:
    """One word each: the score is then the maximum that transformers reports for the phrase."""
    detector = GroundingDino(dino, ["dog", "cat"], threshold=0.0)
    found = detector.detect(IMAGE, [1])
    assert len(found) == 20
    assert {region.tag for region in found} == {1}
    processor = transformers.AutoImageProcessor.from_pretrained(dino)
    tokenizer = transformers.AutoTokenizer.from_pretrained(dino)
    network = transformers.GroundingDinoForObjectDetection.from_pretrained(dino).eval()
    inputs = {**processor(IMAGE, return_tensors="pt"), **tokenizer("cat.", return_tensors="pt")}
    inputs.pop("token_type_ids")
    with torch.inference_mode():
        outputs = network(**inputs)
    # [CLS] cat . [SEP]
    expected = outputs.logits[0, :, 1].sigmoid().tolist()
    assert sorted(one.score for one in found) == pytest.approx(sorted(expected), abs=1e-5)
    for region in found:
        left, top, right, bottom = region.box
        assert 0 <= left <= right <= 1
        assert 0 <= top <= bottom <= 1


def test_threshold_and_words(dino: Path) -> None:
    everything = GroundingDino(dino, ["traffic light", "dogs"], threshold=0.0)
    found = everything.detect(IMAGE, [0, 1])
    assert {region.tag for region in found} == {0, 1}
    limit = sorted(region.score for region in found)[-5]
    some = GroundingDino(dino, ["traffic light", "dogs"], threshold=limit).detect(IMAGE, [0, 1])
    assert len(some) == 5
    assert everything.detect(IMAGE, []) == []


def test_many_tags_are_asked_in_parts(dino: Path) -> None:
    detector = GroundingDino(dino, ["traffic light"] * 100, threshold=0.0)
    found = detector.detect(IMAGE, list(range(100)))
    assert {region.tag for region in found} == set(range(100))


def test_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        GroundingDino(tmp_path, ["cat"])
