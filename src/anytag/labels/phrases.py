"""Several words that are one: the longest phrase of the vocabulary that begins at a word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from anytag.labels.vocabulary import Phrase
from anytag.labels.words import CLOSED

#: step into a phrase: what it is if it ends here, and the words that go on
Trie: TypeAlias = "dict[str, tuple[Phrase | None, Trie]]"


class Word(Protocol):
    """What is asked of a word: a `steps.Token`."""

    @property
    def word(self) -> str:
        """In lower case."""

    @property
    def lemma(self) -> str:
        """Base form."""

    @property
    def verb(self) -> object:
        """None if it cannot be a verb."""

    @property
    def phrases(self) -> Trie | None:
        """Phrases that begin with it."""

    @property
    def is_second(self) -> bool:
        """It, or its base form, is the second word of some phrase."""


class Found(NamedTuple):
    """A phrase in a caption."""

    #: index of its last word
    last: int
    phrase: Phrase
    #: its last word is a plural form
    plural: bool


def make_trie(phrases: Mapping[str, Phrase]) -> Trie | None:
    """Phrases that begin with one word, as steps from it; None if there are none."""
    root: Trie = {}
    for phrase, what in phrases.items():
        node, rest = root, phrase.split(" ")[1:]
        for position, word in enumerate(rest):
            old, deeper = node.get(word, (None, {}))
            ends = position == len(rest) - 1
            node[word] = (what if ends else old, deeper)
            node = deeper
    return root or None


def may_have_phrase(words: Sequence[Word]) -> bool:
    """Whether two words in a row begin a phrase; most captions have none."""
    trie: Trie | None = None
    for word in words:
        if word.is_second and trie is not None and (word.word in trie or word.lemma in trie):
            return True
        trie = word.phrases
    return False


def longest_phrase(words: Sequence[Word], first: int) -> Found | None:
    """The longest phrase that begins at a word."""
    best: Found | None = None
    trie = words[first].phrases or {}
    for last in range(first + 1, len(words)):
        word = words[last]
        what, deeper = trie.get(word.word, (None, None))
        plural = False
        if what is None and word.lemma != word.word:
            what, plural = trie.get(word.lemma, (None, None))[0], True
        if what is not None and not _is_clause(words, last, plural):
            best = Found(last, what, plural)
        if deeper is None:
            break
        trie = deeper
    return best


def _is_clause(words: Sequence[Word], last: int, plural: bool) -> bool:
    """ "the bus stops to let": a form in -s before what follows a verb is no plural."""
    if words[last].verb is None or last + 1 >= len(words):
        return False
    following = CLOSED.get(words[last + 1].word, "")
    return following in ("D", "T", "J") or (plural and words[last + 1].word == "next")
