"""What a word is in its place: some thirty local rules over word classes.

Written for captions, which are fragments in lower case with few verbs; general taggers do worse on
them. The rules are not meant for long prose.
"""

from __future__ import annotations

from anytag.labels.function_words import read_closed
from anytag.labels.grammar import ADJECTIVE, COUNT, NEGATED, NOUN, VERB, State, WordClass
from anytag.labels.words import COUNTS_BEFORE_OF

#: classes after which a noun phrase goes on
_OPENS_NOUN = frozenset("DAKQLXZ")
#: classes of a following word that begin an object or complement of a verb
_OBJECT = frozenset("DJ")
_ENDS = frozenset(".,")


def decide(state: State, word: WordClass, following: str, far: str) -> tuple[int, State]:
    """The action for a word, and the state after it.

    Args:
        state: of the clause so far
        word: its class
        following: `grammar.next_code` of the next word
        far: `grammar.far_code` of the one after
    """
    action, after = _decide(state, word, following, far)
    return action, _needed(after)


def _needed(state: State) -> State:
    """The state without what no rule will ask for: few states keep the table small."""
    before = state.before
    return State(
        before,
        state.coordinated if before in ",CDAQLK" else "",
        state.subject,
        state.verb,
        state.negation,
        state.determined and before in "DAQLKNP",
        state.actor and before in "NPR",
    )


def _decide(state: State, word: WordClass, following: str, far: str) -> tuple[int, State]:
    closed = word.closed
    if closed == "M" and word.noun:  # "can"
        closed = "" if _is_noun_can(state, following) else "M"
    if closed:
        return read_closed(state, closed, word.special, following, far)
    if word.special in COUNTS_BEFORE_OF and following == "Y":  # "a pair of boots"
        return COUNT, state._replace(before="Q")
    pos = pick(state, word, following, far)
    action = {"N": NOUN, "A": ADJECTIVE, "V": VERB}[pos]
    if state.negation and not (state.negation == "n" and pos == "V"):
        action += NEGATED
    return action, _after(state, word, pos)


def pick(state: State, word: WordClass, following: str, far: str) -> str:
    """Part of speech of an open-class word: N, A or V."""
    if word.verb in ("g", "d") and not (word.noun and word.verb_share < 2):
        return _participle(state, word, following)
    if word.verb == "g":  # mostly a noun: "a painting", but "a man painting a wall"
        is_verb = following in _OBJECT and (state.before == "B" or state.actor)
        return "V" if is_verb else "N"
    if word.verb and (word.noun or word.adjective):
        if word.verb == "s":
            is_verb = _third_person(state, word, following)
        elif word.verb == "d":
            is_verb = _past(state, word, following)
        else:
            is_verb = _base(state, word, following, far)
        if is_verb:
            return "V"
    elif word.verb:
        return "V"
    return _nominal(state, word, following, far)


def _is_noun_can(state: State, following: str) -> bool:
    before = state.before
    return before in "DAKQL" or (before in ".NV" and following in ("Y", ".", "I", "C", ","))


def _nominal(state: State, word: WordClass, following: str, far: str) -> str:
    """Noun or adjective."""
    if not word.adjective or not word.noun:
        return "N" if word.noun else "A"
    if state.before == "N" and word.adjective_share <= 3:  # "a street light glows"
        return "N"
    if following[0] == "n" or (following[0] in "aP" and word.adjective_share >= 2):
        return "A" if word.adjective_share >= 2 else "N"
    if word.adjective_share >= 3:
        return "A"
    if state.before == "B" and word.adjective_share >= 2:
        return "A"
    if following == "C" and far == "a" and word.adjective_share >= 2:
        return "A"
    if state.before == "C" and state.coordinated == "A" and word.adjective_share >= 2:
        return "A"
    return "N"


def _participle(state: State, word: WordClass, following: str) -> str:
    """-ing and -ed forms: verb, adjective before a noun, or noun."""
    before_noun = following[0] in "naP"
    opened = state.before in _OPENS_NOUN or state.before == "I"
    if word.verb == "g":
        if before_noun and (opened or state.before in ".,C"):
            if word.adjective and word.adjective_share and word.verb_share < 2:
                return "A"
            if following[:3] in ("nsh", "nph") or word.stative or following[0] == "a":
                return "V"
            if state.before in "DAKQL" or (state.before == "I" and following.startswith("ns")):
                return "N"
            return "N" if state.before == "." and word.verb_share < 3 else "V"
        if word.noun and word.verb_share < 4 and state.before in "DAKQ":
            return "N"
        if word.adjective and word.adjective_share and word.verb_share < 2:
            return "A"
        return "V"
    if state.before == "D" and not word.adjective and word.noun:
        return "N"
    if before_noun and (opened or state.before in ".,CV" or state.before in ("G", "R", "B")):
        return "A" if word.adjective or state.before in _OPENS_NOUN or opened else "V"
    if before_noun and state.before in (".", ",", "C"):
        return "A"
    if state.before == "B" and word.adjective and word.verb_share < 3:
        return "A"
    if state.before in ("A", "D") and following == "." and word.adjective:
        return "A"
    if word.noun and word.verb_share < 3 and state.before in _OPENS_NOUN | {"V", "G", "I"}:
        return "N"
    return "V" if word.verb_share >= 1 else "A"


def _third_person(state: State, word: WordClass, following: str) -> bool:
    """Whether a form in -s is a verb and no plural."""
    before, share = state.before, word.verb_share
    if before in _OPENS_NOUN or before in ("I", "T", "V", "G", "Y", "H", "F"):
        return False
    if before in ("O", "W"):
        return True
    if before == "N" and not state.verb and state.subject == "s":
        if following in _OBJECT or following == "T":
            return share >= 1
        if following[0] in "aP" or following[:2] == "np":
            return share >= (1 if state.actor else 3)
        if following in ("I", "R"):
            return share >= 2 or (share >= 1 and (state.determined or state.actor))
        if following in (".", ",", "C"):
            return share >= 3 or (share >= 2 and state.determined)
        if following[0] == "v":
            return False
        return share >= 3 or (share >= 2 and state.determined)
    if before == "R" and state.subject == "s" and not state.verb:
        return share >= 1
    if before == "C":
        if state.verb and state.coordinated in ("N", "V", "P"):
            return share >= 2 and (following in _OBJECT or following in ("I", "R"))
        return False
    if before in (".", ","):
        return share >= 3 and (following in _OBJECT or following in ("I", "T"))
    return share >= 4


def _past(state: State, word: WordClass, following: str) -> bool:
    """Irregular pasts that are also nouns or adjectives: "rose", "left", "saw", "felt"."""
    before = state.before
    if before in _OPENS_NOUN or before in ("I", "V", "G", "Y", "T"):
        return False
    if before in ("O", "H", "W"):
        return True
    if before in ("N", "P"):
        return not state.verb and following in ("D", "I", "J", "R", ".") and word.verb_share >= 1
    return word.verb_share >= 3


def _base(state: State, word: WordClass, following: str, far: str) -> bool:
    """Whether a base form is a verb: "park", "watch", "train", "light", "play", "fish"."""
    before, share = state.before, word.verb_share
    if word.adjective and not word.noun and following[0] in "na" and before not in ("M", "O", "T"):
        return False
    if before in _OPENS_NOUN or before in ("I", "Y"):
        return before == "Z" and share >= 2
    if before in ("M", "O", "F"):
        return share >= 1 or following in _OBJECT
    if before == "T":
        return share >= 1 and (share >= 2 or following in _OBJECT | _ENDS | {"I"})
    if before == "W":
        return share >= 2
    if before == "P":
        return _after_plural(state, word, following)
    if before == "N":
        if not state.verb and state.subject == "p":  # "a man and a woman stand"
            return share >= 3 or (share >= 2 and following in ("D", "J", "I", "R"))
        if not state.verb:
            return share >= 4 or (share >= 3 and following in ("D", "J") and word.verb != "bd")
        return share >= 3 and following in ("I", "R", "D")
    if before == "C":
        if state.coordinated == "V":
            return share >= 2 or (share >= 1 and following in _OBJECT)
        plural = state.subject == "p" and state.verb and share >= 3
        return plural and following[0] in "nDJI"
    if before == ".":
        return following == "D" and far in ("a", "n")
    if before == "J":
        return share >= 3
    if before == "R":
        return share >= 3 or (share >= 2 and state.subject == "p" and not state.verb)
    return share >= 4


def _after_plural(state: State, word: WordClass, following: str) -> bool:
    share = word.verb_share
    if following == "B" or following[:2] in ("vs", "vb"):
        return False
    if following in _OBJECT:
        return True
    if following in ("I", "T", "R") or (following == "a" and state.actor):
        return share >= 1
    if following in _ENDS or following in ("C", "U"):
        return share >= (2 if not state.verb else 3)
    return share >= (2 if not state.verb else 3)


def _after(state: State, word: WordClass, pos: str) -> State:
    """The state after an open-class word."""
    negation = state.negation
    if pos == "N":
        tag = "P" if word.noun == "p" else "N"
        if word.verb == "g" and not word.noun:
            tag = "N"
        subject = state.subject
        if state.before not in ("I", "Y", "V", "G") and not state.verb:
            subject = "p" if tag == "P" or state.coordinated in ("N", "P") else "s"
        elif not subject and not state.verb:
            subject = "p" if tag == "P" else "s"
        if negation == "np":
            negation = "n"
        return state._replace(before=tag, subject=subject, negation=negation, actor=word.actor)
    if pos == "A":
        return state._replace(before="A")
    tag = "G" if word.verb == "g" else "E" if word.verb == "d" else "V"
    finite = tag == "V" or (tag == "E" and state.before in ("O", "N", "P", "R"))
    if negation == "n" or word.special == "wait":
        negation = ""
    return state._replace(
        before=tag, verb=state.verb or finite, negation=negation, determined=False
    )
