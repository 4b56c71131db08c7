"""``report.html`` of a run: counts, tags added and removed, crops kept and rejected, clusters.

Made from the files of the steps alone, so that it can be made again; of a run without cleaning it
has the counts and the added tags.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from anytag.data.images import open_image
from anytag.data.records import Plain
from anytag.engine.config import EngineConfig
from anytag.engine.evidence import gather_category
from anytag.engine.pictures import Pictures, content
from anytag.engine.pipeline import EngineResult
from anytag.engine.regions import WHOLE, load_table
from anytag.engine.steps import read_rows
from anytag.errors import AnytagError
from anytag.evaluation.report import Page, Picture, bar_plot, scatter_plot

#: tags in a table
_MAX_TAGS = 40
#: categories with pictures and plots: those that lost most tags
_MAX_CATEGORIES = 8
#: pictures of each kind for a category
_MAX_PICTURES = 6
#: of a picture in the page, pixels
_SIDE = 176
#: points of a plot
_MAX_POINTS = 1500


@dataclass
class Changes:
    """What a run has done to the tags."""

    #: tag -> how many records got it from the model alone, and kept it
    added: Counter[str] = field(default_factory=Counter)
    #: tag -> how many records lost it
    removed: Counter[str] = field(default_factory=Counter)
    #: tag -> reason -> how many
    reasons: dict[str, Counter[str]] = field(default_factory=dict)
    #: tag -> some records that kept it, and that lost it
    kept_examples: dict[str, list[Plain]] = field(default_factory=dict)
    removed_examples: dict[str, list[Plain]] = field(default_factory=dict)
    added_examples: dict[str, list[Plain]] = field(default_factory=dict)


def write_report(config: EngineConfig, result: EngineResult, path: Path) -> None:
    """Write the page.

    Raises:
        MissingExtraError: matplotlib is not installed
        OutputError: the file cannot be written
    """
    changes = read_changes(_rows(result.records))
    page = Page(
        "Data engine", f"{', '.join(one.path for one in config.data)}; baseline {config.model}"
    )
    page.section("Counts")
    page.table(
        ["step", "what", "count"],
        [
            [step, name, f"{count:,}"]
            for step, counts in result.counts.items()
            for name, count in sorted(counts.items())
        ],
    )
    _add_added(page, changes)
    if changes.removed:
        _add_removed(page, changes)
    if "clean" in config.steps:
        _add_clusters(page, config, changes)
    page.write(path)


def read_changes(rows: Iterator[Plain]) -> Changes:
    """Count what happened, in one pass; of each tag the first records are kept as examples."""
    changes = Changes()
    for row in rows:
        for name, origins in row["provenance"].items():
            by_people = any(one["source"] in ("human", "caption") for one in origins)
            if not by_people:
                changes.added[name] += 1
            examples = changes.kept_examples if by_people else changes.added_examples
            _keep(examples, name, row)
        for name, why in row["removed"].items():
            changes.removed[name] += 1
            changes.reasons.setdefault(name, Counter())[why["reason"]] += 1
            _keep(changes.removed_examples, name, row)
    return changes


def _keep(examples: dict[str, list[Plain]], name: str, row: Plain) -> None:
    kept = examples.setdefault(name, [])
    if len(kept) < _MAX_PICTURES:
        why = row["removed"].get(name, {})
        kept.append({"image": row["image"], "score": row["scores"].get(name), "why": why})


def _add_added(page: Page, changes: Changes) -> None:
    num = sum(changes.added.values())
    page.section("Tags added", f"{num:,} tags of {len(changes.added):,} names")
    top = _most(changes.added, _MAX_TAGS)
    if top:
        page.plot(bar_plot(dict(islice(top.items(), 20)), x_label="records"))
        page.table(["tag", "records"], [[name, count] for name, count in top.items()])
    for name in islice(top, _MAX_CATEGORIES // 2):
        page.text(f"Added: {name}")
        page.pictures(_pictures(changes.added_examples[name], name, tone=""))


def _add_removed(page: Page, changes: Changes) -> None:
    num = sum(changes.removed.values())
    page.section("Tags removed", f"{num:,} tags of {len(changes.removed):,} names")
    top = _most(changes.removed, _MAX_TAGS)
    page.table(
        ["tag", "records", "reasons"],
        [
            [name, count, ", ".join(f"{r} {n:,}" for r, n in sorted(changes.reasons[name].items()))]
            for name, count in top.items()
        ],
    )
    for name in islice(top, _MAX_CATEGORIES):
        page.section(name)
        page.text("Rejected: the crop on which it was decided")
        page.pictures(_pictures(changes.removed_examples[name], name, tone="bad"))
        kept = changes.kept_examples.get(name, [])
        if kept:
            page.text("Kept")
            page.pictures(_pictures(kept, name, tone="good"))


def _add_clusters(page: Page, config: EngineConfig, changes: Changes) -> None:
    """Plots of the categories that lost most, or else of the largest."""
    folder = Path(config.output)
    settings = json.loads((folder / "4-regions" / "settings.json").read_text(encoding="utf-8"))
    categories: list[str] = settings["settings"]["categories"]
    sizes = {
        name: len(load_table(folder / "5-judge" / f"{number:05}.npy"))
        for number, name in enumerate(categories)
    }
    enough = {name: size for name, size in sizes.items() if size >= config.clean.min_regions}
    if not enough:
        return
    page.section(
        "Clusters",
        "Crops of a category by the baseline's features, on their two principal axes; outlying "
        f"are the {config.clean.outlier_share:.0%} farthest from their cluster's centre, relative "
        "to the mean distance in the cluster.",
    )
    ranked = sorted(enough, key=lambda name: (-changes.removed[name], -enough[name], name))
    for name in ranked[:_MAX_CATEGORIES]:
        verdicts, vectors = gather_category(folder, categories.index(name), _MAX_POINTS)
        page.plot(_cluster_plot(name, verdicts["cluster"], verdicts["outlier"], vectors))


def _cluster_plot(name: str, clusters: object, outlier: object, vectors: object) -> str:
    cluster, is_out = np.asarray(clusters), np.asarray(outlier, bool)
    points = np.asarray(vectors, np.float64)
    points = points - points.mean(axis=0)
    _, _, axes = np.linalg.svd(points, full_matrices=False)
    axes = axes[:2] * np.sign(axes[:2, np.abs(axes[:2]).argmax(axis=1)].diagonal())[:, None]
    flat = points @ axes.T
    groups = {
        f"cluster {number + 1}": (flat[of, 0].tolist(), flat[of, 1].tolist())
        for number in range(int(cluster.max()) + 1)
        if (of := (cluster == number) & ~is_out).any()
    }
    groups["outlying"] = (flat[is_out, 0].tolist(), flat[is_out, 1].tolist())
    return scatter_plot(groups, title=name)


def _pictures(examples: list[Plain], name: str, *, tone: str) -> Iterator[Picture]:
    pictures = Pictures()
    for one in examples:
        why = one["why"]
        box = why.get("box") or WHOLE
        try:
            image = open_image(content(pictures.source(one["image"])), target_size=4 * _SIDE)
        except AnytagError:
            continue
        lines = [
            f"{key.replace('_', ' ')} {why[key]}" for key in _SHOWN if why.get(key) is not None
        ]
        if not why and one["score"] is not None:
            lines = [f"score {one['score']}"]
        title = f"{name}: {why['reason']}" if why else name
        yield Picture(data=_thumbnail(image, box), title=title, lines=lines, tone=tone)


_SHOWN = ("score", "crop_score", "joint_score", "limit", "relative_distance")


def _thumbnail(image: Image.Image, box: object) -> bytes:
    sides = np.asarray(box, float) * [image.width, image.height, image.width, image.height]
    left, top, right, bottom = (int(side) for side in sides.round())
    part = image.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
    part.thumbnail((_SIDE, _SIDE))
    file = io.BytesIO()
    part.save(file, "JPEG", quality=80)
    return file.getvalue()


def _most(counts: Counter[str], most: int) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:most])


def _rows(folder: Path) -> Iterator[Plain]:
    for file in sorted(folder.glob("*.jsonl")):
        yield from read_rows(file)
