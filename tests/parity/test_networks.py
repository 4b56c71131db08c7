"""Every golden stage and logit of RAM, RAM++ and Tag2Text, through the converter.

Run with ``pytest -m parity``. Single stages are held to 1e-5, whole paths to 1e-4, relative to the
largest value of the tensor.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from anytag.models.reweight import Descriptions

pytestmark = pytest.mark.parity

STAGE, WHOLE = 1e-5, 1e-4


def assert_close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    assert actual.shape == expected.shape
    error = (actual - expected).abs().max() / expected.abs().max()
    assert error < tolerance


def test_image_tokens(golden: Any) -> None:
    with torch.no_grad():
        tokens = golden.network.encoder.backbone(golden.inputs["image"])
        assert_close(tokens.mean(1), golden.outputs["swin.pooled"], STAGE)
        assert_close(tokens, golden.outputs["swin.tokens"][:, 1:], STAGE)
        tokens = golden.network.encoder.project(tokens)
    expected = golden.outputs.get("image_embeds", golden.outputs["swin.tokens"])
    assert_close(tokens, expected, STAGE)


def test_reweighting(ram_plus: Any) -> None:
    network, outputs = ram_plus.network, ram_plus.outputs
    descriptions = ram_plus.prepare()
    image = outputs["image_embeds"][:, 0]
    with torch.no_grad():
        weights = network.reweighting.weights(image, descriptions.groups[0])
        mixed = network.reweighting(image, descriptions)
    assert_close(weights, outputs["reweight.weights"], STAGE)
    assert_close(mixed, outputs["reweight.label_embed"], STAGE)


def test_decoder_layers(golden: Any) -> None:
    network, outputs = golden.network, golden.outputs
    tokens = outputs.get("image_embeds", outputs["swin.tokens"])
    with torch.no_grad():
        state = golden.prepare()
        if golden.family == "ram_plus":
            state = network.decoder.prepare(network.queries(outputs["reweight.label_embed"]))
        queries = state.queries.expand_as(outputs["head.input"])
        assert_close(queries, outputs["head.input"], STAGE)
        first, second = network.decoder.layers
        assert_close(first(queries, tokens), outputs["head.layer0"], STAGE)
        assert_close(second(outputs["head.layer0"], tokens), outputs["head.layer1"], STAGE)
        assert_close(network.decoder(state, tokens), outputs["tag_logits"], STAGE)


def test_tags(golden: Any) -> None:
    """Pixels to probabilities, and the published rule to choose tags."""
    with torch.no_grad():
        logits = golden.network(golden.inputs["image"], golden.prepare())
    assert_close(logits, golden.outputs["tag_logits"], WHOLE)
    assert_close(logits.sigmoid(), golden.outputs["tag_probs"], WHOLE)
    if golden.family == "tag2text":
        return
    chosen = logits.sigmoid() > torch.tensor(golden.settings["class_threshold"])
    chosen[:, golden.settings["delete_tag_index"]] = False
    for language, key in (("tags_en", "tag_list"), ("tags_zh", "tag_list_chinese")):
        names = golden.settings[key]
        texts = [" | ".join(names[i] for i in row.nonzero()[:, 0]) for row in chosen]
        assert texts == golden.expected[language]


def test_open_vocabulary(goldens: dict[str, Any]) -> None:
    for family in ("ram", "ram_plus"):
        golden = goldens[family]
        labels = golden.inputs["openset_label_embed"]
        if family == "ram_plus":
            labels = labels.reshape(golden.settings["openset"]["num_categories"], -1, 56)
        with torch.no_grad():
            state = golden.network.prepare(labels)
            logits = golden.network(golden.inputs["image"], state)
        assert_close(logits, golden.outputs["openset_logits"], WHOLE)


def test_mixed_vocabulary_is_one_score_list(ram_plus: Any) -> None:
    """Built-in tags with 51 descriptions beside own ones with 5 and 1: the same scores."""
    built_in = ram_plus.converted.label_embeddings
    own = ram_plus.inputs["openset_label_embed"].reshape(7, 5, -1)
    single = own[:3, :1]
    rows = torch.cat([single.flatten(0, 1), built_in.flatten(0, 1), own.flatten(0, 1)])
    mixed = Descriptions.from_rows(rows, [1] * 3 + [51] * 20 + [5] * 7)
    network, images = ram_plus.network, ram_plus.inputs["image"]
    with torch.no_grad():
        logits = network(images, network.prepare(mixed))
        singles = network(images, network.prepare(single))
    assert_close(logits[:, :3], singles, WHOLE)
    assert_close(logits[:, 3:23], ram_plus.outputs["tag_logits"], WHOLE)
    assert_close(logits[:, 23:], ram_plus.outputs["openset_logits"], WHOLE)


def test_alignment_logits(ram_plus: Any) -> None:
    """RAM++'s training compares images with the captions of their batch, in the same decoder."""
    network = ram_plus.network
    with torch.no_grad():
        state = network.decoder.prepare(network.queries(ram_plus.inputs["batch_text_embed"]))
        logits = network.decoder(state, network.encoder(ram_plus.inputs["image"]))
    assert_close(logits, ram_plus.outputs["alignment_logits"], WHOLE)


def test_chosen_tags_of_tag2text(tag2text: Any) -> None:
    tags = torch.tensor([7, 2, 19])
    with torch.no_grad():
        logits = tag2text.network(tag2text.inputs["image"], tag2text.network.prepare(tags))
    assert_close(logits, tag2text.outputs["tag_logits"][:, tags], WHOLE)


def test_bfloat16_chooses_nearly_the_same_tags(golden: Any) -> None:
    """By tags: all whose probability is not within 0.02 of the threshold."""
    network = copy.deepcopy(golden.network).bfloat16()
    labels = golden.converted.label_embeddings
    with torch.no_grad():
        state = network.prepare() if labels is None else network.prepare(labels.bfloat16())
        logits = network(golden.inputs["image"].bfloat16(), state)
    scores, expected = logits.float().sigmoid(), golden.outputs["tag_probs"]
    thresholds = torch.tensor(golden.settings["class_threshold"])
    clear = (expected - thresholds).abs() > 0.02
    assert clear.float().mean() > 0.8
    assert torch.equal((scores > thresholds)[clear], (expected > thresholds)[clear])
