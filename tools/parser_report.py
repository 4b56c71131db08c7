"""Score the caption parser on the gold captions, beside a plain noun lookup; write docs/parser.md.

    python tools/parser_report.py --half tuning --errors     # while rules are changed
    python tools/parser_report.py -o docs/parser.md          # both halves, once at the end
    python tools/parser_report.py --labels tag_list.txt      # closed mode with another tag list

How tags are counted (rules fixed before the parser was run): a tag is right if its name is one of
those that the gold gives and it is negated where the gold is, once a caption. Neither right nor
wrong: names marked optional, parts of a compound, and generic words (`NEUTRAL`). Closed mode wants
the gold tags that the label set has under the same kind; for a compound that it has not, the head.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anytag.labels.labelset import LabelSet, read_tag_list
from anytag.labels.lexicon import load_lexicon
from anytag.labels.parse import CaptionParser
from anytag.labels.words import CLOSED

ROOT = Path(__file__).parent.parent
STYLES = ("coco", "web", "region", "noisy")
_NEUTRAL_WORDS = """
be have do get make look take use go come show see put give keep let seem include contain
feature need want like try help front side top back bottom middle center background
foreground group pair piece lot kind type part edge end area view photo picture image
photograph shot set couple bunch day time thing way number variety stock closeup close-up
distance half row line year other same own such many several few various different
"""
NEUTRAL = frozenset(_NEUTRAL_WORDS.split())
#: gives (name, negated) of one caption
Finder = Callable[[str], set[tuple[str, bool]]]


@dataclass
class Score:
    """Counts of one style."""

    right: int = 0
    wrong: int = 0
    missed: int = 0
    errors: list[str] = field(default_factory=list)

    def add(self, other: Score) -> None:
        self.right += other.right
        self.wrong += other.wrong
        self.missed += other.missed

    @property
    def precision(self) -> float:
        return self.right / max(1, self.right + self.wrong)

    @property
    def recall(self) -> float:
        return self.right / max(1, self.right + self.missed)

    @property
    def f1(self) -> float:
        return 2 * self.right / max(1, 2 * self.right + self.wrong + self.missed)


def kind_class(kind: str) -> str:
    return "thing" if kind in ("object", "scene") else kind


def wanted(row: dict[str, Any], labels: LabelSet | None) -> list[tuple[set[str], bool]]:
    """The names that count as right for each gold tag, and whether it is negated."""
    result = []
    for tag in row["tags"]:
        names = set(tag["names"])
        if labels is not None:
            names = closed_names(tag, labels)
        if names:
            result.append((names, bool(tag.get("negated"))))
    return result


def closed_names(tag: dict[str, Any], labels: LabelSet) -> set[str]:
    """The label of a gold tag: of one of its names, or of the head of its compound."""
    candidates = list(tag["names"])
    if not tag.get("opaque"):
        candidates += [name.split()[-1] for name in tag["names"] if " " in name]
    for name in candidates:
        label = labels.find(name)
        if label is not None and (
            label.kind is None or kind_class(label.kind) == kind_class(tag["kind"])
        ):
            return {label.name}
    return set()


def neutral(row: dict[str, Any], labels: LabelSet | None) -> set[str]:
    """Names that count neither way."""
    found = set(NEUTRAL)
    for tag in row.get("optional", []):
        found.update(part for name in tag["names"] for part in parts(name))
    for tag in row["tags"]:
        if labels is not None:
            found.update(part for name in tag["names"] for part in parts(name) if " " in name)
            surface = row["caption"][slice(*tag["span"])].lower()
            if " " in surface and not tag.get("opaque"):
                found.update(parts(surface))
        elif not tag.get("opaque"):
            found.update(part for name in tag["names"] if " " in name for part in parts(name))
    if labels is not None:
        found |= {label.name for name in found if (label := labels.find(name)) is not None}
    return found


def parts(name: str) -> set[str]:
    """All runs of words of a name."""
    words = name.split()
    return {" ".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)}


def score(rows: Iterable[dict[str, Any]], find: Finder, labels: LabelSet | None) -> Score:
    total = Score()
    for row in rows:
        found = find(row["caption"])
        gold = wanted(row, labels)
        ignored = neutral(row, labels)
        right: set[tuple[str, bool]] = set()
        missed = []
        for names, negated in gold:
            hit = {(name, negated) for name in names} & found
            right |= hit
            total.right += bool(hit)
            if not hit:
                missed.append("/".join(sorted(names)) + ("!" if negated else ""))
        wrong = [one for one in found - right if one[0] not in ignored]
        total.wrong += len(wrong)
        total.missed += len(missed)
        if wrong or missed:
            extra = ", ".join(name + ("!" if negated else "") for name, negated in sorted(wrong))
            total.errors.append(f"{row['id']}: {row['caption']}  +[{extra}] -[{', '.join(missed)}]")
    return total


def of_parser(parser: CaptionParser) -> Finder:
    return lambda caption: {(tag.name, tag.negated) for tag in parser.parse(caption)}


def noun_lookup(labels: LabelSet | None) -> Finder:
    """The baseline: every word that WordNet knows as a noun; every run of words that is a label."""
    lexicon = load_lexicon()

    def lemma(word: str) -> str:
        noun = lexicon.analyse(word).noun
        return noun.lemma if noun else word

    def find_open(caption: str) -> set[tuple[str, bool]]:
        words = re.findall(r"[a-z]+(?:[-'][a-z]+)*", caption.lower())
        return {(lemma(w), False) for w in words if w not in CLOSED and lexicon.analyse(w).noun}

    def find_closed(caption: str) -> set[tuple[str, bool]]:
        assert labels is not None
        words = re.findall(r"[a-z]+(?:[-'][a-z]+)*", caption.lower())
        found, index = set(), 0
        while index < len(words):
            for size in (3, 2, 1):
                run = words[index : index + size]
                label = labels.find(" ".join(run)) or labels.find(
                    " ".join([*run[:-1], lemma(run[-1])])
                )
                if label is not None:
                    found.add((label.name, False))
                    index += size - 1
                    break
            index += 1
        return found

    return find_open if labels is None else find_closed


def details(rows: list[dict[str, Any]], parser: CaptionParser) -> dict[str, str]:
    """Span, kind, negation and quantity of open tags that have the right name."""
    counts: Counter[str] = Counter()
    for row in rows:
        tags = parser.parse(row["caption"])
        for gold in row["tags"]:
            same = [tag for tag in tags if tag.name in gold["names"]]
            if not same:
                continue
            start = gold["span"][0]
            tag = min(same, key=lambda one: abs(one.start - start))
            counts["n"] += 1
            counts["span"] += [tag.start, tag.end] == gold["span"]
            counts["class"] += kind_class(tag.kind) == kind_class(gold["kind"])
            counts["kind"] += tag.kind == gold["kind"]
            for key, value, expected in (
                ("negated", tag.negated, bool(gold.get("negated"))),
                ("quantity", tag.quantity, gold.get("quantity")),
            ):
                counts[f"{key} gold"] += bool(expected)
                counts[f"{key} found"] += bool(value)
                counts[f"{key} right"] += bool(expected) and value == expected
    n = counts["n"]
    return {
        "span exact": f"{counts['span'] / n:.3f}",
        "kind (thing, attribute, action)": f"{counts['class'] / n:.3f}",
        "kind (four kinds)": f"{counts['kind'] / n:.3f}",
        **{
            key: f"{counts[f'{key} right']} of {counts[f'{key} gold']}, "
            f"{counts[f'{key} found']} given"
            for key in ("negated", "quantity")
        },
    }


def load_labels(path: Path) -> LabelSet:
    if path.suffix == ".json":
        return LabelSet.load(path)
    return LabelSet.from_names(read_tag_list(path))


def table(rows: list[dict[str, Any]], labels: LabelSet, *, errors: bool) -> list[str]:
    """Markdown lines of one half."""
    lines = [
        "| mode | style | captions | P | R | F1 | lookup P | lookup R | lookup F1 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for mode in ("closed", "open"):
        own = labels if mode == "closed" else None
        parser = CaptionParser.closed(labels) if own else CaptionParser.open()
        total, plain_total = Score(), Score()
        for style in (*STYLES, "all"):
            part = [row for row in rows if row["style"] == style]
            if style == "all":
                one, plain, part = total, plain_total, rows
            else:
                one = score(part, of_parser(parser), own)
                plain = score(part, noun_lookup(own), own)
                total.add(one)
                plain_total.add(plain)
            if errors and style != "all":
                print(f"--- {mode} {style}", *one.errors, sep="\n")
            figures = [one.precision, one.recall, one.f1, plain.precision, plain.recall, plain.f1]
            lines.append(
                f"| {mode} | {style} | {len(part)} | "
                + " | ".join(f"{figure:.3f}" for figure in figures)
                + " |"
            )
    return lines


def main() -> None:
    """Command line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--gold", type=Path, default=ROOT / "tests/gold/captions.jsonl")
    options.add_argument("--labels", type=Path, default=ROOT / "tests/gold/labels.json")
    options.add_argument("--half", choices=["tuning", "held-out"])
    options.add_argument("--errors", action="store_true")
    options.add_argument("-o", type=Path)
    given = options.parse_args()
    rows = [json.loads(line) for line in given.gold.read_text(encoding="utf-8").splitlines()]
    labels = load_labels(given.labels)
    text: list[str] = []
    for half in [given.half] if given.half else ["held-out", "tuning"]:
        part = [row for row in rows if row["half"] == half]
        text += [f"### {half.capitalize()} half", ""]
        text += table(part, labels, errors=given.errors)
        text += ["", "Open tags with the right name: "]
        text += [f"* {key}: {value}" for key, value in details(part, CaptionParser.open()).items()]
        text.append("")
    print("\n".join(text))
    if given.o:
        page = given.o.read_text(encoding="utf-8")
        start, end = "<!-- figures -->", "<!-- end of figures -->"
        before, _, rest = page.partition(start)
        after = rest.partition(end)[2]
        given.o.write_text(before + start + "\n" + "\n".join(text) + end + after, encoding="utf-8")


if __name__ == "__main__":
    main()
