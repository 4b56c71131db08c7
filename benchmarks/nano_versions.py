"""Versions of nano, and the ImageNet classifier that it is distilled from, on held-out photo sets.

Versions beside each other, with paired differences::

    python benchmarks/nano_versions.py versions --model nano-v0=DIR --model nano-v1=DIR \\
        --set "ImageNet samples:single-label=imagenet-sample-500-224px.tar" \\
        --set "COCO128:yolo=coco128" --set "VOC:multi-label=voc-heldout.tar" \\
        --classifier mobilenetv2_100_in1k.safetensors --class-names imagenet_labels_1001.txt \\
        --wordnet /usr/share/wordnet --json benchmarks/results/12-nano-versions.json

Tags that a model was never trained on (its directory holds the tags it was trained on)::

    python benchmarks/nano_versions.py unseen --model without=DIR --unseen held_out_tags.txt \\
        --set ... --json benchmarks/results/12-nano-unseen.json

**The classifier** knows 1,000 classes. A tag's score is the sum of the probabilities of the classes
at or below one of the tag's noun senses in WordNet; a tag above no class scores 0 everywhere. It
has no thresholds, so precision and recall are those at the one threshold that is best (micro F1) on
the very set, which flatters it.

**Unseen tags** are measured beside chance (the share of the set's photos with the tag) and beside
the trained tag whose text embedding is nearest, asked in place of the unseen one.

Kinds of sets, and where they come from: `quality.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from quality import (
    PhotoSet,
    machine,
    read_multi_label,
    read_single_label,
    read_yolo,
    score_photos,
    today,
)

import anytag
from anytag.data.images import load_image
from anytag.evaluation.metrics import (
    best_f1_threshold,
    bootstrap_interval,
    mean_average_precision,
    precision_recall,
)
from anytag.evaluation.resampling import map_difference
from anytag.labels.labelset import fold_name, read_tag_list

Scores = npt.NDArray[np.float32]
Figures = dict[str, Any]

#: side of the classifier's input in pixels
CLASSIFIER_SIZE = 224
#: names of data sets that WordNet writes in another way
OTHER_NAMES = {
    "tv": "television",
    "tv monitor": "television",
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "hair drier": "hair dryer",
    "sports ball": "ball",
    "skis": "ski",
    "mouse": "computer mouse",
    "remote": "remote control",
    "potted plant": "flowerpot",
    "donut": "doughnut",
}


def read_set(description: str) -> tuple[str, PhotoSet]:
    """``NAME:KIND=PATH`` with the kinds of `quality.py`.

    Raises:
        SystemExit: it is written differently, or the set is not of this kind
    """
    head, _, path = description.partition("=")
    name, _, kind = head.rpartition(":")
    readers: dict[str, Callable[[Path], PhotoSet]] = {
        "single-label": read_single_label,
        "yolo": read_yolo,
        "multi-label": lambda p: read_multi_label(p, p.with_name(f"{p.stem}.categories.txt")),
    }
    if kind not in readers or not name or not path:
        raise SystemExit(f"--set {description}: expected NAME:KIND=PATH, KIND {', '.join(readers)}")
    return name, readers[kind](Path(path))


class Classifier:
    """MobileNetV2's ImageNet classes as tags."""

    def __init__(self, weights: Path, class_names: Path, wordnet: Path) -> None:
        import torch
        from safetensors.torch import load_file

        from anytag.models.mobilenet import MobileNetV2, from_timm

        sys.path.append(str(Path(__file__).absolute().parents[1] / "tools" / "nano"))
        from build_labels import imagenet_synsets  # type: ignore[import-not-found]
        from wordnet import WordNet  # type: ignore[import-not-found]

        state = load_file(weights)
        self._network = MobileNetV2().eval()
        self._network.load_state_dict(from_timm(state))
        self._layer = torch.nn.Linear(1280, 1001)
        self._layer.weight.data = state["classifier.weight"].float()
        self._layer.bias.data = state["classifier.bias"].float()
        self._wordnet = WordNet.load(wordnet)
        names = class_names.read_text(encoding="utf-8").splitlines()[1:]  # the first: background
        synsets = imagenet_synsets(names, self._wordnet)
        self._above = [
            {synset.id, *(up.id for up in self._wordnet.ancestors(synset))} for synset in synsets
        ]

    def classes(self, tag: str) -> npt.NDArray[np.bool_]:
        """[1000], the classes at or below one of the tag's senses."""
        word = OTHER_NAMES.get(fold_name(tag), fold_name(tag))
        senses = {synset.id for synset in self._wordnet.senses(word)}
        return np.array([bool(above & senses) for above in self._above])

    def score(self, photo_set: PhotoSet) -> Scores:
        """[N, T]."""
        table = np.stack([self.classes(tag) for tag in photo_set.tags], axis=1).astype(np.float32)
        rows = [self._probabilities(photo) @ table for photo in photo_set.photos()]
        return np.clip(np.concatenate(rows), 0.0, 1.0)

    def _probabilities(self, photo: Path | bytes) -> Scores:
        import torch

        pixels = load_image(photo, size=CLASSIFIER_SIZE).pixels
        images = torch.from_numpy(pixels.copy())[None].permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.inference_mode():
            logits = self._layer(self._network(images).mean(1))
            found: Scores = logits.softmax(-1)[:, 1:].numpy()
        return found


def measure(
    scores: Scores, truth: npt.NDArray[np.bool_], thresholds: float | Scores, resamples: int
) -> Figures:
    """mAP with its interval; precision, recall and F1 at thresholds [T] or one."""
    at = precision_recall(scores, truth, thresholds)
    names = ("macro_precision", "macro_recall", "macro_f1")
    names += ("micro_precision", "micro_recall", "micro_f1")  # type: ignore[assignment]
    return {
        "map": mean_average_precision(scores, truth).value,
        "interval": list(bootstrap_interval(scores, truth, num_resamples=resamples)),
        "at_thresholds": {name: float(getattr(at, name)) for name in names},
        "best_micro_f1": best_f1_threshold(scores.ravel(), truth.ravel()).f1,
    }


def compare_versions(options: argparse.Namespace) -> Figures:
    """All models and the classifier on all sets."""
    taggers = {name: anytag.Tagger.from_pretrained(path) for name, path in options.model}
    classifier = None
    if options.classifier:
        classifier = Classifier(options.classifier, options.class_names, options.wordnet)
    sets = []
    for name, photo_set in map(read_set, options.set):
        truth, scores, figures = photo_set.truth, {}, {}
        for version, tagger in taggers.items():
            scores[version], seen, asked = score_photos(tagger, photo_set)
            if len(seen) != len(truth):
                raise SystemExit(f"{name}: a photo cannot be read; the models would be unpaired")
            limits = np.array([label.threshold for label in asked.labels], np.float32)
            figures[version] = measure(scores[version], truth, limits, options.resamples)
        if classifier is not None:
            found = classifier.score(photo_set)
            best = best_f1_threshold(found.ravel(), truth.ravel()).threshold
            figures["classifier"] = measure(found, truth, best, options.resamples)
            scores["classifier"] = found
        last = list(taggers)[-1]
        differences = {
            other: list(
                map_difference(scores[last], scores[other], truth, num_resamples=options.resamples)
            )
            for other in scores
            if other != last
        }
        row = {
            "set": name,
            "photos": len(truth),
            "tags": len(photo_set.tags),
            "tags_with_photos": int(truth.any(0).sum()),
            "figures": figures,
            "of": last,
            "less": differences,
        }
        print(_line(row), flush=True)
        sets.append(row)
    return {"kind": "nano-versions", "sets": sets}


def _line(row: Figures) -> str:
    parts = [f"{name} {100 * f['map']:.1f}" for name, f in row["figures"].items()]
    for other, (value, low, high) in row["less"].items():
        parts.append(
            f"{row['of']} - {other} {100 * value:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
        )
    return f"{row['set']}: {', '.join(parts)}"


def compare_unseen(options: argparse.Namespace) -> Figures:
    """Unseen tags: asked by their names, beside chance and the nearest trained tag."""
    (version, path), *_ = options.model
    tagger = anytag.Tagger.from_pretrained(path)
    wanted = {fold_name(name) for name in read_tag_list(options.unseen)}
    trained = [name for name in tagger.labels.names if fold_name(name) not in wanted]
    if len(trained) != len(tagger.labels):
        raise SystemExit(f"{path}: has some of the unseen tags among its own")
    sets = []
    for name, photo_set in map(read_set, options.set):
        chosen = [
            place
            for place, tag in enumerate(photo_set.tags)
            if fold_name(options.alias.get(tag, tag)) in wanted and photo_set.truth[:, place].any()
        ]
        if not chosen:
            continue
        tags = [photo_set.tags[place] for place in chosen]
        nearest = nearest_trained(tagger, tags)
        truth = photo_set.truth[:, chosen]
        asked = score_names(tagger, photo_set, tags)
        instead = score_names(tagger, photo_set, nearest)
        chance = truth.mean(0)
        row = {
            "set": name,
            "photos": len(truth),
            "unseen": measure(asked, truth, tagger.card.open_threshold, options.resamples),
            "chance": float(chance.mean()),
            "nearest": measure(instead, truth, tagger.card.open_threshold, options.resamples),
            "less_nearest": list(map_difference(asked, instead, truth)),
            "tags": [
                {"tag": tag, "nearest": near, "ap": ap, "ap_nearest": other, "chance": float(c)}
                for tag, near, ap, other, c in zip(
                    tags,
                    nearest,
                    mean_average_precision(asked, truth).per_class.tolist(),
                    mean_average_precision(instead, truth).per_class.tolist(),
                    chance,
                    strict=True,
                )
            ],
        }
        print(
            f"{name}: {len(tags)} unseen tags, mAP {100 * row['unseen']['map']:.1f}, nearest "
            f"{100 * row['nearest']['map']:.1f}, chance {100 * row['chance']:.2f}",
            flush=True,
        )
        sets.append(row)
    return {"kind": "nano-unseen", "model": version, "trained_tags": len(trained), "sets": sets}


def nearest_trained(tagger: anytag.Tagger, tags: Sequence[str]) -> list[str]:
    """The trained tag whose text embedding has the highest cosine with each tag's."""
    own = np.asarray(tagger.rows, np.float32)
    other = np.asarray(tagger.with_tags(list(tags)).rows, np.float32)
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    return [tagger.labels[int(place)].name for place in (other @ own.T).argmax(1)]


def score_names(tagger: anytag.Tagger, photo_set: PhotoSet, names: Sequence[str]) -> Scores:
    """[N, len(names)]; a name may come twice."""
    different = list(dict.fromkeys(names))
    asked = tagger.with_tags(different)
    columns = [different.index(name) for name in names]
    rows: Iterator[Scores | None] = (r.scores for r in asked.stream(photo_set.photos()))
    return np.stack([row[columns] for row in rows if row is not None])


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["versions", "unseen"])
    parser.add_argument("--model", action="append", required=True, help="NAME=DIRECTORY")
    parser.add_argument("--set", action="append", required=True, help="NAME:KIND=PATH")
    parser.add_argument("--classifier", type=Path, help="weights, timm's mobilenetv2_100")
    parser.add_argument("--class-names", type=Path)
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    parser.add_argument("--unseen", type=Path, help="the tags, one a line")
    parser.add_argument("--alias", action="append", default=[], help="SET'S NAME=UNSEEN TAG")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    options.model = [tuple(one.split("=", 1)) for one in options.model]
    options.alias = dict(one.split("=", 1) for one in options.alias)
    if options.what == "unseen" and options.unseen is None:
        parser.error("unseen needs --unseen FILE")
    figures = compare_versions(options) if options.what == "versions" else compare_unseen(options)
    figures = {**figures, "date": today(), "machine": machine(), "resamples": options.resamples}
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
