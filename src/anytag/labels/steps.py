"""Reading as a walk through remembered steps: a word in its context -> what happened, what comes.

`rules.decide` says what a word is. A step adds the run of nouns that is being read and the number
before it, and so says when something is to be written down: most words end nothing, and the loop
over a caption passes over them with one look into a table. Word, next word and the one after are
packed into one number; a table holds the steps of one `Situation`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from anytag.labels import grammar
from anytag.labels.grammar import State, WordClass
from anytag.labels.phrases import Trie
from anytag.labels.rules import decide
from anytag.labels.vocabulary import PlainName

#: steps that are remembered; more start the memory anew
MAX_STEPS = 200_000
#: how a word, the next and the one after are packed into one number
_LOOK_BITS, _FAR_BITS = 7, 7


@dataclass(slots=True, eq=False, kw_only=True)
class Token:
    """A word of a caption, shared by all captions that have the same piece of text."""

    word: str
    #: characters to the next token
    advance: int
    #: characters of the token itself
    length: int
    #: class number, shifted
    key: int = 0
    #: what the word is to the one before, shifted
    look: int = 0
    #: what the word is to the second before
    far: int = 0
    noun: PlainName | None = None
    verb: PlainName | None = None
    adjective: PlainName | None = None
    #: of a number word
    value: int = 0
    #: phrases that begin here, None if none do
    phrases: Trie | None = None
    #: it, or its base form, is the second word of some phrase
    is_second: bool = False
    lemma: str = ""
    letter: str = "o"
    is_phrase: bool = False

    def moved(self, extra: int) -> Token:
        """The same with more space after it."""
        return replace(self, advance=self.advance + extra)


#: What is to be written down at a word:
#: nouns that end before it: 0 none, 1 one, 2 more;
#: whether "no" or "not" governs the nouns;
#: whether a number waits for the nouns, or, if there are none, for the number that this word is;
#: what the word itself is: 0, `grammar.ADJECTIVE`, `grammar.VERB` or `grammar.COUNT`;
#: whether "no" or "not" governs the word.
#: A plain tuple, which Python takes apart much faster than a named one.
Event: TypeAlias = tuple[int, bool, bool, int, bool]
#: a second noun in a row: the run began at the word before
JOINS: Event = (-1, False, False, 0, False)


class Situation(NamedTuple):
    """All that a step depends on but the words."""

    #: of the clause
    state: State = State()
    #: nouns that are being read: 0 none, 1 one, 2 more
    nouns: int = 0
    #: "no" or "not" governs them
    negated: bool = False
    #: a number waits for its noun
    counted: bool = False


#: the steps in one situation: packed words -> what happened, and the next table. Tables are plain
#: dictionaries, which Python looks into faster than into its subclasses
Steps: TypeAlias = "dict[int, tuple[Event | None, Steps]]"


class StepTables:
    """Tables of steps for the words of one vocabulary; their number of steps is bounded."""

    def __init__(self) -> None:
        self._classes = _Codes(_LOOK_BITS + _FAR_BITS)
        self._looks, self._fars = _Codes(_FAR_BITS), _Codes(0)
        self._results: dict[tuple[Event | None, Situation], tuple[Event | None, Steps]] = {}
        self._tables: dict[Situation, Steps] = {}
        #: by the identity of the table
        self._situations: dict[int, Situation] = {}
        self._num_steps = 0
        self.start = self._table(Situation())

    def coded(self, token: Token, word: WordClass) -> Token:
        """The token, with the numbers of its class."""
        token.key = self._classes.number(word)
        token.look = self._looks.number(grammar.next_code(word))
        token.far = self._fars.number(grammar.far_code(word))
        return token

    def step(self, table: Steps, key: int) -> tuple[Event | None, Steps]:
        """A step that its table lacks: ask the rules about packed words."""
        situation = self._situations[id(table)]
        self._num_steps += 1
        if self._num_steps > MAX_STEPS:
            self._num_steps = 0
            for one in self._tables.values():
                one.clear()
        word = self._classes.values[key >> (_LOOK_BITS + _FAR_BITS)]
        look = self._looks.values[(key >> _FAR_BITS) & ((1 << _LOOK_BITS) - 1)]
        far = self._fars.values[key & ((1 << _FAR_BITS) - 1)]
        assert isinstance(word, WordClass)
        action, state = decide(situation.state, word, str(look), str(far))
        result = event, after = _advance(situation, action, state)
        found = self._results.get(result)
        if found is None:
            found = self._results[result] = event, self._table(after)
        table[key] = found
        return found

    def _table(self, situation: Situation) -> Steps:
        found = self._tables.get(situation)
        if found is None:
            found = self._tables[situation] = {}
            self._situations[id(found)] = situation
        return found


def _advance(before: Situation, action: int, state: State) -> tuple[Event | None, Situation]:
    """What an action of `rules.decide` writes down, and the situation after it."""
    what, is_negated = action % grammar.NEGATED, action >= grammar.NEGATED
    if what == grammar.NOUN:
        nouns, negated = min(before.nouns + 1, 2), before.negated or is_negated
        event = JOINS if before.nouns == 1 else None
        return event, Situation(state, nouns, negated, before.counted)
    word = what if what in (grammar.ADJECTIVE, grammar.VERB, grammar.COUNT) else 0
    counted = before.counted and not before.nouns and what != grammar.BREAK
    after = Situation(state, counted=counted or what == grammar.COUNT)
    if not word and not before.nouns:
        return None, after
    return (before.nouns, before.negated, before.counted, word, is_negated), after


class _Codes:
    """Values <-> small numbers, in order of appearance; the numbers come shifted.

    Equal numbers are one object: a corpus has far more words than a processor's cache has room for.
    """

    def __init__(self, shift: int) -> None:
        self._shift = shift
        self._numbers: dict[object, int] = {}
        self.values: list[object] = []

    def number(self, value: object) -> int:
        found = self._numbers.get(value)
        if found is None:
            found = self._numbers[value] = len(self.values) << self._shift
            self.values.append(value)
        return found
