"""Make the parser's word table from WordNet 3.0 (Debian package ``wordnet-base``).

    python tools/build_lexicon.py /usr/share/wordnet src/anytag/labels/data

Writes ``lexicon.tsv``, plain UTF-8 text with three kinds of lines:

    word TAB options              dog       h42 v2         every part of speech with its count
    -form TAB base forms          -geese    n:goose        irregular inflections
    +phrase TAB noun class[=]     +hot dog  o              "=": the last word names it too

Noun classes: h person, animal or vehicle (what acts), o other thing, s scene, e event or act,
q colour, x idea. Then v verb, a adjective, r adverb, i first of all a name. Counts are those of the
sense-tagged corpus. Names of individuals and scientific names are left out, and phrases whose first
word is only a noun, unless the last word misleads ("teddy bear"): two nouns in a row are a compound
without a table.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from nano.wordnet import Synset, WordNet


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


SCENE_WORDS = _set(
    "room geological_formation body_of_water region tract land way establishment "
    "atmospheric_phenomenon weather social_gathering ceremony vegetation building_complex "
    "facility beginning_of_day sky marketplace stadium platform watercourse"
)
NOTICE = Path("/usr/share/doc/wordnet-base/copyright")
ACTOR_WORDS = ("person", "animal", "vehicle", "social group")
#: phrases that mislead more than they help: plain adjective and noun
PLAIN_ADJECTIVES = _set(
    "best young old little big small large tall good bad new great other long short poor rich"
)
NO_SCENE = frozenset(["tube", "conduit", "ladder", "pipe", "stairway"])
TIMES = frozenset(["hour", "time of day", "season", "day", "night"])
PLACES = _set(
    "German French Persian Siamese Christmas Easter Chinese Japanese American English Scottish "
    "Irish Welsh Italian Swiss Dutch Indian Australian African Asian European Arabian Bernese "
    "Siberian Turkish Egyptian Mexican Canadian Boston Yorkshire Shetland Afghan Bengal Adirondack"
)
SEEN = _set("artifact food plant animal person object body substance location group phenomenon")
COLOURS = _set("black white red green blue yellow brown grey gray pink orange")
KEEP_AFTER_COLOUR = _set(
    "wine bean beans pepper onion cabbage tea belt board bear box panda squirrel"
)
VETO = frozenset(
    [
        "light brown",
        "light blue",
        "light green",
        "light red",
        "dark red",
        "dark blue",
        "dark brown",
        "white horse",
        "black woman",
        "black man",
        "white woman",
        "white man",
        "white people",
        "black people",
        "third person",
        "first person",
        "hot water",
        "cold water",
        "green light",
        "open air",
        "open door",
        "high street",
        "sun rose",
        "blue flag",
        "black cat",
        "right side",
        "left side",
        "back yard",
        "living thing",
        "dead body",
        "red dog",
        "white house",
        "red man",
        "blue sky",
        "clear sky",
        "red light",
        "fresh fish",
        "white cloud",
        "brown hand",
    ]
)
_WORD = re.compile(r"[a-z]+(?:['-][a-z]+)*")
_SCIENTIFIC = re.compile(r"\b(genus|family|order|phylum|subfamily|suborder|superfamily)\b")
_NAMED = frozenset(["artifact", "time", "food", "event", "communication", "attribute", "act"])


def is_common(synset: Synset, word: str) -> bool:
    """Whether the sense is a kind of thing and not an individual or a scientific name."""
    if synset.is_instance:
        return False
    written = next((lemma for lemma in synset.lemmas if lemma.lower() == word), word)
    if written == word:
        return True
    if " " in written and written.rsplit(" ", 1)[1].islower() and written.split(" ")[0] in PLACES:
        return True  # "German shepherd"
    return synset.topic in _NAMED and not _SCIENTIFIC.search(synset.gloss)


def noun_class(wordnet: WordNet, sense: Synset) -> str:
    """The letter of a noun sense."""
    above = {lemma for up in wordnet.ancestors(sense) for lemma in up.lemmas}
    above.update(sense.lemmas)
    scene = any(word.replace("_", " ") in above for word in SCENE_WORDS)
    scene = scene and sense.topic != "body" and not above & NO_SCENE
    if any(word in above for word in ACTOR_WORDS) and sense.topic != "food":
        return "h"
    if scene or sense.topic in ("location", "phenomenon") or above & TIMES:
        return "s"
    if sense.topic in ("act", "event"):
        return "e"
    if "color" in above or "chromatic color" in above:
        return "q"
    if sense.topic in (
        "artifact",
        "food",
        "plant",
        "body",
        "object",
        "substance",
        "group",
        "shape",
    ):
        return "o"
    return "x"


def word_lines(wordnet: WordNet) -> Iterable[str]:
    """One line for each single word."""
    options: dict[str, list[str]] = {}
    for word, pos in sorted(wordnet.index):
        if not _WORD.fullmatch(word):
            continue
        letter = pos
        if pos == "n":
            if wordnet.senses(word, "n")[0].is_instance:
                options.setdefault(word, []).append("i")
            senses = [one for one in wordnet.senses(word, "n") if is_common(one, word)]
            if not senses:
                continue
            letter = noun_class(wordnet, senses[0])
        count = wordnet.counts.get((word, pos), 0)
        options.setdefault(word, []).append(f"{letter}{count or ''}")
    for word, found in options.items():
        if found != ["i"]:
            yield f"{word}\t{' '.join(found)}"


def exception_lines(wordnet: WordNet) -> Iterable[str]:
    """One line for each irregular form of a single word."""
    forms: dict[str, list[str]] = {}
    for (form, pos), base in sorted(wordnet.exceptions.items()):
        if _WORD.fullmatch(form) and _WORD.fullmatch(base) and form != base and pos != "r":
            forms.setdefault(form, []).append(f"{pos}:{base}")
    for form, bases in forms.items():
        yield f"-{form}\t{' '.join(bases)}"


def phrase_lines(wordnet: WordNet) -> Iterable[str]:
    """One line for each noun phrase that two nouns in a row would not give."""
    for word, pos in sorted(wordnet.index):
        parts = word.split(" ")
        if pos != "n" or not 2 <= len(parts) <= 3 or word in VETO:
            continue
        if parts[0] in ("pair", "set", "piece"):
            continue
        if not all(_WORD.fullmatch(part) for part in parts) or parts[0] in PLAIN_ADJECTIVES:
            continue
        first = {one for one in "nva" if (parts[0], one) in wordnet.index}
        inflected = parts[0].endswith(("ing", "ed", "s")) or (parts[0], "v") in wordnet.exceptions
        gerund = parts[-1].endswith("ing")  # "rock climbing"
        senses = [one for one in wordnet.senses(word, "n") if is_common(one, word)]
        topics = {one.topic for one in senses}
        if not topics & SEEN and not (gerund and "act" in topics):
            continue
        above = {
            lemma.split()[-1]
            for one in senses
            for up in wordnet.ancestors(one)
            for lemma in up.lemmas
        }
        plain = first == {"n"} and not inflected and not gerund
        if plain and (
            parts[-1] in above or ((parts[-1], "v") in wordnet.index and parts[-1] != "bear")
        ):
            continue  # only what its last word does not name: "sea lion", "teddy bear"
        if parts[0] in COLOURS and parts[-1] not in above | KEEP_AFTER_COLOUR:
            continue  # "black cat" is a marten, "white horse" a chalk figure
        yield f"+{word}\t{noun_class(wordnet, senses[0])}{'=' if parts[-1] in above else ''}"


def main(source: Path, target: Path) -> None:
    """Write the table and the licence notice."""
    wordnet = WordNet.load(source)
    lines = [*word_lines(wordnet), *exception_lines(wordnet), *phrase_lines(wordnet)]
    (target / "lexicon.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    notice = NOTICE.read_text(encoding="utf-8").partition("\nFiles: debian/*")[0]
    (target / "lexicon.LICENSE").write_text(notice, encoding="utf-8")
    print(f"{len(lines)} lines, {(target / 'lexicon.tsv').stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
