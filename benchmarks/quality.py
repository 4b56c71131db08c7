"""Mean average precision of a model on a labelled photo set, through the public API only.

One command for each kind of set::

    python benchmarks/quality.py single-label imagenet-sample-500-224px.tar --json OUT.json
    python benchmarks/quality.py single-label imagenet-sample-images/ --json OUT.json
    python benchmarks/quality.py yolo coco128/ --json OUT.json
    python benchmarks/quality.py multi-label coco2017-mix-heldout.tar \\
        --categories coco2017-mix.categories.txt --json OUT.json

Where the sets come from (public GitHub repositories): the single-label photos are
``EliSchwartz/imagenet-sample-images``, one photo for each of ImageNet's 1,000 classes with the name
in the file name (the tar holds every second one at 224 pixels). COCO128 are the first 128 photos of
COCO train2017: photos from ``developer0hye/COCO128``, YOLO labels from the history of
``sprouse9/URI_CapstoneProject``, laid out as ``images/*.jpg`` and ``labels/*.txt``. Neither is ever
trained on or tuned to.

The tags that are asked for are the set's own names, as plain words, and nothing else. Equal names
are one tag ("crane" is a bird and a machine in ImageNet; "cardigan" a dog and a garment).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import anytag
from anytag.evaluation.metrics import (
    best_f1_threshold,
    bootstrap_interval,
    mean_average_precision,
    precision_recall,
)
from anytag.labels.labelset import fold_name, read_tag_list

if TYPE_CHECKING:
    from anytag import Tagger

#: COCO's 80 object classes in the order of their numbers in YOLO label files
COCO_NAMES = tuple(
    re.split(
        r",\s+",
        """person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light,
    fire hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant,
    bear, zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard,
    sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle,
    wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot,
    hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop,
    mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock,
    vase, scissors, teddy bear, hair drier, toothbrush""",
    )
)
RECALL_DEPTH = 15
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, kw_only=True, eq=False)
class PhotoSet:
    """N photos and which of T tags each has."""

    #: names of the T tags, all different
    tags: tuple[str, ...]
    #: [N, T]
    truth: npt.NDArray[np.bool_]
    #: gives the N photos in the order of ``truth``, paths or file contents
    photos: Callable[[], Iterator[Path | bytes]]
    #: every photo has exactly one tag
    single_label: bool = False


def read_single_label(path: Path) -> PhotoSet:
    """A tar of ``key.jpg`` + ``key.json`` with "label", or a folder of ``n01440764_tench.JPEG``.

    The names are the tags, in the order in which they come first.

    Raises:
        SystemExit: the set is not of this kind
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
        found = [re.fullmatch(r"n\d{8}_(.+)", file.stem) for file in files]
        labels = [match[1].replace("_", " ") for match in found if match]
        if len(labels) != len(files):
            raise SystemExit(f"{path}: expected photos named n01440764_tench.JPEG and no others")
        photos: Callable[[], Iterator[Path | bytes]] = partial(iter, files)
    else:
        records, photos = _read_tar(path)
        labels = [_field(path, key, record, "label") for key, record in records]
    tags: dict[str, str] = {}
    for label in labels:
        tags.setdefault(fold_name(label), label)
    truth = _truth(path, list(tags.values()), [[label] for label in labels])
    return PhotoSet(tags=tuple(tags.values()), truth=truth, photos=photos, single_label=True)


def read_yolo(folder: Path, tags: Sequence[str] = COCO_NAMES) -> PhotoSet:
    """``images/`` and ``labels/NAME.txt`` with a class number at the start of each line.

    A photo without a label file has no objects; label files without a photo are not looked at.

    Raises:
        SystemExit: the set is not of this kind, or a class number is out of range
    """
    images = folder / "images"
    if not images.is_dir():
        raise SystemExit(f"{folder}: no folder images/ in it")
    files = sorted(file for file in images.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    truth = np.zeros((len(files), len(tags)), bool)
    for row, file in enumerate(files):
        labels = folder / "labels" / f"{file.stem}.txt"
        lines = labels.read_text().splitlines() if labels.exists() else []
        for number in (line.split()[0] for line in lines if line.strip()):
            if not number.isdecimal() or int(number) >= len(tags):
                raise SystemExit(f"{labels}: class {number!r}, expected 0 to {len(tags) - 1}")
            truth[row, int(number)] = True
    return PhotoSet(tags=tuple(tags), truth=truth, photos=partial(iter, files))


def read_multi_label(path: Path, categories: Path) -> PhotoSet:
    """A tar of ``key.jpg`` + ``key.json`` with "labels", and the names that were looked for.

    Raises:
        SystemExit: the set is not of this kind, a label is not among the categories, or a photo is
            not labelled with all of them
    """
    tags = tuple(read_tag_list(categories))
    records, photos = _read_tar(path)
    for key, record in records:
        if not record.get("exhaustive", True):
            raise SystemExit(f"{path}: {key} does not have all its labels; mAP would be wrong")
    labels = [_field(path, key, record, "labels") for key, record in records]
    return PhotoSet(tags=tags, truth=_truth(path, tags, labels), photos=photos)


def _truth(
    path: Path, tags: Sequence[str], labels: Sequence[Sequence[str]]
) -> npt.NDArray[np.bool_]:
    columns = {fold_name(tag): column for column, tag in enumerate(tags)}
    truth = np.zeros((len(labels), len(tags)), bool)
    for row, names in enumerate(labels):
        for name in names:
            if fold_name(name) not in columns:
                raise SystemExit(f"{path}: the label {name!r} is not among the categories")
            truth[row, columns[fold_name(name)]] = True
    return truth


def _read_tar(
    path: Path,
) -> tuple[list[tuple[str, dict[str, Any]]], Callable[[], Iterator[Path | bytes]]]:
    """Key and JSON of each photo of a webdataset tar; and its photos, read when asked for."""
    records: dict[str, dict[str, Any]] = {}
    images: dict[str, str] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            key, _, suffix = member.name.rpartition(".")
            if suffix == "json":
                records[key] = json.loads(_content(archive, member))
            elif f".{suffix.lower()}" in IMAGE_SUFFIXES:
                images[key] = member.name
    if not images or set(images) != set(records):
        raise SystemExit(f"{path}: expected one key.json for each key.jpg, and some of them")

    def photos() -> Iterator[Path | bytes]:
        with tarfile.open(path) as archive:
            for key in records:
                yield _content(archive, archive.getmember(images[key]))

    return list(records.items()), photos


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    if file is None:
        raise SystemExit(f"{archive.name!r}: {member.name} is not a file")
    return file.read()


def _field(path: Path, key: str, record: dict[str, Any], name: str) -> Any:
    if name not in record:
        raise SystemExit(f"{path}: {key}.json has no {name!r}")
    return record[name]


def score_photos(
    tagger: Tagger, photo_set: PhotoSet, batch_size: int = 32
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], Tagger]:
    """Scores and truth [N, T] of the photos that could be read, and the tagger of their tags."""
    asked = tagger.with_tags(list(photo_set.tags))
    if len(asked.labels) != len(photo_set.tags):
        raise SystemExit("the set has a tag twice; each must have its own name")
    rows, read = [], []
    for number, result in enumerate(asked.stream(photo_set.photos(), batch_size=batch_size)):
        if result.scores is None:
            print(f"photo {number} is left out: {result.error}", file=sys.stderr)
            continue
        rows.append(result.scores)
        read.append(number)
    if not rows:
        raise SystemExit("no photo could be read")
    return np.stack(rows), photo_set.truth[read], asked


def evaluate(
    tagger: Tagger,
    photo_set: PhotoSet,
    *,
    batch_size: int = 32,
    num_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """All figures of one set as JSON values; fractions, None where nothing is defined."""
    scores, truth, asked = score_photos(tagger, photo_set, batch_size)
    result = mean_average_precision(scores, truth)
    interval = bootstrap_interval(scores, truth, num_resamples=num_resamples, seed=seed)
    thresholds = np.array([label.threshold for label in asked.labels], np.float32)
    own = precision_recall(scores, truth, thresholds)
    best = best_f1_threshold(scores.ravel(), truth.ravel())
    return {
        "kind": "quality",
        "model": asked.model_name,
        "date": today(),
        "machine": machine(),
        "dtype": str(asked.dtype).removeprefix("torch."),
        "device": asked.device.type,
        "photos": len(scores),
        "unreadable": len(photo_set.truth) - len(scores),
        "tags": len(photo_set.tags),
        "tags_built_in": sum(tagger.labels.find(tag) is not None for tag in photo_set.tags),
        "map": _number(result.value),
        "interval": [_number(end) for end in interval],
        "resamples": num_resamples,
        "seed": seed,
        "map_empty_as_zero": mean_average_precision(scores, truth, empty_as_zero=True).value,
        "without_positives": [photo_set.tags[index] for index in result.excluded],
        "at_own_thresholds": {
            name: _number(getattr(own, name))
            for name in ("macro_precision", "macro_recall", "micro_precision", "micro_recall")
        },
        "best_micro_f1": {"threshold": _number(best.threshold), "f1": _number(best.f1)},
        **(_ranks(scores, truth) if photo_set.single_label else {}),
        "per_class": {
            tag: _number(value)
            for tag, value in zip(photo_set.tags, result.per_class.tolist(), strict=True)
        },
    }


def _ranks(
    scores: npt.NDArray[np.float32], truth: npt.NDArray[np.bool_]
) -> dict[str, float | None]:
    """Top-1 accuracy, and how often the one label is among the best `RECALL_DEPTH`."""
    order = np.argsort(-scores, axis=1, kind="stable")
    hits = np.take_along_axis(truth, order, axis=1)
    return {
        "top1": float(hits[:, 0].mean()),
        f"recall_at_{RECALL_DEPTH}": float(hits[:, :RECALL_DEPTH].any(axis=1).mean()),
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def today() -> str:
    """The date in UTC, 2026-11-24."""
    return datetime.now(timezone.utc).date().isoformat()


def machine() -> dict[str, Any]:
    """What the figures were measured with; imports no torch."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.+)$", info.read_text(), re.M) if info.exists() else None
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return {
        "cpu": found[1].strip() if found else cpu,
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "anytag": anytag.__version__,
        **{name: version(name) for name in ("torch", "numpy", "pillow")},
    }


def summary(figures: dict[str, Any]) -> str:
    """The figures as lines for people, in percent."""

    def percent(value: float | None) -> str:
        return "-" if value is None else f"{100 * value:.1f} %"

    low, high = figures["interval"]
    lines = [
        f"set                {figures['set']}: {figures['photos']} photos, {figures['tags']} tags",
        f"model              {figures['model']} ({figures['dtype']}, {figures['device']})",
        f"mAP                {percent(figures['map'])} "
        f"(95 % interval {percent(low)} to {percent(high)})",
        f"  empty tags as 0  {percent(figures['map_empty_as_zero'])}",
        f"best micro F1      {percent(figures['best_micro_f1']['f1'])}",
    ]
    if "top1" in figures:
        lines.append(f"top-1              {percent(figures['top1'])}")
        lines.append(
            f"recall@{RECALL_DEPTH}          {percent(figures[f'recall_at_{RECALL_DEPTH}'])}"
        )
    empty = figures["without_positives"]
    lines.append(f"no photo for       {len(empty)} tags{': ' if empty else ''}{', '.join(empty)}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=["single-label", "multi-label", "yolo"])
    parser.add_argument("path", type=Path, help="tar or folder")
    parser.add_argument("--categories", type=Path, help="one name a line, for multi-label")
    parser.add_argument("--name", help="of the set, in tables; the file's name if not given")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write all figures, with AP of every tag")
    options = parser.parse_args(arguments)

    if not options.path.exists():
        parser.error(f"{options.path} does not exist")
    if options.kind == "yolo":
        photo_set = read_yolo(options.path)
    elif options.kind == "single-label":
        photo_set = read_single_label(options.path)
    else:
        beside = options.path.with_name(f"{options.path.stem}.categories.txt")
        photo_set = read_multi_label(options.path, options.categories or beside)

    tagger = anytag.Tagger.from_pretrained(
        options.model, device=options.device, dtype=options.dtype
    )
    figures = evaluate(
        tagger,
        photo_set,
        batch_size=options.batch_size,
        num_resamples=options.resamples,
        seed=options.seed,
    )
    figures = {"set": options.name or options.path.stem, **figures}
    print(summary(figures))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
