"""The released networks' configuration; their numbers are under tests/parity."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from anytag.errors import ConfigError
from anytag.models.config import CaptionerConfig, DecoderConfig, EncoderConfig, TaggerConfig
from anytag.models.released import FAMILIES, ReleasedConfig, build_released
from anytag.models.swin import SwinConfig

CAPTIONER = CaptionerConfig(
    hidden=8,
    num_layers=2,
    num_heads=2,
    ffn=8,
    vocab_size=9,
    max_positions=9,
    token_width=6,
    num_shared_layers=1,
)
CONFIG = ReleasedConfig(
    family="ram",
    tagger=TaggerConfig(
        encoder=EncoderConfig(backbone="swin", image_size=32, token_width=6),
        decoder=DecoderConfig(hidden=8, num_layers=1, num_heads=2, ffn=8),
        text_width=6,
    ),
    swin=SwinConfig(image_size=32, embed_dim=4, depths=(1,), num_heads=(1,), window_size=8),
    num_tags=None,
    captioner=CAPTIONER,
)


def config(family: str) -> ReleasedConfig:
    return replace(
        CONFIG,
        family=family,
        num_tags=5 if family == "tag2text" else None,
        captioner=None if family == "ram_plus" else CAPTIONER,
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_reaches_every_tagging_parameter(family: str) -> None:
    network = build_released(replace(config(family), captioner=None)).train()
    labels = {"ram": (5, 6), "ram_plus": (5, 3, 6)}.get(family)
    state = network.prepare() if labels is None else network.prepare(torch.randn(labels))
    network(torch.randn(2, 3, 32, 32), state).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tag_does_not_depend_on_the_other_tags(family: str) -> None:
    network = build_released(config(family)).eval()
    images, kept = torch.randn(2, 3, 32, 32), torch.tensor([3, 0])
    with torch.no_grad():
        if family == "tag2text":
            states = network.prepare(), network.prepare(kept)
        else:
            labels = torch.randn(5, 6) if family == "ram" else torch.randn(5, 3, 6)
            states = network.prepare(labels), network.prepare(labels[kept])
        all_tags, some = (network(images, state) for state in states)
    torch.testing.assert_close(all_tags[:, kept], some)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"family": "clip"}, "none of ram, ram_plus, tag2text"),
        ({"num_tags": 5}, "num_tags"),
        ({"family": "tag2text"}, "num_tags"),
        ({"family": "ram_plus"}, "has no captioner"),
        ({"captioner": replace(CAPTIONER, num_shared_layers=2)}, "borrows 2 layers"),
    ],
)
def test_wrong_configurations_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(CONFIG, **changes)
