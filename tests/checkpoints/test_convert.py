"""The converter: every key used or excused, every weight filled, and clear refusals."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from anytag.checkpoints.convert import (
    ConvertedCheckpoint,
    build_network,
    convert_checkpoint,
    detect_family,
    release_state,
)
from anytag.checkpoints.sizes import ConvertOptions
from anytag.errors import ModelError
from anytag.models.config import CaptionerConfig, DecoderConfig, EncoderConfig, TaggerConfig
from anytag.models.released import ReleasedConfig, build_released, read_tags
from anytag.models.swin import SwinConfig

GOLDEN = Path(__file__).parents[1] / "golden"
MANIFESTS = {
    "ram": "ram_swin_large_384",
    "ram_plus": "ram_plus_swin_large_384",
    "tag2text": "tag2text_swin_base_384",
}
FAMILIES = tuple(MANIFESTS)
#: no two sizes alike
SWIN = SwinConfig(
    image_size=96, embed_dim=16, depths=(1, 2, 3), num_heads=(2, 1, 4), window_size=6, mlp_ratio=3.0
)
OPTIONS = ConvertOptions(num_tags=6, num_heads=3, num_caption_heads=2)


def full_size(family: str) -> dict[str, Tensor]:
    """A released state dict with all its keys and shapes, and no memory behind it."""
    shapes = json.loads((GOLDEN / f"manifests/{MANIFESTS[family]}.json").read_text())
    return {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}


def config(family: str) -> ReleasedConfig:
    closed = family == "tag2text"
    width = SWIN.num_features if closed else 20
    encoder = EncoderConfig(backbone="swin", image_size=96, token_width=None if closed else width)
    captioner = CaptionerConfig(
        hidden=24,
        num_layers=4,
        num_heads=2,
        ffn=40,
        vocab_size=30,
        max_positions=16,
        token_width=width,
        num_shared_layers=3,
    )
    return ReleasedConfig(
        family=family,
        tagger=TaggerConfig(
            encoder=encoder,
            decoder=DecoderConfig(hidden=24, num_layers=3, num_heads=3, ffn=40),
            text_width=24 if closed else width,
        ),
        swin=SWIN,
        num_tags=6 if closed else None,
        captioner=None if family == "ram_plus" else captioner,
    )


def released_checkpoint(family: str) -> dict[str, Tensor]:
    """A random network of unusual sizes in the released layout, second names included."""
    torch.manual_seed(1)
    network = build_released(config(family))
    labels = {"ram": torch.randn(6, 20), "ram_plus": torch.randn(6, 4, 20)}.get(family)
    converted = ConvertedCheckpoint(
        config=config(family), state=network.state_dict(), label_embeddings=labels, excused={}
    )
    state = release_state(converted)
    state["visual_encoder.layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(36, 36)
    state["visual_encoder.layers.1.blocks.1.attn_mask"] = torch.zeros(4, 36, 36)
    if family != "ram_plus":
        words = state["text_decoder.bert.embeddings.word_embeddings.weight"]
        state["text_decoder.cls.predictions.decoder.weight"] = words
        state["text_decoder.cls.predictions.decoder.bias"] = state[
            "text_decoder.cls.predictions.bias"
        ]
        for key in [key for key in state if key.startswith("tagging_head.")]:
            state[key.replace("tagging_head.", "tag_encoder.")] = state[key].clone()
        state["tag_encoder.embeddings.position_ids"] = torch.arange(16)[None]
    return state


@pytest.mark.parametrize(
    ("family", "keys", "parameters"),
    [("ram", 1042, 469_148_785), ("ram_plus", 402, 329_493_046), ("tag2text", 1038, None)],
)
def test_full_size_checkpoints_fill_every_weight(
    family: str, keys: int, parameters: int | None
) -> None:
    released = full_size(family)
    assert len(released) == keys
    converted = convert_checkpoint(released)
    network = build_network(converted)  # strict
    assert converted.num_tags == (3429 if family == "tag2text" else 4585)
    assert len(converted.state) + len(converted.excused) == keys - (family != "tag2text")
    used = {id(value) for value in released.values()}
    assert len(used) == keys
    if parameters is not None:
        labels = converted.label_embeddings
        assert labels is not None
        assert sum(p.numel() for p in network.parameters()) + labels.numel() == parameters
    assert converted.config.swin.window_size == 12
    assert converted.config.swin.image_size == 384


@pytest.mark.parametrize("family", FAMILIES)
def test_key_table_is_read_both_ways(family: str) -> None:
    released = full_size(family)
    converted = convert_checkpoint(released)
    back = release_state(converted)
    assert {key: value.shape for key, value in back.items()} == {
        key: value.shape for key, value in released.items() if key not in converted.excused
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_unusual_sizes_give_the_same_network(family: str) -> None:
    released = released_checkpoint(family)
    converted = convert_checkpoint(released, OPTIONS)
    expected = config(family)
    assert converted.config == expected
    torch.manual_seed(1)
    network, same = build_network(converted), build_released(expected).eval()
    images = torch.randn(2, 3, 96, 96)
    labels = converted.label_embeddings
    with torch.no_grad():
        states = [n.prepare() if labels is None else n.prepare(labels) for n in (network, same)]
        torch.testing.assert_close(network(images, states[0]), same(images, states[1]))


def test_weights_are_taken_not_copied() -> None:
    released = released_checkpoint("ram")
    network = build_network(convert_checkpoint(released, OPTIONS))
    weight = released["wordvec_proj.weight"]
    assert network.queries.projection.weight.data_ptr() == weight.data_ptr()


def test_captioner_can_be_left_out() -> None:
    options = dataclasses.replace(OPTIONS, captioner=False)
    converted = convert_checkpoint(released_checkpoint("ram"), options)
    network = build_network(converted)
    assert network.captioner is None
    assert "left out" in converted.excused["text_decoder.cls.predictions.bias"]
    with pytest.raises(ModelError, match="no captioner"):
        read_tags(network, torch.zeros(1, 1, 20), torch.zeros(1, 1), torch.ones(1, 1))


@pytest.mark.parametrize(
    "dropped",
    [
        "text_decoder.bert.embeddings.word_embeddings.weight",
        "text_decoder.cls.predictions.decoder.weight",
        "text_decoder.cls.predictions.bias",
        "text_decoder.cls.predictions.decoder.bias",
        "tagging_head.encoder.layer.1.intermediate.dense.weight",
        "tag_encoder.encoder.layer.1.intermediate.dense.weight",
    ],
)
def test_one_of_two_names_is_enough(dropped: str) -> None:
    released = released_checkpoint("tag2text")
    expected = convert_checkpoint(released, OPTIONS).state
    del released[dropped]
    state = convert_checkpoint(released, OPTIONS).state
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in state)


def test_old_name_of_the_head() -> None:
    released = {
        key.replace("tagging_head.", "vision_multi."): value
        for key, value in released_checkpoint("tag2text").items()
    }
    build_network(convert_checkpoint(released, OPTIONS))


@pytest.mark.parametrize(("size", "window"), [(96, 6), (192, 12), (48, 3)])
def test_other_image_size_resizes_the_tables(size: int, window: int) -> None:
    options = dataclasses.replace(OPTIONS, image_size=size)
    converted = convert_checkpoint(released_checkpoint("ram"), options)
    assert converted.config.swin.window_size == window
    network = build_network(converted)
    labels = converted.label_embeddings
    with torch.no_grad():
        assert network(torch.zeros(1, 3, size, size), network.prepare(labels)).shape == (1, 6)


def change(family: str, edit: Any) -> dict[str, Tensor]:
    state = released_checkpoint(family)
    edit(state)
    return state


@pytest.mark.parametrize(
    ("family", "edit", "options", "message"),
    [
        ("ram", lambda s: s.pop("fc.bias"), OPTIONS, r"1 weights missing \(decoder.logit.bias\)"),
        ("ram", lambda s: s.update(extra=torch.zeros(1)), OPTIONS, "1 keys are not known to ram"),
        ("ram", lambda s: s.pop("label_embed"), OPTIONS, "lacks label_embed;"),
        ("ram", lambda s: s.clear(), OPTIONS, "not a RAM, RAM"),
        ("ram", lambda s: None, ConvertOptions(num_tags=7), "has 6 tags, the tag list has 7"),
        ("ram", lambda s: None, ConvertOptions(num_heads=5), "not divisible by 5 heads"),
        ("ram", lambda s: None, ConvertOptions(image_size=100), "choose a multiple of 16"),
        ("ram_plus", lambda s: None, ConvertOptions(num_tags=7), "24 description embeddings"),
        ("ram_plus", lambda s: None, ConvertOptions(), "not 51 for each tag"),
        ("tag2text", lambda s: None, ConvertOptions(num_tags=9), "has 6 tags"),
        (
            "tag2text",
            lambda s: s.update({"text_decoder.cls.predictions.decoder.bias": torch.ones(30)}),
            OPTIONS,
            "differs from",
        ),
        ("ram", lambda s: s.update({"fc.weight": torch.zeros(1, 9)}), OPTIONS, "shape"),
    ],
)
def test_what_does_not_fit_is_refused(
    family: str, edit: Any, options: ConvertOptions, message: str
) -> None:
    options = dataclasses.replace(
        options,
        num_heads=options.num_heads if options.num_heads == 5 else 3,
        num_caption_heads=2,
    )
    with pytest.raises(ModelError, match=message) as caught:
        build_network(convert_checkpoint(change(family, edit), options))
    assert "\n" not in str(caught.value)


def test_family_is_detected() -> None:
    assert [detect_family(full_size(family)) for family in FAMILIES] == list(FAMILIES)
