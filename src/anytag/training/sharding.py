"""FSDP through torch's own ``fully_shard``, and whole states out of any wrapping.

Accelerate's FSDP is for accelerators alone; torch's works on the CPU too, so that it is tested.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.optim import Optimizer

from anytag.models.mobilenet import InvertedResidual
from anytag.models.swin import SwinBlock


def shard_fully(objective: nn.Module, device: torch.device, num_processes: int) -> None:
    """Split every weight over the processes, in place.

    The backbone's blocks are gathered one by one as they are needed. Head and captioner, which
    share layers, are gathered with the whole.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    for parameter in objective.parameters():  # it refuses convolutions with channels last
        parameter.data = parameter.data.contiguous()
    mesh = init_device_mesh(device.type, (num_processes,))
    for module in objective.modules():
        if isinstance(module, SwinBlock | InvertedResidual):
            fully_shard(module, mesh=mesh)
    # RAM++'s one number without an axis cannot be split: each process keeps it whole.
    scalars = {parameter for parameter in objective.parameters() if parameter.ndim == 0}
    options: Any = {"ignored_params": scalars} if scalars else {}
    fully_shard(objective, mesh=mesh, **options)
    for scalar in (s for s in scalars if s.requires_grad):
        scalar.register_post_accumulate_grad_hook(_average_gradient)  # type: ignore[no-untyped-call]
    register_fsdp_forward_method(objective, "predict")


def _average_gradient(parameter: Tensor) -> None:
    """The mean over processes; a mean that was taken before, of earlier parts, stays what it is."""
    if parameter.grad is not None:
        torch.distributed.all_reduce(parameter.grad)
        parameter.grad /= torch.distributed.get_world_size()


@overload
def full_state(objective: nn.Module) -> dict[str, Tensor]: ...
@overload
def full_state(objective: nn.Module, optimizer: Optimizer) -> dict[str, Any]: ...
def full_state(objective: nn.Module, optimizer: Optimizer | None = None) -> dict[str, Any]:
    """Whole weights of a module, or the state of its optimizer, on the CPU.

    All processes must call it; with shards the result is on the first one alone.
    """
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    if optimizer is None:
        # copies: on the CPU these are the weights themselves, which go on changing
        weights: dict[str, Any] = get_model_state_dict(objective, options=options)
        return {name: value.detach().clone() for name, value in weights.items()}
    return dict(get_optimizer_state_dict(objective, optimizer, options=options))


def load_weights(objective: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put back the weights that `full_state` gave."""
    options = StateDictOptions(full_state_dict=True)
    set_model_state_dict(objective, dict(weights), options=options)


def load_optimizer(objective: nn.Module, optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Put back the optimizer state that `full_state` gave."""
    options = StateDictOptions(full_state_dict=True)
    set_optimizer_state_dict(objective, optimizer, dict(state), options=options)
