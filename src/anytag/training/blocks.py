"""Parts of a network: which of them are trained, and which are computed twice to save memory.

A backbone's blocks are the members of its containers named ``blocks`` (Swin, MobileNetV2, vision
transformers, ConvNeXt) or ``layer1`` to ``layer4`` (ResNet), in the order in which they run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from anytag.errors import ConfigError

_CONTAINER = re.compile(r"(?:.*\.)?(?:blocks|layer\d+)")


def backbone_blocks(backbone: nn.Module) -> list[nn.Module]:
    """The blocks of a backbone, first to last; empty where it has no containers of that name."""
    found: list[nn.Module] = []
    done: list[str] = []
    for name, module in backbone.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in done)
        container = isinstance(module, nn.ModuleList | nn.Sequential)
        if container and not inside and _CONTAINER.fullmatch(name):
            found.extend(_members(module))
            done.append(name)
    return found


def _members(container: nn.Module) -> Iterator[nn.Module]:
    """Blocks, also where they stand in stages."""
    for child in container.children():
        if isinstance(child, nn.ModuleList) or type(child) is nn.Sequential:
            yield from _members(child)
        else:
            yield child


def set_trainable(network: nn.Module, num_trainable_blocks: int | None) -> None:
    """Freeze a network's backbone but for its end.

    What lies behind the first trained block (merging layers, norms, last convolutions) is trained
    with it; projection, queries, decoder and captioner always are. No gradients are kept for what
    is frozen.

    Args:
        network: one with ``encoder.backbone``
        num_trainable_blocks: the last blocks that are trained; 0 = the whole backbone is frozen,
            None = nothing is

    Raises:
        ConfigError: the backbone has fewer blocks, or none that are known
    """
    backbone: nn.Module = network.encoder.backbone  # type: ignore[union-attr,assignment]
    network.requires_grad_(True)
    if num_trainable_blocks is None:
        return
    blocks = backbone_blocks(backbone)
    if not 0 <= num_trainable_blocks <= len(blocks):
        raise ConfigError(
            f"num_trainable_blocks is {num_trainable_blocks}; the backbone has {len(blocks)} "
            "blocks (0 = frozen, null = all is trained)"
        )
    first = None
    if num_trainable_blocks:
        first = next(blocks[-num_trainable_blocks].parameters(), None)
    trained = False
    for parameter in backbone.parameters():  # in the order in which the parts were made and run
        trained = trained or parameter is first
        parameter.requires_grad_(trained)


#: pictures that go through a convolutional network together on a CPU: more leave its caches, and
#: take two to three times as long
CPU_CHUNK = 8


def in_chunks(network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """``network(images)``, on a CPU in small parts, with channels last, which convolutions like.

    Args:
        network: images [B, 3, S, S] -> anything with B in front
        images: [B, 3, S, S]
    """
    images = images.contiguous(memory_format=torch.channels_last)
    if images.device.type != "cpu" or len(images) <= CPU_CHUNK:
        return network(images)
    parts = torch.split(images, CPU_CHUNK)
    return torch.cat([network(part) for part in parts])


@torch.no_grad()
def put_channels_last(module: nn.Module) -> None:
    """Lay out the weights of convolutions so that they are quick; nothing else changes."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def is_frozen(module: nn.Module) -> bool:
    """Whether a module has weights and none of them is trained."""
    weights = list(module.parameters())
    return bool(weights) and not any(weight.requires_grad for weight in weights)


def rest_frozen(network: nn.Module) -> None:
    """Put frozen parts into evaluation mode: no dropout, no skipped branches, fixed statistics."""
    for module in network.modules():
        if is_frozen(module):
            module.eval()


def checkpoint_blocks(backbone: nn.Module) -> None:
    """Keep no activations inside the blocks of a backbone; the backward pass computes them
    again, with the same random numbers.

    Raises:
        ConfigError: no blocks are known in this backbone
    """
    blocks = backbone_blocks(backbone)
    if not blocks:
        raise ConfigError(
            f"checkpoint_activations: no blocks are known in {type(backbone).__name__}"
        )
    for block in blocks:
        block.forward = _Recomputed(block.forward)


class _Recomputed:
    """A block's ``forward`` whose activations are not kept."""

    def __init__(self, forward: Any) -> None:  # Any: each block takes what it takes
        self._forward = forward

    def __call__(self, *inputs: Any) -> Any:
        if not torch.is_grad_enabled():
            return self._forward(*inputs)
        return checkpoint(self._forward, *inputs, use_reentrant=False)
