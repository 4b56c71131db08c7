"""Parameter groups, schedules and averaged weights."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from anytag.errors import ConfigError
from anytag.models.config import DecoderConfig, EncoderConfig, TaggerConfig
from anytag.models.swin import Swin, SwinConfig
from anytag.models.tagging import TaggingNetwork
from anytag.training.blocks import set_trainable
from anytag.training.config import OptimConfig
from anytag.training.optim import (
    AveragedWeights,
    learning_rate,
    make_optimizer,
    parameter_groups,
    set_learning_rate,
)


@pytest.fixture
def network() -> TaggingNetwork:
    swin = SwinConfig(image_size=32, embed_dim=8, depths=(2, 2), num_heads=(1, 2), window_size=4)
    config = TaggerConfig(
        encoder=EncoderConfig(backbone="swin_base", image_size=32, token_width=12),
        decoder=DecoderConfig(hidden=8, num_layers=1, num_heads=2, ffn=16),
        text_width=6,
    )
    return TaggingNetwork(config, Swin(swin))


def names_of(network: nn.Module, group: dict[str, Any]) -> set[str]:
    ids = {id(parameter) for parameter in group["params"]}
    return {name for name, parameter in network.named_parameters() if id(parameter) in ids}


def test_every_parameter_is_in_one_group(network: TaggingNetwork) -> None:
    config = OptimConfig(lr=1.0, backbone_lr_scale=0.1, weight_decay=0.3)
    groups = parameter_groups(network, config)
    named = [names_of(network, group) for group in groups]
    assert sum(map(len, named)) == len(list(network.parameters()))
    assert set().union(*named) == {name for name, _ in network.named_parameters()}
    for names, group in zip(named, groups, strict=True):
        backbone = {name.startswith("encoder.backbone.") for name in names}
        assert len(backbone) == 1
        assert group["lr"] == group["lr_scale"] == (0.1 if backbone == {True} else 1.0)
        for name in names:
            plain = name.endswith(("bias", "norm.weight", "norm1.weight", "norm2.weight"))
            plain = plain or name.endswith("relative_position_bias_table")
            assert group["weight_decay"] == (0.0 if plain else 0.3), name


def test_all_decay_as_published(network: TaggingNetwork) -> None:
    groups = parameter_groups(network, OptimConfig(decay_all=True))
    assert [group["weight_decay"] for group in groups] == [0.05, 0.05]


def test_frozen_parameters_are_left_out(network: TaggingNetwork) -> None:
    set_trainable(network, 0)
    groups = parameter_groups(network, OptimConfig())
    for group in groups:
        assert not any("backbone" in name for name in names_of(network, group))
    network.requires_grad_(False)
    with pytest.raises(ConfigError, match="nothing is trained"):
        parameter_groups(network, OptimConfig())


def test_the_rate_reaches_every_group_at_its_scale(network: TaggingNetwork) -> None:
    optimizer = make_optimizer(network, OptimConfig(backbone_lr_scale=0.25, betas=(0.8, 0.9)))
    set_learning_rate(optimizer, 0.01)
    assert {group["lr"] for group in optimizer.param_groups} == {0.01, 0.0025}
    assert {group["betas"] for group in optimizer.param_groups} == {(0.8, 0.9)}


@settings(max_examples=100, deadline=None)
@given(
    schedule=st.sampled_from(["step", "cosine"]),
    warmup=st.integers(0, 50),
    steps_per_epoch=st.integers(1, 20),
    epochs=st.integers(1, 6),
)
def test_rates_rise_then_fall_and_never_jump_up(
    schedule: str, warmup: int, steps_per_epoch: int, epochs: int
) -> None:
    config = OptimConfig(
        lr=1.0, schedule=schedule, warmup_steps=warmup, warmup_lr=0.01, min_lr=0.001
    )
    count = steps_per_epoch * epochs
    rates = [
        learning_rate(step, config, steps_per_epoch=steps_per_epoch, num_steps=count)
        for step in range(count + 1)
    ]
    assert max(rates) <= 1.0
    assert min(rates) > 0
    top = rates.index(max(rates))
    assert all(a <= b for a, b in pairwise(rates[: top + 1]))
    rise = (1.0 - 0.01) / max(warmup, 1) + 1e-12
    assert all(b - a <= rise for a, b in pairwise(rates))
    plain = replace(config, warmup_steps=0)
    for step, rate in enumerate(rates):
        highest = learning_rate(step, plain, steps_per_epoch=steps_per_epoch, num_steps=count)
        assert rate <= highest
        assert rate == highest or step < warmup


def test_cosine_ends_at_the_least_rate_and_stays_there() -> None:
    config = OptimConfig(lr=1.0, min_lr=0.1, schedule="cosine")
    rates = [learning_rate(s, config, steps_per_epoch=5, num_steps=10) for s in (5, 10, 11, 99)]
    assert rates == pytest.approx([0.55, 0.1, 0.1, 0.1])


def test_average_is_the_exponential_one() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, 0.0)
    average, expected = AveragedWeights(module, 0.5), 0.0
    for step, value in enumerate((1.0, 3.0, -2.0, 5.0, 7.0, 1.0, 4.0, 4.0, 2.0), start=1):
        nn.init.constant_(module.weight, value)
        average.update(module)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    with average.applied(module):
        assert module.weight.item() == pytest.approx(expected, rel=1e-6)
    assert module.weight.item() == 2.0


def test_average_holds_buffers_and_gives_all_back() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).to(torch.bfloat16)
    module[0].bias.requires_grad_(False)
    average = AveragedWeights(module, 0.9)
    for _ in range(3):
        module(torch.randn(4, 3, dtype=torch.bfloat16))
        average.update(module)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with average.applied(module):
        assert not torch.equal(module[1].running_mean, before["1.running_mean"])
        assert torch.equal(module[0].bias, before["0.bias"])  # frozen
        assert module[1].num_batches_tracked == 3
    with pytest.raises(RuntimeError), average.applied(module):
        raise RuntimeError
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_decay_is_a_share(decay: float) -> None:
    with pytest.raises(ConfigError, match="ema_decay"):
        AveragedWeights(nn.Linear(1, 1), decay)
