"""What ``anytag bench`` does; apart from its options, because this imports the heavy parts."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import typer

from anytag.data.discover import find_images
from anytag.errors import UsageError
from anytag.evaluation.report import Page, bar_plot, line_plot
from anytag.evaluation.timing import (
    Source,
    made_photos,
    num_together,
    readable,
    tag_counts,
    time_stages,
    time_stream,
    time_tags,
)
from anytag.evaluation.work import tagger_ceiling, tagger_work
from anytag.files import atomic_write, display_path
from anytag.inference.graphs import num_threads
from anytag.inference.tagger import Tagger

#: pictures that are made are few and come again: only their decoding matters
_MADE = 8
_PACKAGES = ("torch", "onnxruntime", "openvino", "numpy", "pillow")


@dataclass(frozen=True, kw_only=True)
class BenchRun:
    """The options of ``anytag bench``.

    Raises:
        UsageError: they do not fit together
    """

    model: str
    images: Path | None
    num_images: int
    rounds: int
    tags_up_to: int | None
    output: Path | None
    device: str
    dtype: str
    backend: str
    batch_size: int
    workers: int | None

    def __post_init__(self) -> None:
        if self.images is not None and not self.images.is_dir():
            raise UsageError(f"--images {display_path(self.images)}: is no folder")
        if self.output is not None and self.output.exists() and not self.output.is_dir():
            raise UsageError(f"-o {display_path(self.output)}: is a file; expected a folder")


def run(options: BenchRun) -> None:
    """Measure, print, and write."""
    tagger = Tagger.from_pretrained(
        options.model, device=options.device, dtype=options.dtype, backend=options.backend
    )
    figures = measure(options, tagger)
    typer.echo("\n".join(report(figures)))
    if options.output is None:
        return
    options.output.mkdir(parents=True, exist_ok=True)
    with atomic_write(options.output / "bench.json") as file:
        file.write((json.dumps(figures, indent=1) + "\n").encode())
    page(figures).write(options.output / "bench.html")
    typer.echo(f"written: {display_path(options.output)}/bench.json, bench.html", err=True)


def measure(options: BenchRun, tagger: Tagger) -> dict[str, Any]:
    """All figures, as they are written to bench.json."""
    sources = _sources(options, tagger)
    named, total = time_stages(tagger, sources, options.batch_size)
    through = time_stream(
        tagger,
        sources,
        batch_size=options.batch_size,
        workers=options.workers,
        rounds=options.rounds,
    )
    counts = [] if options.tags_up_to is None else tag_counts(options.tags_up_to)
    return {
        "kind": "bench",
        "model": tagger.model_name,
        "tags": len(tagger.labels),
        "image_size": tagger.image_size,
        "backend": getattr(tagger.card, "backend", "torch"),
        "device": str(tagger.device),
        "dtype": str(tagger.dtype).removeprefix("torch."),
        "machine": _machine(),
        "images": {"number": len(sources), "made": options.images is None},
        "together": num_together(tagger, options.batch_size),
        "stages": [asdict(one) for one in named],
        "total": asdict(total),
        "work": _work(tagger, {one.name: one.rate for one in named}),
        "stream": asdict(through) | {"workers": options.workers or os.cpu_count() or 1},
        "by_number_of_tags": [
            {"tags": count, "ms": ms} for count, ms in time_tags(tagger, sources[0], counts)
        ],
    }


def _sources(options: BenchRun, tagger: Tagger) -> list[Source]:
    """Images that can be decoded; of a folder, some from all over it."""
    if options.images is None:
        made = made_photos(min(_MADE, options.num_images))
        return [made[place % len(made)] for place in range(options.num_images)]
    found = [one for one in find_images([options.images], recursive=True) if isinstance(one, Path)]
    if not found:
        raise UsageError(f"--images {display_path(options.images)}: no image in it")
    places = np.linspace(0, len(found) - 1, min(options.num_images, len(found))).astype(int)
    return readable(tagger, [found[place] for place in places])


def _work(tagger: Tagger, rates: Mapping[str, float]) -> dict[str, Any] | None:
    """GMAC of one image by part, and how much of this machine's speed in products that uses."""
    counted = tagger_work(tagger)
    if counted is None:
        return None
    highest = tagger_ceiling(tagger)
    parts: dict[str, dict[str, Any]] = {name: asdict(one) for name, one in counted.items()}
    for name in ("encoder", "decoder"):
        share = counted[name].total * rates[name] / highest.gmac_per_s
        parts[name]["share_of_ceiling"] = share
    return {"gmac": parts, "ceiling": asdict(highest)}


def _machine() -> dict[str, Any]:
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "threads": num_threads(),
        "packages": packages,
    }


def report(figures: dict[str, Any]) -> list[str]:
    """The figures for people, line by line."""
    stages = [*figures["stages"], figures["total"]]
    lines = [
        _headline(figures),
        "",
        f"{'':<11}{'p50 ms':>9}{'p99 ms':>9}{'images/s':>11}{'peak MB':>10}"
        f"{'GMAC':>9}{'of ceiling':>12}",
    ]
    for one in stages:
        peak = "-" if one["peak_mb"] is None else f"{one['peak_mb']:,.0f}"
        gmac, share = work_of(figures, one["name"])
        lines.append(
            f"{one['name']:<11}{one['p50']:>9.2f}{one['p99']:>9.2f}{one['rate']:>11,.1f}{peak:>10}"
            f"{'' if gmac is None else f'{gmac:.2f}':>9}"
            f"{'' if share is None else f'{share:.0%}':>12}".rstrip()
        )
    stream = figures["stream"]
    lines += [
        "",
        f"times are of one image, rates and memory of {figures['together']} together; "
        "one stage after the other, one decoding thread",
        *_on_work(figures["work"]),
        f"files to tags: {median(stream['rates']):,.1f} images/s "
        f"({min(stream['rates']):,.1f} to {max(stream['rates']):,.1f}), "
        f"{stream['workers']} decoding threads beside the model",
    ]
    lines += [
        f"{one['tags']:>9,} tags: {one['ms']:,.1f} ms an image"
        for one in figures["by_number_of_tags"]
    ]
    return lines


def work_of(figures: dict[str, Any], stage: str) -> tuple[float | None, float | None]:
    """GMAC of a stage and its share of the ceiling; None where nothing was counted."""
    found = (figures["work"] or {"gmac": {}})["gmac"].get(stage, {})
    return found.get("total"), found.get("share_of_ceiling")


def _on_work(work: dict[str, Any] | None) -> list[str]:
    if work is None:
        return []
    parts, highest = work["gmac"], work["ceiling"]
    head = parts["labels"]["total"] + parts["decoder"]["total"]
    inner = parts["labels"]["feed_forward"] + parts["decoder"]["feed_forward"]
    rows, inputs, outputs = highest["product"]
    return [
        f"ceiling: {highest['gmac_per_s']:,.0f} GMAC/s in a product [{rows}, {inputs}] x "
        f"[{inputs}, {outputs}]; its share is of the rates",
        f"head: {head:.2f} GMAC, {inner / head:.0%} of them feed-forward; "
        f"{parts['labels']['total']:.2f} once for a list of tags",
    ]


def _headline(figures: dict[str, Any]) -> str:
    images = figures["images"]
    what = "made pictures of 1600 x 1200" if images["made"] else "photos"
    return (
        f"{figures['model']}, {figures['tags']:,} tags, {figures['backend']} "
        f"{figures['device']} {figures['dtype']}, {figures['machine']['threads']} threads; "
        f"{images['number']} {what}"
    )


def _row(figures: dict[str, Any], one: dict[str, Any]) -> list[Any]:
    gmac, share = work_of(figures, one["name"])
    percent = None if share is None else 100 * share
    return [one["name"], one["p50"], one["p99"], one["rate"], one["peak_mb"], gmac, percent]


def page(figures: dict[str, Any]) -> Page:
    """The same as a page with plots.

    Raises:
        MissingExtraError: matplotlib is not installed
    """
    stages: Sequence[dict[str, Any]] = figures["stages"]
    made = Page(f"Speed of {figures['model']}", subtitle=_headline(figures))
    made.section("Stages", "Milliseconds for one image; images per second with several together.")
    made.table(
        ["stage", "p50 ms", "p99 ms", "images/s", "peak MB", "GMAC", "of ceiling, %"],
        [_row(figures, one) for one in [*stages, figures["total"]]],
        digits=2,
    )
    for line in _on_work(figures["work"]):
        made.note(line)
    made.plot(
        bar_plot(
            {one["name"]: one["p50"] for one in stages},
            x_label="ms for one image: median, and to the 99th percentile",
            intervals={one["name"]: (one["p50"], one["p99"]) for one in stages},
        )
    )
    made.section("Files to tags")
    made.table(
        ["round", "images/s"],
        [[number, rate] for number, rate in enumerate(figures["stream"]["rates"], start=1)],
        digits=1,
    )
    points = figures["by_number_of_tags"]
    if points:
        made.section("Number of tags", "Pixels of one image to the scores of all tags.")
        curve = ([one["tags"] for one in points], [one["ms"] for one in points])
        made.plot(line_plot({"ms": curve}, x_label="tags", y_label="ms", log_x=True, log_y=True))
    return made
