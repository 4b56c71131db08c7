"""Sizes read from full-size state dicts. Unusual sizes are in test_convert.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from anytag.checkpoints.convert import convert_checkpoint
from anytag.checkpoints.sizes import ConvertOptions
from anytag.models.swin import SwinConfig, swin_base, swin_large

MANIFESTS = Path(__file__).parents[1] / "golden/manifests"


@pytest.mark.parametrize(
    ("name", "swin"),
    [
        ("ram_swin_large_384", swin_large(384)),
        ("ram_plus_swin_large_384", swin_large(384)),
        ("tag2text_swin_base_384", swin_base(384)),
    ],
)
@pytest.mark.parametrize("masks", [True, False])
def test_released_sizes(name: str, swin: SwinConfig, masks: bool) -> None:
    shapes = json.loads((MANIFESTS / f"{name}.json").read_text())
    state = {
        key: torch.zeros(()).expand(shape)
        for key, shape in shapes.items()
        if masks or not key.endswith(("attn_mask", "relative_position_index"))
    }
    config = convert_checkpoint(state).config
    assert config.swin == swin
    assert config.tagger.encoder.backbone == ("swin_base" if "tag2text" in name else "swin_large")
    assert config.tagger.encoder.token_width == (None if "tag2text" in name else 512)
    decoder = config.tagger.decoder
    assert (decoder.hidden, decoder.num_layers, decoder.ffn) == (768, 2, 3072)
    if config.captioner is not None:
        captioner = config.captioner
        assert (captioner.num_layers, captioner.vocab_size) == (12, 30524)
        assert (captioner.max_positions, captioner.num_shared_layers) == (512, 2)
    smaller = convert_checkpoint(state, ConvertOptions(image_size=224)).config
    assert (smaller.swin.window_size, smaller.swin.num_tokens) == (7, 49)
