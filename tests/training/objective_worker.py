"""Run by test_processes.py under torchrun: each process takes half of a batch.

Prints, for each family and way to spread, the largest differences of losses and of gradients to a
single process that takes the whole batch.
"""

import copy
import importlib.util
import json
import sys
from pathlib import Path

import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from anytag.training.sharding import full_state, shard_fully

spec = importlib.util.spec_from_file_location(
    "parts", Path(__file__).with_name("test_objective.py")
)
parts = importlib.util.module_from_spec(spec)
sys.modules["parts"] = parts
spec.loader.exec_module(parts)


def mean(value: Tensor) -> Tensor:
    value = value.clone()
    dist.all_reduce(value)
    return value / dist.get_world_size()


def compare(family: str, way: str) -> tuple[float, float]:
    network = parts.build(family)
    parts.set_trainable(network, 3)
    config = parts.terms_of(family, alignment=False)
    batch = parts.make_batch((9, 7, 0, 6))
    whole = parts.make(family, copy.deepcopy(network), config=config).eval()
    expected = parts.gradients(whole, batch)
    objective = parts.make(
        family, copy.deepcopy(network), config=config, reduce=mean, checkpoint_activations=True
    ).eval()
    model = objective
    if way == "ddp":
        model = DistributedDataParallel(objective).eval()
    else:
        shard_fully(objective, torch.device("cpu"), dist.get_world_size())
    own = parts.part_of(batch, slice(0, 2) if dist.get_rank() == 0 else slice(2, None))
    losses = model(own)
    losses["total"].backward()
    gradients = {
        name: p.grad.full_tensor() if way == "fsdp" and hasattr(p.grad, "full_tensor") else p.grad
        for name, p in objective.named_parameters()
        if p.grad is not None
    }
    assert gradients.keys() == expected.keys()
    assert objective.predict(own).isfinite().all()
    if way == "fsdp" and dist.get_rank() == 0:
        assert full_state(objective).keys() == whole.state_dict().keys()
    elif way == "fsdp":
        full_state(objective)
    of_loss = max(
        abs((mean(losses[name].detach()) - value.detach()).item())
        for name, value in whole(batch).items()
    )
    scale = max(value.abs().max().item() for value in expected.values())
    of_gradient = max(
        (gradients[name] - value).abs().max().item() for name, value in expected.items()
    )
    return of_loss, of_gradient / scale


torch.set_num_threads(1)
dist.init_process_group("gloo")
for family in parts.FAMILIES:
    for way in ("ddp", "fsdp"):
        differences = compare(family, way)
        if dist.get_rank() == 0:
            sys.stdout.write(json.dumps([family, way, *differences]) + "\n")
dist.destroy_process_group()
