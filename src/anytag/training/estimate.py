"""What a run would cost, without running it: parameters, work, memory, hours.

    print(estimate_run(config, "8xA100").text())

Nothing is downloaded, and neither weights nor data need to be there. The step itself is counted
(`meta_step`); how much of a device's peak is reached is assumed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from anytag.training.blocks import backbone_blocks
from anytag.training.config import TrainConfig
from anytag.training.estimate_cluster import Cluster, parse_cluster
from anytag.training.estimate_data import DataPlan, plan_data
from anytag.training.estimate_model import Plan, count_parameters, plan_run
from anytag.training.features import cut_backbone
from anytag.training.meta_step import StepCost, count_flops, measure_parts, measure_step

#: share of the peak that is reached. Published for Swin-L, forward: 24 % (timm, RTX 4090, eager) to
#: 43 % (compiled), 34 % (FasterTransformer, A100)
EFFICIENCY = 0.35
#: share of a device's memory that a run can use; the rest is for the driver and fragments
USABLE = 0.9
#: bytes of float32
_FLOAT = 4
_GIGA = 1e9


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a run would cost."""

    config: TrainConfig
    cluster: Cluster
    data: DataPlan
    image_size: int
    #: tags in a step
    num_asked: int
    #: (all, trained) of each part
    parameters: dict[str, tuple[int, int]]
    teacher_parameters: int
    #: operations of a picture's forward pass, alone in its batch, by part
    part_flops: dict[str, int]
    #: of a picture
    teacher_flops: int
    #: one pass of a device: a part of a batch, see `RunConfig.accumulate`
    step: StepCost
    #: bytes of each thing that a device holds all the time
    held: dict[str, int]
    #: bytes of a further picture in the pass
    image_bytes: float
    #: with `DataConfig.cached_views`: bytes of a view on disk
    view_bytes: int
    #: operations that make it
    view_flops: int
    assumed: tuple[str, ...]

    @property
    def num_parameters(self) -> tuple[int, int]:
        """(all, trained), the teacher's left out."""
        counts = self.parameters.values()
        return sum(one[0] for one in counts), sum(one[1] for one in counts)

    @property
    def image_flops(self) -> float:
        """Operations of a picture in a training step, the teacher's included."""
        passed = self.step.forward_flops + self.step.backward_flops
        return passed / self.step.num_images + self.teacher_flops

    @property
    def peak(self) -> float:
        """Operations a second of one device at best, in the run's precision."""
        device = self.cluster.device
        tera = device.single if self.config.run.precision == "float32" else device.low
        return tera * 1e12

    @property
    def images_per_second(self) -> float:
        """Of all devices together."""
        return self.cluster.num * self.peak * EFFICIENCY / self.image_flops

    @property
    def steps_per_epoch(self) -> int | None:
        """None where the number of pictures is not known."""
        if self.data.num_images is None:
            return None
        return self.data.num_images // self.config.run.batch_size

    @property
    def num_steps(self) -> int | None:
        """Of the run."""
        run = self.config.run
        if self.steps_per_epoch is None:
            return run.max_steps
        steps = self.steps_per_epoch * run.epochs
        return min(steps, run.max_steps or steps)

    @property
    def num_views(self) -> int:
        """Training views that are computed once; 0 where none are, or nobody knows how many."""
        return (self.data.num_images or 0) * (self.config.data.cached_views or 0)

    @property
    def hours(self) -> float | None:
        """Of the run; None where the number of pictures is not known."""
        if self.num_steps is None:
            return None
        steps = self.num_steps * self.config.run.batch_size / self.images_per_second
        views = self.num_views * self.view_flops / (self.cluster.num * self.peak * EFFICIENCY)
        return (steps + views) / 3600

    @property
    def optimizer_bytes(self) -> int:
        """Gradients, and what AdamW makes beside them in its step."""
        share = self.cluster.num if self.config.run.shard == "full" else 1
        return 2 * self.num_parameters[1] * _FLOAT // share

    @property
    def device_bytes(self) -> int:
        """Most that a device holds: in the pass, or when the optimizer works."""
        return sum(self.held.values()) + max(self.step.peak_bytes, self.optimizer_bytes)

    @property
    def most_images(self) -> int | None:
        """Pictures a pass that a device has room for, about; None where its memory is not known."""
        memory = self.cluster.device.memory
        if memory is None:
            return None
        room = USABLE * memory * _GIGA - sum(self.held.values())
        if room < self.optimizer_bytes:
            return 0
        more = (room - self.step.peak_bytes) / max(self.image_bytes, 1.0)
        return max(0, self.step.num_images + math.floor(more))

    @property
    def fits(self) -> bool | None:
        """Whether a device's memory is enough; None where it is not known."""
        memory = self.cluster.device.memory
        return None if memory is None else self.device_bytes <= USABLE * memory * _GIGA

    def text(self) -> str:
        """For a terminal."""
        from anytag.training.estimate_text import describe

        return describe(self)


def estimate_run(config: TrainConfig, cluster: str) -> Estimate:
    """Estimate a run.

    Args:
        config: the run
        cluster: such as "8xA100", see `estimate_cluster`

    Raises:
        UsageError: no such device
        ConfigError: settings that do not fit together
    """
    devices = parse_cluster(cluster)
    data = plan_data(config)
    plan = plan_run(config, data.num_tags)
    batch = max(1, config.run.batch_size // (devices.num * config.run.accumulate))
    sizes = {
        "image_size": plan.image_size,
        "num_tags": plan.num_asked,
        "num_tokens": config.data.max_tokens,
    }
    precision = config.run.precision
    features, view_flops = _cached(config, plan)
    step, other = (
        measure_step(
            plan.objective, batch_size=num, precision=precision, features=features, **sizes
        )
        for num in (batch, batch // 2 or 2)
    )
    slope = (step.peak_bytes - other.peak_bytes) / (step.num_images - other.num_images)
    teacher_flops = teacher_parameters = 0
    if plan.teacher is not None:
        network, side = plan.teacher.network, plan.teacher.image_size
        picture = torch.empty(1, 3, side, side, device="meta")
        with torch.no_grad():
            teacher_flops = count_flops(lambda: network(picture))
        teacher_parameters = sum(p.numel() for p in network.parameters())
    parameters = count_parameters(plan)
    return Estimate(
        config=config,
        cluster=devices,
        data=data,
        image_size=plan.image_size,
        num_asked=plan.num_asked,
        parameters=parameters,
        teacher_parameters=teacher_parameters,
        part_flops=measure_parts(plan.objective, **sizes),
        teacher_flops=teacher_flops,
        step=step,
        held=_held(config, plan, devices.num, parameters, teacher_parameters),
        image_bytes=max(0.0, slope),
        view_bytes=2 * math.prod(features) if features is not None else 0,
        view_flops=view_flops,
        assumed=(*data.assumed, *plan.assumed),
    )


def _cached(config: TrainConfig, plan: Plan) -> tuple[tuple[int, ...] | None, int]:
    """Shape of what is kept of a view, and the operations that make it."""
    if config.data.cached_views is None:
        return None, 0
    cut = cut_backbone(plan.objective.network.encoder.backbone)
    images = torch.empty(1, 3, plan.image_size, plan.image_size, device="meta")
    with torch.no_grad():
        flops = count_flops(lambda: cut.lower(images))
    return cut.shape(plan.image_size), flops


def _held(
    config: TrainConfig,
    plan: Plan,
    num_devices: int,
    parameters: dict[str, tuple[int, int]],
    teacher: int,
) -> dict[str, int]:
    """Bytes that a device holds between steps, and buffers for what devices exchange."""
    total = sum(one[0] for one in parameters.values()) * _FLOAT
    trained = sum(one[1] for one in parameters.values()) * _FLOAT
    sharded = config.run.shard == "full"
    share = num_devices if sharded else 1
    held = {"weights": total // share, "AdamW": 2 * trained // share}
    if config.optim.ema_decay is not None:
        held["moving average"] = trained // share
    held["tag embeddings and masks"] = sum(b.nbytes for b in plan.objective.buffers())
    if teacher:
        held["teacher"] = teacher * _FLOAT
    if sharded:  # the head and two blocks are whole at a time
        blocks = [
            sum(p.numel() for p in block.parameters()) * _FLOAT
            for block in backbone_blocks(plan.objective.network.encoder.backbone)
        ]
        held["gathered weights"] = total - sum(blocks) + 2 * max(blocks, default=0)
    elif num_devices > 1:
        held["gradients on their way (DDP)"] = trained
    return held
