"""The data engine measured: planted faults that it finds, and where its detectors look.

::

    pip install -e '.[engine]' cleanlab
    python benchmarks/engine.py planted coco128/ --json benchmarks/out/engine.json
    python benchmarks/engine.py planted coco128/ coco2017-mix-heldout.tar \\
        --categories coco2017-mix.categories.txt --json benchmarks/out/engine.json
    python benchmarks/engine.py regions coco128/ --json benchmarks/out/engine-regions.json

planted
    Of a set whose labels are complete, 30 % of the labels are dropped and 10 % as many wrong ones
    are added, drawn by seed: wrong ones in proportion to how frequent a tag is. Then the engine
    runs with the set's tags as vocabulary, and what it adds and removes is compared with what was
    planted. Beside it, on the same scores of the same model:

    thresholds   a label is missing where the score reaches the tag's own threshold in the model,
                 and wrong where it does not
    best single  the same with one threshold for all tags, chosen *with the true labels*, for each
                 of the two questions apart: no method that knows them not is expected to reach it
    cleanlab     `multilabel_classification.filter.find_multilabel_issues_per_class`

    Figures are means over seeds; intervals come from resampling photos, 95 %.
regions
    How well the detectors that need no weights of their own find the tags of COCO128: mean overlap
    (IoU) of the region with the tag's best box, and how often its centre lies in one; beside them
    the whole picture as region.

Sets: see quality.py. The network's image tokens are computed once for each crop and kept, so that
further seeds cost little; scores are those of a plain run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from quality import PhotoSet, machine, read_multi_label, read_yolo, today

from anytag import Tagger
from anytag.config import from_plain
from anytag.data.images import open_image
from anytag.engine.config import EngineConfig
from anytag.engine.ground import AttentionDetector, Box, Region, WindowDetector
from anytag.engine.pipeline import Engine
from anytag.engine.regions import WHOLE
from anytag.labels.labelset import fold_name

Matrix = npt.NDArray[np.bool_]
MISSING, WRONG = 0.3, 0.1
QUESTIONS = ("restored", "removed")
PAPER = ("outlier", "crop")


class KeptTokens(torch.nn.Module):
    """An image encoder that remembers."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.token_width = encoder.token_width
        self._kept: dict[bytes, torch.Tensor] = {}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        keys = [hashlib.blake2b(one.numpy().tobytes(), digest_size=16).digest() for one in images]
        new = [number for number, key in enumerate(keys) if key not in self._kept]
        if new:
            self._kept |= {
                keys[number]: tokens
                for number, tokens in zip(new, self.encoder(images[new]), strict=True)
            }
        return torch.stack([self._kept[key] for key in keys])


def read_sets(paths: Sequence[Path], categories: Path | None) -> PhotoSet:
    """The sets joined; all have the same tags."""
    sets = []
    for path in paths:
        if path.is_dir():
            sets.append(read_yolo(path))
        elif categories is None:
            raise SystemExit(f"{path}: a tar needs --categories")
        else:
            sets.append(read_multi_label(path, categories))
    tags = sets[0].tags
    places = {fold_name(tag): place for place, tag in enumerate(tags)}
    truth = []
    for one in sets:
        columns = [places[fold_name(tag)] for tag in one.tags]
        if len(set(columns)) != len(tags):
            raise SystemExit("the sets have different tags")
        part = np.zeros(one.truth.shape, bool)
        part[:, columns] = one.truth
        truth.append(part)

    def photos() -> Any:
        for one in sets:
            yield from one.photos()

    return PhotoSet(tags=tags, truth=np.concatenate(truth), photos=photos)


def plant(truth: Matrix, seed: int) -> Matrix:
    """Labels with faults, [N, T]."""
    random = np.random.default_rng(seed)
    labels = np.argwhere(truth)
    given = truth.copy()
    dropped = random.permutation(len(labels))[: round(MISSING * len(labels))]
    given[tuple(labels[dropped].T)] = False
    absent = np.argwhere(~truth)
    weights = truth.mean(axis=0)[absent[:, 1]]
    added = random.choice(
        len(absent), round(WRONG * len(labels)), replace=False, p=weights / weights.sum()
    )
    given[tuple(absent[added].T)] = True
    return given


def run_engine(
    folder: Path, images: Sequence[Path], tags: Sequence[str], given: Matrix, tagger: Tagger
) -> dict[str, Matrix]:
    """Tags that the engine leaves, [N, T], by the name of its rules."""
    folder.mkdir()
    places = {fold_name(tag): place for place, tag in enumerate(tags)}
    (folder / "tags.txt").write_text("\n".join(tags))
    rows = [
        {"image": str(image), "tags": [tags[place] for place in np.flatnonzero(row)]}
        for image, row in zip(images, given, strict=True)
    ]
    (folder / "given.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = from_plain(
        EngineConfig,
        {
            "output": str(folder / "out"),
            "data": [{"path": str(folder / "given.jsonl")}],
            "generate": {"vocabulary": str(folder / "tags.txt")},
            "clean": {"num_background": 1000},
        },
    )
    results = {}
    for name, rules in (("engine", config.clean.rules), ("engine, paper's rules", PAPER)):
        made = replace(config, clean=replace(config.clean, rules=rules))
        result = Engine(made, redo=True, tagger=tagger).run()
        kept = np.zeros(given.shape, bool)
        lines = [
            line
            for file in sorted(result.records.glob("*.jsonl"))
            for line in file.read_text().splitlines()
        ]
        for number, line in enumerate(lines):
            kept[number, [places[fold_name(tag)] for tag in json.loads(line)["tags"]]] = True
        results[name] = kept
    return results


def find_issues(given: Matrix, scores: npt.NDArray[np.float32]) -> Matrix:
    """cleanlab's verdict, [N, T]: this label should be the other way round."""
    from cleanlab.multilabel_classification.filter import find_multilabel_issues_per_class

    labels = [np.flatnonzero(row).tolist() for row in given]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "too few examples", for each rare tag
        found: Any = find_multilabel_issues_per_class(labels, scores.astype(float), n_jobs=1)
    issues: Matrix = np.asarray(found).astype(bool)
    return issues.T if issues.shape != given.shape else issues


def decide(
    truth: Matrix, given: Matrix, scores: npt.NDArray[np.float32], thresholds: Any
) -> dict[str, Matrix]:
    """What each simple method would have the labels be, [N, T]."""
    issues = find_issues(given, scores)
    return {
        "thresholds": scores >= thresholds,
        "best single (knows the truth)": _best_single(truth, given, scores),
        "cleanlab": np.where(issues, ~given, given),
    }


def _best_single(truth: Matrix, given: Matrix, scores: npt.NDArray[np.float32]) -> Matrix:
    """Additions by the best threshold for these, removals by the best for those."""
    result = given.copy()
    steps = np.linspace(0.01, 0.99, 99)
    add = max(steps, key=lambda t: _f1(counts_of(truth, given, (scores >= t) | given)["restored"]))
    drop = max(steps, key=lambda t: _f1(counts_of(truth, given, (scores >= t) & given)["removed"]))
    result |= scores >= add
    result &= ~(given & (scores < drop))
    return result


def counts_of(truth: Matrix, given: Matrix, labels: Matrix) -> dict[str, npt.NDArray[np.int64]]:
    """Right, made and planted changes of each photo, [N, 3], for both questions."""
    pairs = {
        "restored": (labels & ~given, truth & ~given),
        "removed": (given & ~labels, given & ~truth),
    }
    return {
        name: np.stack([(made & planted).sum(1), made.sum(1), planted.sum(1)], axis=1)
        for name, (made, planted) in pairs.items()
    }


def _f1(counts: npt.NDArray[np.int64]) -> float:
    right, made, planted = counts.sum(axis=0)
    return float(2 * right / max(1, made + planted))


def figures_of(
    counts: Sequence[npt.NDArray[np.int64]], num_resamples: int = 1000
) -> dict[str, Any]:
    """Precision, recall and F1 with intervals, of the counts [N, 3] of each seed."""
    pooled = np.sum(counts, axis=0)
    drawn = np.random.default_rng(0).integers(len(pooled), size=(num_resamples, len(pooled)))
    resampled = pooled[drawn].sum(axis=1)

    def measures(total: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        right, made, planted = np.moveaxis(total, -1, 0)
        return np.stack(
            [
                right / np.maximum(made, 1),
                right / np.maximum(planted, 1),
                2 * right / np.maximum(made + planted, 1),
            ],
            axis=-1,
        )

    values, ends = measures(pooled.sum(axis=0)), np.quantile(measures(resampled), [0.025, 0.975], 0)
    names = ("precision", "recall", "f1")
    return {
        name: {"value": float(values[i]), "interval": [float(ends[0, i]), float(ends[1, i])]}
        for i, name in enumerate(names)
    }


def planted(args: argparse.Namespace) -> dict[str, Any]:
    """All figures of the planted faults."""
    photo_set = read_sets(args.paths, args.categories)
    tagger = Tagger.from_pretrained(args.model, device="cpu")
    network: Any = tagger._model.network
    network.encoder = KeptTokens(network.encoder)
    found: dict[str, dict[str, list[npt.NDArray[np.int64]]]] = {}
    sizes = Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = []
        for number, photo in enumerate(photo_set.photos()):
            images.append(photo if isinstance(photo, Path) else folder / f"{number:06}.jpg")
            if isinstance(photo, bytes):
                images[-1].write_bytes(photo)
        asked = tagger.with_tags(list(photo_set.tags))
        scores = np.stack([one.scores for one in asked.stream(images)])  # type: ignore[misc]
        thresholds = np.array([label.threshold for label in asked.labels], np.float32)
        for seed in range(args.seeds):
            given = plant(photo_set.truth, seed)
            sizes["dropped"] += int((photo_set.truth & ~given).sum())
            sizes["added"] += int((given & ~photo_set.truth).sum())
            results = {
                **decide(photo_set.truth, given, scores, thresholds),
                **run_engine(folder / f"seed{seed}", images, photo_set.tags, given, tagger),
            }
            for method, labels in results.items():
                for question, counts in counts_of(photo_set.truth, given, labels).items():
                    found.setdefault(question, {}).setdefault(method, []).append(counts)
            print(f"seed {seed} done", flush=True)
    return {
        "kind": "engine-planted",
        "model": tagger.model_name,
        "date": today(),
        "machine": machine(),
        "photos": len(images),
        "sets": [path.name.removesuffix(".tar") for path in args.paths],
        "tags": len(photo_set.tags),
        "labels": int(photo_set.truth.sum()),
        "seeds": args.seeds,
        "dropped": sizes["dropped"] / args.seeds,
        "added": sizes["added"] / args.seeds,
        **{
            question: {method: figures_of(counts) for method, counts in methods.items()}
            for question, methods in found.items()
        },
    }


def regions(args: argparse.Namespace) -> dict[str, Any]:
    """Overlap of each detector's regions with the boxes of the set."""
    photo_set = read_yolo(args.path)
    tagger = Tagger.from_pretrained(args.model, device="cpu").with_tags(list(photo_set.tags))
    detectors = {
        "windows": WindowDetector(tagger).detect,
        "attention": AttentionDetector(tagger).detect,
        "whole picture": lambda image, tags: [Region(tag, WHOLE, 1.0) for tag in tags],
    }
    overlaps: dict[str, list[float]] = {name: [] for name in detectors}
    centred: dict[str, list[bool]] = {name: [] for name in detectors}
    for photo in photo_set.photos():
        assert isinstance(photo, Path)
        boxes = read_boxes(args.path / "labels" / f"{photo.stem}.txt")
        image = open_image(photo)
        for name, detect in detectors.items():
            for region in detect(image, sorted(boxes)) if boxes else ():
                own = boxes[region.tag]
                x, y = (region.box[0] + region.box[2]) / 2, (region.box[1] + region.box[3]) / 2
                overlaps[name].append(max(overlap(region.box, box) for box in own))
                centred[name].append(
                    any(
                        left <= x <= right and top <= y <= bottom
                        for left, top, right, bottom in own
                    )
                )
    return {
        "kind": "engine-regions",
        "model": tagger.model_name,
        "date": today(),
        "machine": machine(),
        "tags of photos": len(overlaps["windows"]),
        **{
            name: {"iou": float(np.mean(overlaps[name])), "centred": float(np.mean(centred[name]))}
            for name in detectors
        },
    }


def read_boxes(path: Path) -> dict[int, list[Box]]:
    """Boxes of each class of a YOLO label file."""
    boxes: dict[int, list[Box]] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        number, x, y, width, height = map(float, line.split()[:5])
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        boxes.setdefault(int(number), []).append(box)
    return boxes


def overlap(one: Box, other: Box) -> float:
    """Intersection over union.

    >>> overlap((0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 0.5, 0.5))
    0.25
    """
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    common = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return common / (sum(areas) - common)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("planted")
    one.add_argument("paths", nargs="+", type=Path, help="COCO128's folder, or tars")
    one.add_argument("--categories", type=Path, help="names of the tags of the tars")
    one.add_argument("--model", default="nano")
    one.add_argument("--seeds", type=int, default=3)
    one.set_defaults(run=planted)
    two = commands.add_parser("regions")
    two.add_argument("path", type=Path, help="COCO128's folder")
    two.add_argument("--model", default="nano")
    two.set_defaults(run=regions)
    for command in (one, two):
        command.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], dict[str, Any]] = args.run
    text = json.dumps(run(args), indent=1)
    if args.json is not None:
        args.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
