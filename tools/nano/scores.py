"""From tars, cached teachers and detections to what `anytag train` reads: data sets and scores.

Writes for each source:

    train/NAME.tar      photos that are trained on, with the tags that people gave them (`targets`)
    train/NAME.npz      probabilities of classifier and detector, and of a tagger for the other tags
    kept-out/NAME.tar   photos that are kept out of training, for validation
    labels.json         the tags that are trained: those that ship and one for each ImageNet class

Run:  python tools/nano/scores.py --features DIR --labels DIR --photos DIR --detections DIR
          --tagger DIR --shares "$(cat tools/nano/shares.txt)" --out DIR

The tagger speaks for tags that neither ImageNet's classes nor the detector's categories have; a
share is the part of a source's photos that is taken.
"""

from __future__ import annotations

import argparse
import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from features import read_tar
from kept_out import vocabulary_of
from targets import Vocabulary, human_tags, mentions, teacher_targets
from train import SURE, read_detections, top_of

from anytag.checkpoints.directory import load_directory
from anytag.inference.static_text import StaticTextEncoder
from anytag.labels.labelset import Label, LabelSet, fold_name

#: one photo in twenty is kept out, the same ones as in `train`
EVERY, KEPT = 20, 7

Floats = npt.NDArray[np.float32]


def training_labels(words: Vocabulary, tags: Sequence[dict[str, Any]]) -> LabelSet:
    """All names that are trained; a text that two of them have is left to the first."""
    kinds = {tag["name"]: tag["kind"] for tag in tags}
    taken = {fold_name(name) for name in words.names}
    labels = []
    for number, (name, texts) in enumerate(zip(words.names, words.texts, strict=True)):
        synonyms = [text for text in texts[1:] if fold_name(text) not in taken]
        taken.update(map(fold_name, synonyms))
        labels.append(
            Label(
                id=number,
                name=name,
                synonyms=tuple(dict.fromkeys(synonyms)),
                kind=kinds.get(name, "object"),
            )
        )
    return LabelSet(labels)


def record(source: str, row: dict[str, Any], words: Vocabulary) -> dict[str, Any]:
    """A training record: a caption's tag counts where two captions name it."""
    named = human_tags(source, row, words) & set(words.names)
    captions = row.get("captions") or []
    counts = mentions(row, words.parser)
    parsed = [
        sorted(
            name
            for name in mentions({"captions": [text]}, words.parser)
            if counts[name] >= 2 and name in named
        )
        for text in captions
    ]
    return {"captions": captions, "tags": sorted(named), "parsed_tags": parsed, "source": source}


def write_tar(path: Path, photos: Iterable[tuple[str, bytes, dict[str, Any]]]) -> None:
    """Photos and their records."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for key, jpeg, row in photos:
            for name, content in ((f"{key}.jpg", jpeg), (f"{key}.json", json.dumps(row).encode())):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def teachers(predictions: Floats, detected: Floats, words: Vocabulary) -> Floats:
    """Probabilities [N, T] of classifier and detector, NaN where neither knows the tag.

    Args:
        predictions: of the classifier [N, 10, 1000]
        detected: of the detector [N, 80], NaN for photos that it did not see
        words: T tags
    """
    found = teacher_targets(predictions, words.class_tags)
    found[:, ~words.class_tags.any(0)] = np.nan
    for row in np.flatnonzero(~np.isnan(detected[:, 0])):
        own, known = words.detected_tags, words.detected_tags >= 0
        found[row, own[known]] = np.fmax(found[row, own[known]], detected[row, known])
        for category in np.flatnonzero(detected[row] > SURE):
            above = words.detected_above[category]
            found[row, above] = np.fmax(found[row, above], detected[row, category])
    return found


def settle(
    found: Floats, source: str, rows: Sequence[dict[str, Any]], tar: Path, words: Vocabulary
) -> None:
    """Where people have looked for all categories, in place: what they do not name is absent."""
    if not rows[0].get("exhaustive"):
        return
    categories = tar.with_name(f"{tar.stem}.categories.txt").read_text().split("\n")
    tags = words.category_tags.get(source, {})
    known = words.index()
    said = [human_tags(source, row, words) for row in rows]
    for category in filter(None, map(str.strip, categories)):
        own = tags.get(category, [category])[0]
        if own in known:
            absent = np.array([own not in names for names in said])
            found[absent, known[own]] = 0.0


class OwnTags:
    """A tagger's probabilities for the tags of which no teacher knows anything.

    Args:
        folder: a model directory with nano's backbone
        words: T tags
    """

    def __init__(self, folder: Path, words: Vocabulary) -> None:
        known = words.class_tags.any(0)
        known[words.detected_tags[words.detected_tags >= 0]] = True
        self.columns = np.flatnonzero(~known)
        loaded = load_directory(folder)
        encoder = StaticTextEncoder.load(folder / "text_encoder")
        names = [words.names[column] for column in self.columns]
        self._network = loaded.network.eval()
        self._state = self._network.prepare(torch.from_numpy(encoder.encode(names)))

    @torch.inference_mode()
    def score(self, middle: npt.NDArray[np.float16]) -> Floats:
        """Middle features [N, 96, G, G] -> [N, columns]."""
        parts = [
            self._network.decoder(self._state, top_of(self._network, part.float())).sigmoid()
            for part in torch.from_numpy(middle).split(8)
        ]
        scores: Floats = torch.cat(parts).numpy()
        return scores


def main() -> None:
    """Parse arguments and write every source; those that are done are left out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("features", "labels", "detections", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--tagger", type=Path, required=True)
    parser.add_argument("--shares", default="", help="NAME=SHARE of sources, with blanks between")
    arguments = parser.parse_args()
    words, tags = vocabulary_of(arguments.features, arguments.labels)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "labels.json").write_text(training_labels(words, tags).to_json())
    tagger = OwnTags(arguments.tagger, words)
    shares = {name: float(part) for name, part in (s.split("=") for s in arguments.shares.split())}
    tars = {tar.stem: tar for place in arguments.photos for tar in place.glob("*.tar")}
    for index in sorted(arguments.features.glob("*.json")):
        if (arguments.out / "train" / f"{index.stem}.npz").exists():
            continue
        meta = json.loads(index.read_text())
        write_source(index, meta, tars[index.stem], words, tagger, shares, arguments)


def write_source(
    index: Path,
    meta: dict[str, Any],
    tar: Path,
    words: Vocabulary,
    tagger: OwnTags,
    shares: dict[str, float],
    arguments: argparse.Namespace,
) -> None:
    """Both tars and the scores of one source."""
    rows = meta["rows"]
    name = rows[0].get("source", index.stem)
    place = {rows[number]["key"]: number for number in range(len(rows))}
    pictures = {place[key]: jpeg for key, jpeg, _ in read_tar(tar) if key in place}
    numbers = np.array(sorted(pictures))  # one that is no longer in the tar is left out
    train = numbers[numbers % EVERY != KEPT]
    chosen = np.random.default_rng(0).permutation(train)
    chosen = np.sort(chosen[: round(shares.get(index.stem, 1.0) * len(train))])

    def samples(wanted: npt.NDArray[np.int64]) -> Iterable[tuple[str, bytes, dict[str, Any]]]:
        for number in wanted.tolist():
            yield f"{number:05d}", pictures[number], record(name, rows[number], words)

    write_tar(arguments.out / "train" / f"{index.stem}.tar", samples(chosen))
    kept = numbers[numbers % EVERY == KEPT]
    write_tar(arguments.out / "kept-out" / f"{index.stem}.tar", samples(kept))
    views = np.load(index.with_suffix(".teacher.npy"), mmap_mode="r")
    predictions = np.asarray(views[chosen * meta["views"]], np.float32)
    keys = [rows[number]["key"] for number in chosen.tolist()]
    detected = read_detections(arguments.detections, index.stem, keys)
    found = teachers(predictions, detected, words)
    settle(found, name, [rows[number] for number in chosen.tolist()], tar, words)
    middle = np.load(index.with_suffix(".middle.npy"), mmap_mode="r")
    own = tagger.score(np.asarray(middle[chosen * meta["views"]]))
    found[:, tagger.columns] = np.fmax(found[:, tagger.columns], own)
    assert not np.isnan(found).any()
    np.savez(
        arguments.out / "train" / f"{index.stem}.npz",
        scores=found.astype(np.float16),
        images=np.array([f"{number:05d}" for number in chosen.tolist()]),
        classes=np.array(words.names),
    )
    print(f"{index.stem}: {len(chosen)} photos", flush=True)


if __name__ == "__main__":
    main()
