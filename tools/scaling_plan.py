"""Time and cost of tagging millions of images, from measured images per second.

::

    python tools/scaling_plan.py benchmarks/results/3-speed.json benchmarks/released-ram.json
    python tools/scaling_plan.py benchmarks/results/*.json --machines 50 --price 0.10 --days 30

Reads the files that `benchmarks/` writes and takes from each what it says of files to tags, or of
training steps: images per second of the machine that it was measured on. The rest is arithmetic:

    hours   = images / (machines x efficiency x images per second) / 3600
    cost    = hours x machines x price of a machine for an hour
    storage = images x bytes of a record (some 550 in JSONL with the tags that nano finds)

Prices, efficiency and the number of machines are yours: nothing here knows what a provider takes.
Efficiency is throughput of the workers together over that of one machine alone, times their number;
`benchmarks/ray_scale.py` measures it on one machine, and what a shared file system gives to many
has to be measured where it stands.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: the paper's data set, and a web-scale one
IMAGES = (14_000_000, 1_000_000_000)
_HOUR = 3600


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one machine does."""

    model: str
    #: images per second
    rate: float
    #: the machine, in words
    machine: str
    file: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a job takes."""

    images: int
    #: of the clock
    hours: float
    machine_hours: float
    #: None without a price
    cost: float | None
    #: to be done in the days that are given; None without
    machines_needed: int | None
    #: bytes of the output
    output_bytes: float


def read_rates(path: Path) -> Iterator[Measured]:
    """All that a file of `benchmarks/` says of images per second, tagging or training."""
    figures = json.loads(path.read_text(encoding="utf-8"))
    kind = figures.get("kind") if isinstance(figures, dict) else None
    if kind == "speed":
        for case in figures["cases"]:
            if case["mode"] == "stream":
                name = f"{case['model']}, {case['dtype']}, {case['num_tags']:,} tags"
                yield _measured(name, case["images_per_second"]["median"], figures, path)
    elif kind == "released":
        for dtype in ("float32", "bfloat16"):
            if dtype in figures:
                name = f"{figures['family']}, {dtype}"
                yield _measured(name, figures[dtype]["images_per_s"], figures, path)
    elif kind == "train_step":
        for case in figures["cases"]:
            for row in case["rows"]:
                if row["side"] == "anytag":
                    name = f"an epoch of training {case['family']}, {row['dtype']}"
                    rate = case["batch_size"] / row["seconds"]["median"]
                    yield _measured(name, rate, figures, path)
    elif kind == "ray":
        way = figures["ways"]["ray"]
        name = f"nano with {figures['workers']} Ray workers, {figures['size'][0]} pixels wide"
        yield _measured(name, way["images_per_second"], figures, path)


def _measured(model: str, rate: float, figures: dict[str, Any], path: Path) -> Measured:
    about = figures["machine"]
    machine = f"{about['cores']} cores of {about['cpu']}" if isinstance(about, dict) else str(about)
    return Measured(model=model, rate=rate, machine=machine, file=path.name)


def plan(
    images: int,
    rate: float,
    *,
    machines: int = 1,
    efficiency: float = 1.0,
    price: float | None = None,
    days: float | None = None,
    record_bytes: float = 0.0,
) -> Plan:
    """The arithmetic.

    Args:
        images: how many
        rate: images per second of one machine
        machines: how many
        efficiency: share of their throughput that is left together, in (0, 1]
        price: of a machine for an hour, in any currency
        days: in which it is to be done
        record_bytes: of an image's record
    """
    machine_hours = images / (rate * efficiency) / _HOUR
    return Plan(
        images=images,
        hours=machine_hours / machines,
        machine_hours=machine_hours,
        cost=None if price is None else machine_hours * price,
        machines_needed=None if days is None else math.ceil(machine_hours / (24 * days)),
        output_bytes=images * record_bytes,
    )


def table(rates: Sequence[Measured], options: argparse.Namespace) -> str:
    """A Markdown table, a row for each model and number of images."""
    machines = options.machines
    head = ["model", "images/s of one machine", "images", "machine hours"]
    head += [f"days on {machines} machine{'s' if machines > 1 else ''}"]
    head += ["cost"] * (options.price is not None)
    head += [f"machines for {options.days:g} days"] * (options.days is not None)
    head += ["output, GB"]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for one in rates:
        for images in options.images:
            found = plan(
                images,
                one.rate,
                machines=machines,
                efficiency=options.efficiency,
                price=options.price,
                days=options.days,
                record_bytes=options.record_bytes,
            )
            row = [one.model, f"{one.rate:.2f}", f"{images:,}", f"{found.machine_hours:,.0f}"]
            row += [f"{found.hours / 24:,.1f}"]
            row += [] if found.cost is None else [f"{found.cost:,.0f}"]
            row += [] if found.machines_needed is None else [f"{found.machines_needed:,}"]
            row += [f"{found.output_bytes / 1e9:,.0f}"]
            lines.append(row)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="JSON", help="of benchmarks/")
    parser.add_argument("--images", type=int, nargs="+", default=list(IMAGES))
    parser.add_argument("--machines", type=int, default=1)
    parser.add_argument("--efficiency", type=float, default=1.0, help="in (0, 1]")
    parser.add_argument("--price", type=float, help="of a machine for an hour")
    parser.add_argument("--days", type=float, help="in which it is to be done")
    parser.add_argument("--record-bytes", type=float, default=550.0, help="of an image's record")
    options = parser.parse_args(arguments)
    if not 0 < options.efficiency <= 1 or options.machines < 1:
        parser.error("--efficiency lies in (0, 1], and there is at least one machine")
    rates = [one for file in options.files for one in read_rates(file)]
    if not rates:
        parser.error("these files say nothing of images per second")
    print(table(rates, options))
    for machine in dict.fromkeys(one.machine for one in rates):
        print(f"\nOne machine: {machine}.")


if __name__ == "__main__":
    main()
