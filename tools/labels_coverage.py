"""How much of a tag list a label system of `anytag labels build` has, and why the rest is missing.

    python tools/labels_coverage.py labels/ tag_list.txt captions.txt [more captions ...]

``labels/`` is the folder that the build wrote; the captions are those it was built from. Each tag
of the list falls in the first class that fits:

    label, synonym      a name of the table
    spelled otherwise   the table has it with other spaces or hyphens, or British or American
    inflected           the table has the base form, or a form of which it is the base
    too rare            parsed, but in fewer captions than --min-count
    only inside         only parsed as words of longer names, or as a pair too weak to be a name
    other reading       its words stand in captions, but the parser gives them otherwise
    not in the corpus   no caption has these words in a row (plurals undone)
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from anytag.data.captions import read_captions
from anytag.labels.counts import TagCounts
from anytag.labels.labelset import fold_name, read_tag_list
from anytag.labels.lexicon import Lexicon, load_lexicon
from anytag.labels.synonyms import spelling_key
from anytag.labels.table import read_table

_SHOWN = 40
_WORDS = re.compile(r"[a-z0-9]+(?:['-][a-z0-9]+)*")


def bases(name: str, lexicon: Lexicon) -> set[str]:
    """The name with its last word in base form, as noun and as verb."""
    *front, last = name.split(" ")
    found = lexicon.analyse(last)
    lemmas = {one.lemma for one in (found.noun, found.verb) if one}
    if found.adjective:
        lemmas.add(found.adjective[0])
    return {" ".join([*front, lemma]) for lemma in lemmas} | {name}


def runs(paths: list[Path], lexicon: Lexicon, longest: int) -> set[str]:
    """All runs of words of the captions, plurals undone at their end."""
    found: set[str] = set()
    for path in paths:
        for caption in read_captions(path):
            words = _WORDS.findall(caption.text.lower())
            for start in range(len(words)):
                for stop in range(start + 1, min(start + longest, len(words)) + 1):
                    found.add(" ".join(words[start:stop]))
    return found | {base for run in found for base in bases(run, lexicon)}


def classify(folder: Path, names: list[str], captions: list[Path]) -> Iterator[tuple[str, str]]:
    """Each name of the list with its class."""
    lexicon = load_lexicon()
    rows = [row for row in read_table(folder / "table.csv") if row.keep]
    labels = {fold_name(row.name) for row in rows if not row.merge_into}
    synonyms = {fold_name(row.name) for row in rows if row.merge_into}
    have = labels | synonyms
    spelled = {spelling_key(name) for name in have}
    based = {base for name in have for base in bases(name, lexicon)}
    counts = TagCounts.from_text((folder / "counts.tsv").read_text(encoding="utf-8"), "counts.tsv")
    parsed = {name for name, _ in counts.names}
    inside = {
        " ".join(parts[start:stop])
        for parts in (name.split(" ") for name in parsed)
        for start in range(len(parts))
        for stop in range(start + 1, len(parts) + 1)
    } | {f"{first} {second}" for first, second, _ in counts.pairs}
    said = runs(captions, lexicon, max(name.count(" ") + 1 for name in names))
    for name in map(fold_name, names):
        forms = bases(name, lexicon)
        tests = {
            "label": name in labels,
            "synonym": name in synonyms,
            "spelled otherwise": spelling_key(name) in spelled,
            "inflected": bool(forms & have) or name in based,
            "too rare": bool(forms & parsed),
            "only inside": bool(forms & inside),
            "other reading": bool(forms & said),
        }
        yield name, next((what for what, fits in tests.items() if fits), "not in the corpus")


def main(folder: Path, tag_list: Path, captions: list[Path]) -> None:
    """Print the share of each class, and tags of it."""
    names = read_tag_list(tag_list)
    classes = dict(classify(folder, names, captions))
    counts = Counter(classes.values())
    order = ["label", "synonym", "spelled otherwise", "inflected", "too rare", "only inside"]
    order += ["other reading", "not in the corpus"]
    found = sum(counts[what] for what in order[:4])
    print(f"{found} of {len(classes)} tags ({found / len(classes):.1%}) are found or matched")
    for what in order:
        some = [name for name, one in classes.items() if one == what]
        some = some[:: max(1, len(some) // _SHOWN)]
        print(f"{what:18} {counts[what]:5} {counts[what] / len(classes):6.1%}  {', '.join(some)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [Path(one) for one in sys.argv[3:]])
