"""What a photo teaches about each tag: targets and weights from the teacher and from people.

For every view and tag there is a target in [0, 1] and a weight:
 - the teacher's probability of the tag (summed over its ImageNet classes, for the whole picture
   or the best window), weight 1, where the tag has ImageNet classes;
 - the probability of a detector of 80 kinds of things, weight 1, where that is higher or the
   teacher knows no such tag; what it finds is also what is more general;
 - 1 where a person named the tag or something more special, weight `HUMAN`;
 - 1 where two captions of the photo mention it, as `anytag parse` reads them; nothing is said by
   one mention alone;
 - 0 where the source names all its categories exhaustively and not this one, weight 1;
 - 0 with a small weight for everything else, unless the tag is so common that it goes unsaid.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anytag.labels.labelset import Label, LabelSet, fold_name
from anytag.labels.parse import CaptionParser

Floats = npt.NDArray[np.float32]

HUMAN = 1.5
#: a single-label source seldom shows another of its categories
OTHER_CATEGORY = 0.7
#: low weights of absence raise a tag's scores everywhere, so these are not lower than they must be
UNSAID = 0.5
#: five captions mention most of what is striking, not all
NOT_CAPTIONED = 0.6
#: what is often there and seldom named, in a photo without captions
COMMON = 0.1
#: captioned photos that a tag known from captions alone must have
LEAST_PHOTOS = 25
#: these are tags with fewer, so that later versions keep the tags of the first
KEPT_TAGS = ("couple", "crossing", "outdoors", "sailing")
#: a window's verdict counts less than the whole picture's
WINDOW = 0.8
#: sources whose names of categories are asked for, too
NAMING = ("coco2017-mix", "voc")
#: the source whose categories are the detector's, in its order
DETECTOR = "coco2017-mix"


@dataclass(frozen=True)
class Vocabulary:
    """The training tags: those that ship and one for each ImageNet class."""

    names: list[str]
    #: texts of each tag, its name first
    texts: list[list[str]]
    #: [1000, T], 1 where a class implies the tag
    class_tags: Floats
    #: [1000, T], 1 at the finest tag of each class
    own_tags: Floats
    #: tags that captions are searched for
    captionable: list[str]
    #: finds those, and candidates that did not become tags
    parser: CaptionParser
    #: names of more general tags, by name
    parents: dict[str, list[str]]
    #: source -> its category -> tags
    category_tags: dict[str, dict[str, list[str]]]
    #: tags which are often visible and seldom named
    common: set[str]
    #: the detector's categories: the tag of each [80], and the tags above it (positions)
    detected_tags: npt.NDArray[np.int64]
    detected_above: list[npt.NDArray[np.int64]]

    def index(self) -> dict[str, int]:
        """Position by name."""
        return {name: position for position, name in enumerate(self.names)}


def mentions(row: dict[str, Any], parser: CaptionParser) -> Counter[str]:
    """How many captions of a photo mention each tag; what a caption denies is not mentioned."""
    return Counter(
        name
        for text in row.get("captions", ())
        for name in {tag.name for tag in parser.parse(text) if not tag.negated}
    )


def to_labels(tags: Sequence[dict[str, Any]]) -> LabelSet:
    """The rows of tags.json; a synonym that is a name is left to it."""
    names = {fold_name(tag["name"]) for tag in tags}
    return LabelSet(
        Label(
            id=position,
            name=tag["name"],
            synonyms=tuple(s for s in tag["synonyms"] if fold_name(s) not in names),
            kind=tag["kind"],
            parents=tuple(tag["parents"]),
        )
        for position, tag in enumerate(tags)
    )


def read_vocabulary(
    labels: Path, common: Path, captioned: Iterable[dict[str, Any]], without: Iterable[str] = ()
) -> tuple[Vocabulary, list[dict[str, Any]]]:
    """The training vocabulary and the rows of the tags that ship.

    Args:
        labels: output folder of build_labels.py
        common: list of tags that often go unsaid
        captioned: annotations of photos with captions; they decide which candidates are learned
        without: tags that are left out, with their synonyms and all that is more special
    """
    tags = json.loads((labels / "tags.json").read_text())
    candidates = json.loads((labels / "candidate_tags.json").read_text())
    classes = json.loads((labels / "classes.json").read_text())
    left_out = {name.lower() for name in without}
    if left_out:
        tags, candidates, classes = _leave_out(left_out, tags, candidates, classes)
    own_class = {entry["tags"][0] for entry in classes}
    # "tank" or "crane" in a caption is seldom the ImageNet class; "dog" and "beach" are safe.
    captionable = [tag for tag in tags if tag["name"] not in own_class] + candidates
    parser = CaptionParser.closed(to_labels(captionable))
    support = Counter(
        name for row in captioned for name, count in mentions(row, parser).items() if count >= 2
    )
    taken = {text.lower() for tag in tags for text in (tag["name"], *tag["synonyms"])}
    tags += [
        tag
        for tag in candidates
        if (support[tag["name"]] >= LEAST_PHOTOS or tag["name"] in KEPT_TAGS)
        and tag["name"].lower() not in taken
    ]
    names = [tag["name"] for tag in tags]
    texts = {tag["name"]: [tag["name"], *tag["synonyms"]] for tag in tags}
    known = {text.lower() for entries in texts.values() for text in entries}
    for source in NAMING:
        for category, found in json.loads((labels / "name_map.json").read_text())[source].items():
            if found and found[0] in texts and category.lower() not in known:
                known.add(category.lower())
                texts[found[0]].append(category)
    # Each class keeps a query of its own, so that fine names can be told apart.
    for entry in classes:
        own = entry["lemmas"][0].replace("_", " ").lower()
        if own not in known:
            known.add(own)
            names.append(own)
            texts[own] = [own]
            entry["tags"] = [*entry["tags"], own]
    position = {name: i for i, name in enumerate(names)}
    class_tags = np.zeros((1000, len(names)), np.float32)
    for entry in classes:
        for name in entry["tags"]:
            class_tags[entry["index"], position[name]] = 1
    own_tags = np.zeros_like(class_tags)
    own_tags[np.arange(1000), np.where(class_tags > 0, class_tags.sum(0), np.inf).argmin(1)] = 1
    own_tags[~class_tags.any(1)] = 0  # classes that were left out
    category_tags = json.loads((labels / "name_map.json").read_text())
    implied = list(category_tags[DETECTOR].values())
    named = [found[0] in position for found in implied]
    detected = [[position[name] for name in found if name in position] for found in implied]
    words = Vocabulary(
        names=names,
        texts=[texts[name] for name in names],
        class_tags=class_tags,
        own_tags=own_tags,
        captionable=[tag["name"] for tag in captionable if tag["name"] in position],
        parser=parser,
        parents={tag["name"]: list(tag.get("parents", [])) for tag in tags},
        category_tags=category_tags,
        common={line.strip() for line in common.read_text().splitlines() if line.strip()},
        detected_tags=np.array(
            [own[0] if known_ else -1 for own, known_ in zip(detected, named, strict=True)],
            np.int64,
        ),
        detected_above=[
            np.array(own[1:] if known_ else own, np.int64)
            for own, known_ in zip(detected, named, strict=True)
        ],
    )
    return words, tags


def _leave_out(
    names: set[str],
    tags: list[dict[str, Any]],
    candidates: list[dict[str, Any]],
    classes: list[dict[str, Any]],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Without the named tags, those of which they are a synonym, and all below them."""
    gone = set(names)
    for tag in [*tags, *candidates]:
        texts = {text.lower() for text in (tag["name"], *tag["synonyms"], *tag.get("parents", ()))}
        if texts & names:
            gone.add(tag["name"].lower())
    kept = [[tag for tag in part if tag["name"].lower() not in gone] for part in (tags, candidates)]
    rest = [
        entry
        for entry in classes
        if not {name.lower() for name in (*entry["tags"], entry["lemmas"][0])} & gone
    ]
    return kept[0], kept[1], rest


def human_tags(source: str, row: dict[str, Any], words: Vocabulary) -> set[str]:
    """The tags that people gave this photo, with their parents."""
    labels: Sequence[str] = row.get("labels") or ([row["label"]] if "label" in row else [])
    found = {name for name, count in mentions(row, words.parser).items() if count >= 2}
    for label in labels:
        found.update(words.category_tags.get(source, {}).get(label, [label]))
    for name in list(found):
        found.update(words.parents.get(name, []))
    return found


@dataclass(frozen=True)
class Supervision:
    """Human side of one source: sparse, expanded per batch."""

    positives: list[npt.NDArray[np.int64]]
    #: tags that are neither present nor absent: named by one caption only
    unsure: list[npt.NDArray[np.int64]]
    #: [T] weight of an absent tag for photos of this source
    absent: Floats


def supervise(
    source: str, rows: Sequence[dict[str, Any]], categories: Sequence[str], words: Vocabulary
) -> Supervision:
    """Positives of each photo, and how much an unnamed tag counts as absent."""
    known = words.index()

    def positions(names: Iterable[str]) -> npt.NDArray[np.int64]:
        return np.array(sorted({known[name] for name in names if name in known}), np.int64)

    positives = [positions(human_tags(source, row, words)) for row in rows]
    unsure = [positions(mentions(row, words.parser)) for row in rows]
    absent = np.full(len(words.names), UNSAID, np.float32)
    captioned = any(row.get("captions") for row in rows)
    if captioned:
        absent[positions(words.captionable)] = NOT_CAPTIONED
    absent[positions(words.common)] = NOT_CAPTIONED if captioned else COMMON
    has_classes = words.class_tags.any(0)
    absent[has_classes] = 0.0  # the teacher speaks for these
    exhaustive = bool(rows) and bool(rows[0].get("exhaustive"))
    for category in categories:
        for name in words.category_tags.get(source, {}).get(category, [category])[:1]:
            if name in known:
                absent[known[name]] = 1.0 if exhaustive else OTHER_CATEGORY
    return Supervision(positives, unsure, absent)


def teacher_targets(predictions: Floats, class_tags: Floats) -> Floats:
    """Class probabilities [B, 10, 1000] -> tag targets [B, T]."""
    tags = np.clip(predictions @ class_tags, 0.0, 1.0)
    target: Floats = np.maximum(tags[:, 0], WINDOW * tags[:, 1:].max(1))
    return target
