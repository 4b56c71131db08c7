"""Make nano's label system: everyday tags, ImageNet classes -> tags, data set names -> tags.

    python tools/nano/build_labels.py --wordnet /usr/share/wordnet \
        --imagenet weights/imagenet_labels_1001.txt --out work/labels

Sources: WordNet 3.0 (Debian ``wordnet-base``, WordNet licence) and the hand-written lists beside
this file (everyday.txt, extra_tags.txt, candidates.txt, imagenet_names.txt, categories.txt,
datasets.txt). ``--categories FOLDER`` adds the names in ``FOLDER/*.categories.txt``.
Writes classes.json, tags.json, candidate_tags.json, name_map.json, README.md.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from tag_tree import Tag, TagTree, content_lines, fold, read_tags, split
from wordnet import Synset, WordNet

from anytag.inference.static_text import singulars

HERE = Path(__file__).parent
#: photo sets whose categories are first words of ImageNet classes
IMAGENET_SETS = ("imagenet-val", "imagenette", "imagewoof", "pet-breeds")

#: the sense where several with the same words fit between their neighbours in ImageNet's order
IMAGENET_SENSES = {
    "beaker": "n02815834",
    "bib": "n02834397",
    "cannon": "n02950826",
    "cloak": "n03045698",
    "envelope": "n03291819",
    "half track": "n03478589",
    "monitor": "n03782006",
    "planetarium": "n03956157",
    "rotisserie": "n04111531",
    "spatula": "n04270147",
    "spider web, spider's web": "n04275548",
    "groom, bridegroom": "n10148035",
}


@dataclass
class ImageNetClass:
    """One of the 1,000 classes with its sense and its everyday name."""

    index: int
    synset: Synset
    name: str
    synonyms: list[str]
    extra_parents: list[str]
    #: parents through WordNet are dropped
    only_extra: bool


def imagenet_synsets(labels: list[str], wordnet: WordNet) -> list[Synset]:
    """The synset of each class: its words are exactly the label, and ids rise with the index."""
    by_words: dict[str, list[Synset]] = {}
    for synset in wordnet.synsets.values():
        if synset.id[0] == "n":
            by_words.setdefault(", ".join(synset.lemmas), []).append(synset)
    found: list[Synset] = []
    for index, label in enumerate(labels):
        fitting = by_words[label]
        later = [by_words[text][0].id for text in labels[index + 1 :] if len(by_words[text]) == 1]
        low, high = (found[-1].id if found else "n0"), (later[0] if later else "n9")
        fitting = [synset for synset in fitting if low < synset.id < high]
        wanted = IMAGENET_SENSES.get(label)
        found.append(next(synset for synset in fitting if wanted in (None, synset.id)))
    return found


def is_latin(lemma: str, wordnet: WordNet) -> bool:
    """Whether a lemma is a scientific name such as "Tinca tinca"."""
    first, _, rest = lemma.partition(" ")
    genus = ("genus " + first.lower(), "n") in wordnet.index
    return bool(rest) and first[0].isupper() and genus and rest.islower()


def read_classes(labels: list[str], wordnet: WordNet) -> list[ImageNetClass]:
    """Classes with the everyday names and extra parents of imagenet_names.txt."""
    overrides = dict(
        re.split(r"\s+=\s*", line, maxsplit=1)
        for line in content_lines(HERE / "imagenet_names.txt")
    )
    seen: dict[str, int] = {}
    classes = []
    for index, synset in enumerate(imagenet_synsets(labels, wordnet)):
        first = synset.lemmas[0]
        seen[first] = seen.get(first, 0) + 1
        key = first if seen[first] == 1 else f"{first}#{seen[first]}"
        rule, _, dropped = overrides.pop(key, "").partition("~")
        dropped, marker, after = dropped.partition("<")
        names, _, parents = (rule + marker + after).partition("<")
        given = split(names, ";") or [first.lower()]
        lemmas = [lemma.lower() for lemma in synset.lemmas if not is_latin(lemma, wordnet)]
        without = {fold(word) for word in split(dropped, ",")} | {fold(given[0])}
        synonyms = [word for word in dict.fromkeys(given[1:] + lemmas) if fold(word) not in without]
        extra = split(parents.lstrip("<"), ",")
        classes.append(
            ImageNetClass(index, synset, given[0], synonyms, extra, parents.startswith("<"))
        )
    if overrides:
        raise SystemExit(f"imagenet_names.txt names classes that do not exist: {sorted(overrides)}")
    return classes


def anchor_map(
    tags: Iterable[Tag], classes: list[ImageNetClass], wordnet: WordNet
) -> dict[str, list[str]]:
    """Synset id -> names of the tags that are given to every class at or below it."""
    used = {one.synset.id for one in classes}
    used |= {up.id for one in classes for up in wordnet.ancestors(one.synset)}
    anchors: dict[str, list[str]] = {}
    for tag in tags:
        for anchor in tag.anchors:
            if anchor == "-":
                continue
            word, _, number = anchor.partition("#")
            senses = wordnet.senses(word)
            senses = [senses[int(number) - 1]] if number else [s for s in senses if s.id in used]
            if not senses or not any(synset.id in used for synset in senses):
                print(f"note: {tag.name!r}: {anchor!r} is above no ImageNet class")
            for synset in senses:
                anchors.setdefault(synset.id, []).append(tag.name)
    return anchors


def add_classes(tree: TagTree, classes: list[ImageNetClass], wordnet: WordNet) -> None:
    """Give every class a tag, with parents through WordNet and from the list."""
    anchors = anchor_map(list(tree.tags.values()), classes, wordnet)
    own = {}
    for one in classes:
        above = [] if one.only_extra else [one.synset, *wordnet.ancestors(one.synset)]
        found = [name for synset in above for name in anchors.get(synset.id, ())]
        parents = [name for name in dict.fromkeys(one.extra_parents + found) if name != one.name]
        kind = "object"
        own[one.index] = tree.add(Tag(one.name, kind, list(one.synonyms), parents, ["-"]))
    tree.check()
    for tag in own.values():  # a parent that another parent implies is said once
        implied = {up for name in tag.parents for up in tree.closure([name])[1:]}
        tag.parents = [name for name in tag.parents if name not in implied]


class CategoryMap:
    """Finds the tags that a photo set's category implies: rules, ImageNet words, then names."""

    def __init__(self, tree: TagTree, classes: list[ImageNetClass]) -> None:
        self._tree = tree
        self._rules: list[tuple[str, str, list[str]]] = []
        for line in content_lines(HERE / "datasets.txt"):
            left, _, right = line.partition("=")
            name, _, category = left.partition("|")
            self._rules.append((name.strip(), fold(category), split(right, ",")))
        self._names = {fold(word): tag for tag, words in tree.synonyms().items() for word in words}
        self._names |= {key: tag.name for key, tag in tree.tags.items()}
        self._lemmas: dict[str, set[str]] = {}
        for one in classes:
            self._lemmas.setdefault(fold(one.synset.lemmas[0]), set()).add(one.name)

    def tags(self, set_name: str, category: str) -> list[str]:
        """Tags with their parents, the nearest first; empty where nothing follows."""
        key = fold(category.replace("-", " "))
        if set_name.startswith(IMAGENET_SETS):
            tags = self._rule(set_name, key) or self._imagenet(fold(category))
        else:
            tags = self._rule(set_name, key) or self._rule("*", key)
        if tags is None:
            keys = (fold(category), key, *singulars(key), key.replace(" ", ""))
            tags = [self._names[word] for word in keys if word in self._names][:1]
            if not tags:
                print(f"note: {set_name}: no tag for {category!r}")
        return self._tree.closure(tag for tag in tags if tag != "-")

    def _rule(self, set_name: str, key: str) -> list[str] | None:
        fits = (tags for name, rule, tags in self._rules if name == set_name and fnmatch(key, rule))
        return next(fits, None)

    def _imagenet(self, word: str) -> list[str] | None:
        """The class's tag; for two classes of one word what is true of both, maybe nothing."""
        names = sorted(self._lemmas.get(word, ()))
        if len(names) < 2:
            return names or None
        shared = set.intersection(*(set(self._tree.closure([name])) for name in names))
        return [name for name in self._tree.closure([names[0]]) if name in shared] or ["-"]


def read_categories(folder: Path | None) -> dict[str, list[str]]:
    """Category names by photo set."""
    result = {}
    for line in content_lines(HERE / "categories.txt"):
        name, _, names = line.partition(":")
        result[name] = split(names, ",")
    for path in sorted(folder.glob("*.categories.txt")) if folder else ():
        result[path.name.removesuffix(".categories.txt")] = content_lines(path)
    return result


def write_json(path: Path, rows: object) -> None:
    """Write a list one entry a line, by way of a temporary file."""
    if isinstance(rows, list):
        text = "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"
    else:
        text = json.dumps(rows, ensure_ascii=False, indent=1) + "\n"
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    parser.add_argument("--imagenet", type=Path, required=True, help="imagenet_labels_1001.txt")
    parser.add_argument("--categories", type=Path, help="folder with *.categories.txt")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    wordnet = WordNet.load(args.wordnet)
    labels = args.imagenet.read_text(encoding="utf-8").splitlines()[1:]
    classes = read_classes(labels, wordnet)
    tree = TagTree(read_tags(HERE / "everyday.txt") + read_tags(HERE / "extra_tags.txt"))
    add_classes(tree, classes, wordnet)
    tags = list(tree.tags.values())
    args.out.mkdir(parents=True, exist_ok=True)
    class_rows = [
        {
            "index": one.index,
            "synset": one.synset.id,
            "lemmas": list(one.synset.lemmas),
            "gloss": one.synset.definition,
            "tags": tree.closure([one.name]),
        }
        for one in classes
    ]
    write_json(args.out / "classes.json", class_rows)
    write_json(args.out / "tags.json", tree.rows(tags))
    finder = CategoryMap(tree, classes)
    name_map = {
        name: {category: finder.tags(name, category) for category in names}
        for name, names in read_categories(args.categories).items()
    }
    write_json(args.out / "name_map.json", name_map)
    candidates = [tree.add(tag) for tag in read_tags(HERE / "candidates.txt")]
    tree.check()
    known = {tag.name for tag in tags}
    candidates = [tag for tag in candidates if tag.name not in known]
    write_json(args.out / "candidate_tags.json", tree.rows(candidates))
    print(f"{len(classes)} classes, {len(tags)} tags, {len(candidates)} candidates -> {args.out}")


if __name__ == "__main__":
    main()
