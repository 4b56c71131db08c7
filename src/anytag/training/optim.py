"""Parameter groups, learning rates and the moving average of weights.

Sources: AdamW, Loshchilov & Hutter 2019 (arXiv 1711.05101); the schedules are those of RAM's
published configuration: linear warm-up and a step down after each epoch for pre-training, a cosine
(arXiv 1608.03983) for fine-tuning.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from anytag.errors import ConfigError
from anytag.training.config import OptimConfig

_BACKBONE = "encoder.backbone."
_BIAS_TABLE = "relative_position_bias_table"


def make_optimizer(module: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW over what is trained in a module.

    The fused kernel goes through memory once and not once for each term. It takes no mixture of
    whole and split weights, so where FSDP has split any the plain one is used.
    """
    first, second = config.betas
    groups = parameter_groups(module, config)
    whole = all(type(one) is nn.Parameter for group in groups for one in group["params"])
    return torch.optim.AdamW(groups, lr=config.lr, betas=(first, second), fused=whole or None)


def parameter_groups(module: nn.Module, config: OptimConfig) -> list[dict[str, Any]]:
    """Trained parameters by learning rate and weight decay.

    Biases, norms, other vectors and scalars, and Swin's position bias tables do not decay, unless
    ``decay_all``. Frozen parameters are in no group.

    Args:
        module: holds the network, whose backbone is found by its name
        config: rates

    Returns:
        groups for an optimiser; ``lr_scale`` is each one's factor for `set_learning_rate`

    Raises:
        ConfigError: nothing is trained
    """
    groups: dict[tuple[bool, bool], list[Tensor]] = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        backbone = f".{name}".find(f".{_BACKBONE}") >= 0
        decays = config.decay_all or (parameter.ndim > 1 and not name.endswith(_BIAS_TABLE))
        groups.setdefault((backbone, decays), []).append(parameter)
    if not groups:
        raise ConfigError("nothing is trained: all parameters are frozen")
    return [
        {
            "params": parameters,
            "lr_scale": config.backbone_lr_scale if backbone else 1.0,
            "lr": config.lr * (config.backbone_lr_scale if backbone else 1.0),
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (backbone, decays), parameters in groups.items()
    ]


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set each group's learning rate: ``rate`` times its scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)


def learning_rate(step: int, config: OptimConfig, *, steps_per_epoch: int, num_steps: int) -> float:
    """The learning rate of a step, counted from 0.

    In the first ``warmup_steps`` it rises in a line, and is never above what the schedule says; so
    it does not jump where the warm-up ends inside a later epoch.

    >>> config = OptimConfig(lr=1.0, schedule="cosine")
    >>> [round(learning_rate(s, config, steps_per_epoch=1, num_steps=2), 3) for s in range(3)]
    [1.0, 0.5, 0.0]
    """
    if config.schedule == "step":
        rate = step_rate(step // steps_per_epoch, config.lr, config.decay, config.min_lr)
    else:
        rate = cosine_rate(step, num_steps, config.lr, config.min_lr)
    if step < config.warmup_steps:
        rate = min(rate, warmup_rate(step, config.warmup_steps, config.warmup_lr, config.lr))
    return rate


def warmup_rate(step: int, num_steps: int, start: float, end: float) -> float:
    """From ``start`` to ``end`` in a line."""
    return min(end, start + (end - start) * step / max(num_steps, 1))


def step_rate(epoch: int, start: float, decay: float, least: float) -> float:
    """``decay`` times less after each epoch, but not below ``least``."""
    return max(least, start * decay**epoch)


def cosine_rate(step: int, num_steps: int, start: float, least: float) -> float:
    """Half a cosine from ``start`` to ``least``, then constant."""
    share = min(1.0, step / max(num_steps, 1))
    return (start - least) * 0.5 * (1.0 + math.cos(math.pi * share)) + least


class AveragedWeights:
    """Exponential moving average of a module's weights and buffers, in float32.

    The first steps count more than ``decay`` says, min(decay, (1 + n) / (10 + n)) after n updates,
    so that short runs are not ruled by the weights they started from. Buffers that are not floating
    point numbers are copied.

    Args:
        module: what is averaged; starts as the average
        decay: share of the old average that is kept at each update
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        if not 0.0 <= decay < 1.0:
            raise ConfigError(f"ema_decay is {decay}, expected at least 0 and less than 1")
        self.decay = decay
        self.num_updates = 0
        self._average = {
            name: value.detach().float().clone() if value.is_floating_point() else value.clone()
            for name, value in _tensors(module).items()
        }

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take the module's weights in, after an optimiser step."""
        self.num_updates += 1
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        for name, value in _tensors(module).items():
            average = self._average[name]
            if average.is_floating_point():
                average.lerp_(value.detach().float(), 1 - decay)
            else:
                average.copy_(value)

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """The module has the averaged weights inside this context, and its own again after it."""
        own = {name: value.detach().clone() for name, value in _tensors(module).items()}
        _fill(module, self._average)
        try:
            yield
        finally:
            _fill(module, own)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """What a state dict holds, once each; what is frozen stays as it is and is left out."""
    kept = module.state_dict(keep_vars=True)
    return {
        name: value
        for name, value in kept.items()
        if value.requires_grad or not isinstance(value, nn.Parameter)
    }


@torch.no_grad()
def _fill(module: nn.Module, values: Mapping[str, Tensor]) -> None:
    for name, value in _tensors(module).items():
        value.copy_(values[name])
