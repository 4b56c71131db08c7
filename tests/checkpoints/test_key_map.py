"""Key names, both ways."""

from __future__ import annotations

import pytest

from anytag.checkpoints.key_map import TABLES, translate


@pytest.mark.parametrize(
    ("family", "released", "ours"),
    [
        ("ram", "visual_encoder.norm.weight", "encoder.backbone.norm.weight"),
        (
            "ram",
            "tagging_head.encoder.layer.1.crossattention.output.LayerNorm.bias",
            "decoder.layers.1.cross_attention_norm.bias",
        ),
        ("ram", "fc.weight", "decoder.logit.weight"),
        ("tag2text", "fc.W", "decoder.weight"),
        ("ram_plus", "reweight_scale", "reweighting.scale"),
        (
            "tag2text",
            "text_decoder.bert.encoder.layer.11.attention.self.key.weight",
            "captioner.decoder.layers.11.self_attention.key.weight",
        ),
        ("ram_plus", "text_decoder.cls.predictions.bias", None),
        ("ram", "fcx.weight", None),
        ("ram", "tagging_head.encoder.layer.x.output.dense.bias", None),
    ],
)
def test_translate(family: str, released: str, ours: str | None) -> None:
    assert translate(released, TABLES[family]) == ours
    if ours is not None:
        assert translate(ours, TABLES[family], back=True) == released
