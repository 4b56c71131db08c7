"""The word classes that the rules see, and the state of a clause while it is read.

A word is reduced to a `WordClass`, of which a corpus has some hundreds; what follows it to a short
code. The decision for a word (`rules.decide`) depends on these and on the `State` alone, so that it
is made once and remembered: reading a caption is then a walk through a table.
"""

from __future__ import annotations

from typing import NamedTuple

from anytag.labels.lexicon import Analysis
from anytag.labels.words import CLOSED, COUNTS_BEFORE_OF, NUMBERS, QUANTIFIERS, STATE_VERBS

#: actions: what a word becomes
SKIP, NOUN, ADJECTIVE, VERB, COUNT, BREAK = range(6)
#: added to an action where "no" or "not" governs the word
NEGATED = 8


class WordClass(NamedTuple):
    """All that the rules know about a word."""

    #: a closed class of `words.CLOSED`, or "." , "END", "X" (no word), "L" (quantifier), "P" (name)
    closed: str = ""
    #: "s", "p" or "" (no noun)
    noun: str = ""
    #: "b", "s", "g", "d", "bd" or "" (no verb)
    verb: str = ""
    adjective: bool = False
    #: share of the verb reading: 0 none or rare, 1 from 0.12, 2 from 0.4, 3 from 0.6, 4 from 0.9
    verb_share: int = 0
    #: share of the adjective reading among noun and adjective: 0 to 4, same steps
    adjective_share: int = 0
    #: a person, animal or vehicle
    actor: bool = False
    #: its -ing form describes ("falling leaves") and names no sort of thing
    stative: bool = False
    #: words with rules of their own: "or", "wait", "couple", ...
    special: str = ""


_NEXT_CLOSED = {
    **{code: code for code in (",", "D", "J", "I", "R", "T", "Y", "C", "U", "B", "P")},
    **dict.fromkeys([".", "END", "-"], "."),
    **dict.fromkeys(["Q", "L"], "J"),
}


class State(NamedTuple):
    """Where in a clause the reader is."""

    #: class of the word before: "." at the start, "N" or "P" nouns, "A", "V", "G", "E" verbs in
    #: base, -ing and past form, or a closed class
    before: str = "."
    #: the same of the word before "and", "or" or a comma
    coordinated: str = ""
    #: number of the noun that may be the subject: "", "s" or "p"
    subject: str = ""
    #: the clause has its finite verb
    verb: bool = False
    #: "" none; "np" a negated noun is awaited; "n" it is being read; "vp" until the phrase ends
    negation: str = ""
    #: a determiner or possessive opened the noun phrase
    determined: bool = False
    #: the noun before is a person, animal or vehicle
    actor: bool = False


_SPECIAL = frozenset(["or", "nor", "and", "wait", *COUNTS_BEFORE_OF])
END = WordClass(closed="END")
NOTHING = WordClass(closed="-")
NAME = WordClass(closed="P")


def word_class(word: str, analysis: Analysis, *, is_name: bool = False) -> WordClass:
    """The class of a word in lower case."""
    if word in (".", ","):
        return WordClass(closed=word)
    if word == "-":
        return WordClass(closed=".")
    if word == "":
        return NOTHING
    if word == "'" or word == "'s":
        return WordClass(closed="K")
    special = word if word in _SPECIAL else ""
    closed = CLOSED.get(word, "")
    if word in NUMBERS or (word.isdigit() and len(word) < 7):
        return WordClass(closed="Q", special=special)
    if word in QUANTIFIERS and word != "left":
        return WordClass(closed="L")
    if closed and word != "can":
        return WordClass(closed=closed, special=special)
    if is_name and (analysis.unknown or analysis.name):
        return NAME
    if analysis.adverb and not (analysis.noun or analysis.verb or analysis.adjective):
        return WordClass(closed="R")
    noun, verb, adjective = analysis.noun, analysis.verb, analysis.adjective
    total = analysis.total or 1
    nominal = (noun.weight if noun else 0) + (adjective[1] if adjective else 0)
    return WordClass(
        closed="M" if word == "can" else "",
        noun=noun.number if noun else "",
        verb=verb.inflection if verb else "",
        adjective=adjective is not None,
        verb_share=_step(verb.weight / total) if verb else 0,
        adjective_share=_step(adjective[1] / nominal) if adjective else 0,
        actor=noun is not None and noun.letter == "h",
        stative=verb is not None and verb.lemma in STATE_VERBS,
        special=special,
    )


def phrase_class(letter: str, plural: bool) -> WordClass:
    """The class of several words that are one."""
    if letter == "v":
        return WordClass(verb="b", verb_share=4)
    if letter == "a":
        return WordClass(adjective=True, adjective_share=4)
    return WordClass(noun="p" if plural else "s", actor=letter == "h")


def next_code(word: WordClass) -> str:
    """What the rules may know of the next word: as little as they ask for, in a short code.

    "." an end, "," "D" "J" (a pronoun or number) "I" "R" "T" "Y" "C" "U" "B" as in `words.CLOSED`,
    "o" other closed classes, "P" a name; "v" and the inflection of what is only a verb; "n", the
    number and "h" for an actor; "a" an adjective.
    """
    if word.closed:
        return _NEXT_CLOSED.get(word.closed, "o")
    if word.verb and word.verb_share == 4 and not word.adjective:
        return "v" + word.verb
    if word.noun:
        return "n" + word.noun + ("h" if word.actor else "")
    return "a" if word.adjective else "v" + word.verb


def far_code(word: WordClass) -> str:
    """What the rules may know of the second next word: "a" adjective, "n" other content, "or"."""
    if word.special in ("or", "nor"):
        return "or"
    if word.closed and word.closed != "M":
        return ""
    return "a" if word.adjective and (not word.noun or word.adjective_share >= 2) else "n"


def _step(share: float) -> int:
    return sum(share >= limit for limit in (0.12, 0.4, 0.6, 0.9))
