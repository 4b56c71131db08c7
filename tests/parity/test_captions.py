"""Captions of the golden models: stages to 1e-5, tokens equal, every case but a known defect."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from anytag.inference.captioning import CaptionWriter
from anytag.inference.wordpiece import WordPiece
from anytag.models.released import read_tags

pytestmark = pytest.mark.parity

SETTINGS = Path(__file__).parents[1] / "golden/tag2text/config.json"
CASES: dict[str, Any] = json.loads(SETTINGS.read_text())["expected"]["captions_out"]
#: the public code captions every image of a batch from the first; done right here
DEFECT = "batch2_transformers4_30_beam3"
WHOLE = 1e-4


def assert_close(actual: Tensor, expected: Tensor) -> None:
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() / expected.abs().max() < WHOLE


@pytest.fixture(params=["ram", "tag2text"])
def captioning(request: pytest.FixtureRequest, goldens: dict[str, Any]) -> Any:
    return goldens[request.param]


@pytest.fixture
def writer(tag2text: Any) -> CaptionWriter:
    return CaptionWriter(tag2text.network, WordPiece.load(tag2text.folder / "vocab.txt"))


@pytest.fixture
def tokens(tag2text: Any) -> Tensor:
    with torch.no_grad():
        return tag2text.network.encoder(tag2text.inputs["image"])


def test_tokenizer(captioning: Any) -> None:
    wordpiece = WordPiece.load(captioning.folder / "vocab.txt")
    inputs, expected = captioning.inputs, captioning.expected
    for texts, key in ((expected["tag_texts"], "tag"), (expected["captions"], "caption")):
        rows = [wordpiece.encode(text, 40) for text in texts]
        length = inputs[f"{key}_ids_raw"].shape[1]
        assert wordpiece.pad(rows, length) == inputs[f"{key}_ids_raw"].tolist()
        start = wordpiece.encoder_start_id if key == "tag" else wordpiece.decoder_start_id
        assert inputs[f"{key}_ids"][:, 0].tolist() == [start, start]


def test_tag_texts(captioning: Any, writer: CaptionWriter) -> None:
    cases = [("tag_texts", "tag"), ("user_tags", "user_tag")]
    for texts, key in cases if captioning.family == "tag2text" else cases[:1]:
        names = [text.split(" | ") for text in captioning.expected[texts]]
        ids, mask = writer.encode_tags(names)
        assert torch.equal(ids, captioning.inputs[f"{key}_ids"])
        assert torch.equal(mask.long(), captioning.inputs[f"{key}_mask"])


def test_tag_encoder_and_teacher_forcing(captioning: Any) -> None:
    network, inputs, outputs = captioning.network, captioning.inputs, captioning.outputs
    tokens = outputs.get("image_embeds", outputs["swin.tokens"])
    with torch.no_grad():
        memory = read_tags(network, tokens, inputs["tag_ids"], inputs["tag_mask"])
        logits = network.captioner.decoder(inputs["caption_ids"], memory, inputs["caption_mask"])
    assert_close(memory, outputs["tag_encoder.last_hidden"])
    assert_close(logits, outputs["decoder.logits"])


def test_tokens_one_by_one_give_the_same_logits(tag2text: Any) -> None:
    """The cache of keys and values, against the whole text at once."""
    decoder = tag2text.network.captioner.decoder
    ids = tag2text.inputs["caption_ids"]
    memory = tag2text.outputs["tag_encoder.last_hidden"]
    with torch.no_grad():
        state, parts = decoder.start(memory), []
        for piece in (ids[:, :4], *ids[:, 4:].split(1, 1)):
            logits, state = decoder.step(piece, state)
            parts.append(logits)
        assert_close(torch.cat(parts, 1), decoder(ids, memory))


def split(text: str) -> list[str]:
    return text.split(" | ")


@pytest.mark.parametrize("name", [name for name in CASES if name != DEFECT])
def test_caption(name: str, tag2text: Any, writer: CaptionWriter, tokens: Tensor) -> None:
    case, image = CASES[name], int(name.rpartition(".")[2])
    arguments = {key: value for key, value in case["args"].items() if key != "tag_input"}
    config = replace(writer.defaults, **arguments)
    tags, seen = [split(case["tags"])], tokens[image : image + 1]
    memory = read_tags(tag2text.network, seen, *writer.encode_tags(tags))
    written = writer.generate(memory, config)
    assert torch.equal(written.ids[0], tag2text.outputs[f"cap.{name}.ids"])
    assert writer.write(seen, tags, config) == [case["caption"]]
    if f"cap.{name}.score" in tag2text.outputs:
        expected = tag2text.outputs[f"cap.{name}.score"]
        torch.testing.assert_close(written.scores, expected, rtol=0, atol=1e-6)


def test_batch_is_captioned_image_by_image(writer: CaptionWriter, tokens: Tensor) -> None:
    """The public code's defect is not repeated: image 1 gets its own caption."""
    tags = [split(text) for text in CASES[DEFECT]["tags"]]
    captions = writer.write(tokens, tags)
    assert captions == [CASES[f"beam3_default_pred.{image}"]["caption"] for image in (0, 1)]
    assert captions != CASES[DEFECT]["captions"]
    assert writer.write(tokens.flip(0), tags[::-1]) == captions[::-1]


def test_predicted_tags(tag2text: Any) -> None:
    """The tags that Tag2Text's captions start from are what its own tagging chooses."""
    with torch.no_grad():
        scores = tag2text.network(tag2text.inputs["image"], tag2text.prepare()).sigmoid()
    chosen = scores > torch.tensor(tag2text.settings["class_threshold"])
    chosen[:, tag2text.settings["delete_tag_index"]] = False
    names = tag2text.settings["tag_list"]
    texts = [" | ".join(names[i] for i in row.nonzero()[:, 0]) for row in chosen]
    assert texts == CASES[DEFECT]["tags"]
