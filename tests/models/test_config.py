"""Sizes that fit together, and sizes that do not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from anytag.config import from_plain, to_plain
from anytag.errors import ConfigError
from anytag.models.config import CaptionerConfig, TaggerConfig, nano, nano_captioner, ram
from anytag.models.released import ReleasedConfig, read_tags
from anytag.models.swin import swin_base
from anytag.models.tagging import TaggingNetwork


def test_nano_with_captions_is_nano_and_a_captioner() -> None:
    torch.manual_seed(0)
    plain = TaggingNetwork(nano(64))
    torch.manual_seed(0)
    both = TaggingNetwork(replace(nano(64), captioner=nano_captioner(500)))
    assert plain.captioner is None
    assert both.captioner is not None
    own = {k: v for k, v in both.state_dict().items() if not k.startswith("captioner.")}
    for name, value in plain.state_dict().items():
        assert torch.equal(own.pop(name), value), name
    assert not own
    words = 2 * 500 * 256
    rest = sum(p.numel() for p in both.captioner.parameters()) - words - 500
    assert 3.7e6 < rest < 3.9e6


def test_captions_read_what_tags_look_at() -> None:
    network = TaggingNetwork(replace(nano(64), captioner=nano_captioner(50))).eval()
    assert network.captioner is not None
    assert network.captioner.config.num_shared_layers == 2
    ids, mask = torch.ones(2, 4, dtype=torch.int64), torch.ones(2, 4)
    memory = read_tags(network, network.encoder(torch.randn(2, 3, 64, 64)), ids, mask)
    assert network.captioner.decoder(ids, memory).shape == (2, 4, 50)


def test_other_widths_borrow_nothing() -> None:
    config = nano_captioner(50, hidden=128)
    assert (config.hidden, config.num_heads, config.num_shared_layers) == (128, 2, 0)
    tagger = replace(nano(), captioner=config)
    assert tagger.captioner == config
    large = nano_captioner(50, hidden=768, tagger=ram())
    assert (large.token_width, large.ffn, large.num_shared_layers) == (512, 3072, 2)


@pytest.mark.parametrize("hidden", [0, 60, 100])
def test_widths_of_the_small_captioner(hidden: int) -> None:
    with pytest.raises(ConfigError, match="a multiple of 64"):
        nano_captioner(50, hidden=hidden)


def test_a_captioner_needs_a_known_token_width() -> None:
    tagger = nano()
    bare = replace(tagger, encoder=replace(tagger.encoder, token_width=None))
    with pytest.raises(ConfigError, match=r"encoder\.token_width"):
        nano_captioner(50, tagger=bare)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"token_width": 255}, "image tokens of width 255, the encoder gives 256"),
        ({"num_shared_layers": 3}, "borrows 3 layers from a tagging decoder of 2"),
        ({"ffn": 511}, r"ffn 511\) cannot borrow layers"),
        ({"hidden": 128}, r"\(hidden 128, ffn 512\) cannot borrow"),
    ],
)
def test_captioners_that_do_not_fit(changes: dict[str, int], message: str) -> None:
    captioner = replace(nano_captioner(50), **changes)
    with pytest.raises(ConfigError, match=message):
        replace(nano(), captioner=captioner)


def test_configurations_on_disk() -> None:
    config = replace(nano(), captioner=nano_captioner(50))
    assert from_plain(TaggerConfig, to_plain(config)) == config
    before = to_plain(nano())
    del before["captioner"]  # as it was written when captions were the released models' alone
    assert from_plain(TaggerConfig, before) == nano()


def released(tagger: TaggerConfig, captioner: CaptionerConfig | None) -> ReleasedConfig:
    return ReleasedConfig(
        family="ram", tagger=tagger, swin=swin_base(224), num_tags=None, captioner=captioner
    )


def test_released_networks_name_their_captioner_once() -> None:
    captioner = nano_captioner(50, hidden=768, tagger=ram())
    assert released(ram(), captioner).captioner == captioner
    with pytest.raises(ConfigError, match="stands beside its tagger"):
        released(replace(ram(), captioner=captioner), captioner)
    with pytest.raises(ConfigError, match="image tokens of width 7"):
        released(ram(), replace(captioner, token_width=7))
    bare = replace(ram(), encoder=replace(ram().encoder, token_width=None))
    with pytest.raises(ConfigError, match="the encoder gives 1024"):
        released(bare, captioner)
