"""An estimate in words and columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anytag.training.estimate import Estimate


def describe(estimate: Estimate) -> str:
    """The text that ``anytag train --dry-run`` prints."""
    sections = (_network(estimate), _work(estimate), _memory(estimate), _time(estimate))
    lines = ["Dry run: nothing is trained or downloaded."]
    for section in sections:
        lines += ["", *section]
    if estimate.assumed:
        lines += ["", "Assumed", *(f"  {one}" for one in estimate.assumed)]
    return "\n".join(lines)


def _network(e: Estimate) -> list[str]:
    name = e.config.model.start or f"a new {e.config.model.network}"
    head = f"{name} at {e.image_size} pixels, {e.data.num_tags:,} tags"
    if e.num_asked < e.data.num_tags:
        head += f", {e.num_asked:,} of them in a step"
    total = e.num_parameters
    rows = [*e.parameters.items(), ("sum", total)]
    lines = [head, f"{'  parameters':<24}{'all':>12}{'trained':>12}"]
    lines += [f"  {part:<22}{_millions(n):>12}{_millions(m):>12}" for part, (n, m) in rows]
    if e.teacher_parameters:
        lines.append(f"  {'teacher':<22}{_millions(e.teacher_parameters):>12}{_millions(0):>12}")
    return lines


def _work(e: Estimate) -> list[str]:
    parts = ", ".join(f"{name} {_giga(n)}" for name, n in e.part_flops.items())
    num = e.step.num_images
    forward, backward = e.step.forward_flops / num, e.step.backward_flops / num
    terms = [f"forward {_giga(forward)}", f"backward {_giga(backward)}"]
    if e.teacher_flops:
        terms.append(f"teacher {_giga(e.teacher_flops)}")
    return [
        "Work for a picture in GFLOP (a multiplication and an addition are 2)",
        f"  forward, alone: {_giga(sum(e.part_flops.values()))} ({parts})",
        f"  in a training step of {num}: {_giga(e.image_flops)} ({', '.join(terms)})",
    ]


def _memory(e: Estimate) -> list[str]:
    num = e.step.num_images
    rows = {
        **e.held,
        f"pass of {num} pictures at its fullest": e.step.peak_bytes,
        "sum": e.device_bytes,
    }
    lines = [f"Memory of each device in GB, {e.config.run.precision}"]
    lines += [f"  {name:<40}{size / 1e9:>8.2f}" for name, size in rows.items()]
    memory, most = e.cluster.device.memory, e.most_images
    if memory is None or most is None:
        return [*lines, "  how much the device has is not known"]
    from anytag.training.estimate import USABLE

    usable = f"{100 * USABLE:.0f} % of {e.cluster.device.name}'s {memory:g} GB"
    if e.fits:
        return [*lines, f"  fits into {usable}; so would about {most:,} pictures at a time"]
    run = e.config.run
    ways = [] if run.checkpoint_activations else ["set run.checkpoint_activations: true"]
    ways += [] if run.shard == "full" or e.cluster.num == 1 else ["set run.shard: full"]
    room = "not even one picture at a time would"
    if most >= 1:
        room, ways = f"about {most:,} pictures at a time would", ["raise run.accumulate", *ways]
    advice = " or ".join(ways) or "choose a smaller model or device memory that is larger"
    return [*lines, f"  does not fit into {usable}; {room}: {advice}"]


def _time(e: Estimate) -> list[str]:
    from anytag.training.estimate import EFFICIENCY

    run = e.config.run
    lines = [
        f"Time on {e.cluster.name}, {e.peak / 1e12:g} TFLOP/s each in {run.precision}, of which "
        f"{100 * EFFICIENCY:.0f} % are assumed",
        f"  {e.images_per_second:,.1f} pictures a second, "
        f"{run.batch_size / e.images_per_second:,.2f} s a step of {run.batch_size:,}",
    ]
    if run.batch_size % (e.cluster.num * run.accumulate):
        lines.append(
            f"  run.batch_size {run.batch_size} cannot be divided by {e.cluster.num} devices and "
            f"run.accumulate {run.accumulate}: the run would refuse"
        )
    if e.steps_per_epoch == 0:
        lines.append(
            f"  {e.data.num_images:,} training pictures are less than a step: the run would refuse"
        )
    elif e.data.num_images is not None and e.hours is not None:
        lines.append(
            f"  {e.data.num_images:,} training pictures, {e.steps_per_epoch:,} steps an epoch, "
            f"{e.num_steps:,} steps in all: {_duration(e.hours)}"
        )
    else:
        lines.append(f"  a million pictures: {_duration(1e6 / e.images_per_second / 3600)}")
    if e.view_bytes:
        views = f"{e.config.data.cached_views} views of a picture"
        size = f"{_giga(e.view_flops)} GFLOP and {e.view_bytes / 1e3:,.0f} kB on disk each"
        total = f"; {e.num_views * e.view_bytes / 1e9:,.2f} GB in all" if e.num_views else ""
        lines.append(f"  before the first step {views} go through the frozen part: {size}{total}")
    return [*lines, "  without decoding, validation and what devices wait for each other"]


def _millions(count: float) -> str:
    return f"{count / 1e6:,.2f} M"


def _giga(count: float) -> str:
    return f"{count / 1e9:,.1f}" if count >= 1e9 else f"{count / 1e9:.2g}"


def _duration(hours: float) -> str:
    if hours >= 48:
        return f"{hours / 24:,.1f} days"
    return f"{hours:,.1f} hours" if hours >= 1 else f"{60 * hours:,.1f} minutes"
