"""What closed classes do: they are no tags, but move the state of the clause.

Among them the reach of a negation: "no" and "without" take the next noun phrase, and go on over
"or"; "not" takes what follows up to a preposition or the end of the clause.
"""

from __future__ import annotations

from anytag.labels.grammar import BREAK, COUNT, NEGATED, SKIP, State


def read_closed(
    state: State, closed: str, special: str, following: str, far: str
) -> tuple[int, State]:
    """Closed classes: no tag, but they move the state."""
    start = State()
    if closed in (".", "END", "-"):
        return BREAK, start
    if closed in ("U", "W"):
        keep = State(before=closed, subject=state.subject if closed == "W" else "")
        return BREAK, keep
    if closed == ",":
        return SKIP, state._replace(
            before=",",
            coordinated=state.before,
            negation=_after_and(state, far if following[0] == "n" else "", following),
        )
    if closed == "C":
        return SKIP, state._replace(
            before="C",
            coordinated=state.before if state.before != "," else state.coordinated,
            negation=_after_and(state, special, following),
        )
    if closed == "X":
        return BREAK, state._replace(before="X", negation="np", determined=False)
    if closed == "Z":
        return SKIP, state._replace(
            before=state.before if state.before in "MF" else "Z", negation="vp", verb=True
        )
    if closed == "Q":
        action = COUNT + (NEGATED if state.negation else 0)
        return action, state._replace(before="Q")
    if closed == "P":
        return SKIP, state._replace(before="N", subject="s", negation=_noun_read(state.negation))
    return _function_word(state, closed, special)


def _function_word(state: State, closed: str, special: str) -> tuple[int, State]:
    negation = "" if state.negation == "n" else state.negation
    if closed in ("D", "L"):
        return (BREAK if closed == "D" else SKIP), state._replace(
            before="D" if closed == "D" else "L", negation=negation, determined=closed == "D"
        )
    if closed == "K":
        return SKIP, state._replace(before="K", determined=True)
    if closed == "O":
        return BREAK, State(before="O", subject="s")
    if closed in ("B", "H", "F", "M"):
        return BREAK, state._replace(before=closed, verb=True, negation=negation)
    if closed == "I":
        negation = "" if state.negation in ("n", "vp") else state.negation
        return BREAK, state._replace(before="I", negation=negation, determined=False)
    if closed == "Y":
        return SKIP, state._replace(before="Y")
    if closed == "R":
        return SKIP, state._replace(
            before="R" if state.before not in ("M", "O", "T", "B") else state.before,
            negation=negation,
        )
    return BREAK, state._replace(before=closed, negation=negation)


def _after_and(state: State, special: str, following: str) -> str:
    """Whether "no" goes on after "or", "and" or a comma."""
    if state.negation == "vp":
        return "vp" if special in ("or",) else ""
    if not state.negation:
        return ""
    if special in ("or", "nor"):
        return "np"
    if special == "and" and following[0] == "n" and "h" not in following:
        return "np"
    return ""


def _noun_read(negation: str) -> str:
    return "n" if negation == "np" else negation
