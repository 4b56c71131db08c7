"""Memory of the parser: words that were analysed and decisions that were made. Both are bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from anytag.labels import grammar
from anytag.labels.grammar import State, WordClass
from anytag.labels.lexicon import Analysis, Lexicon
from anytag.labels.rules import decide
from anytag.labels.tokens import Piece, cut
from anytag.labels.vocabulary import Name, Names, Phrase, Vocabulary
from anytag.labels.words import CLOSED, COUNTS_BEFORE_OF, NUMBERS

#: distinct pieces that are remembered, and decisions; more of either starts the memory anew
MAX_WORDS = 60_000
MAX_DECISIONS = 200_000
#: longer pieces are not remembered
_MAX_PIECE = 40
#: how a word, the next and the one after are packed into one number
_LOOK_BITS, _FAR_BITS = 7, 7

#: last part of a step into a phrase: what it is if it ends here, and the words that go on
Trie: TypeAlias = "dict[str, tuple[Phrase | None, Trie]]"


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
    noun: Name | None = None
    verb: Name | None = None
    adjective: Name | None = None
    #: of a number word
    value: int = 0
    #: phrases that begin here, None if none do
    phrases: Trie | None = None
    lemma: str = ""
    letter: str = "o"
    is_phrase: bool = False

    def moved(self, extra: int) -> Token:
        """The same with more space after it."""
        return replace(self, advance=self.advance + extra)


class _Decisions(dict[int, "tuple[int, _Decisions]"]):
    """The decisions in one state: packed context -> action and the next table."""

    def __init__(self, state: State, reader: Reader) -> None:
        super().__init__()
        self._state = state
        self._reader = reader

    def __missing__(self, key: int) -> tuple[int, _Decisions]:
        result = self[key] = self._reader.decision(self._state, key)
        return result


class _Words(dict[str, "tuple[Token, ...]"]):
    """Pieces between spaces -> their tokens."""

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self._reader = reader

    def __missing__(self, piece: str) -> tuple[Token, ...]:
        tokens = tuple(self._reader.tokens(piece))
        if len(piece) <= _MAX_PIECE:
            if len(self) >= MAX_WORDS:
                self.clear()
            self[piece] = tokens
        return tokens


class _Codes:
    """Values <-> small numbers, in order of appearance."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}
        self.values: list[object] = []

    def number(self, value: object) -> int:
        found = self._numbers.setdefault(value, len(self.values))
        if found == len(self.values):
            self.values.append(value)
        return found


class Reader:
    """Words to tokens and contexts to decisions, for one vocabulary."""

    def __init__(self, vocabulary: Vocabulary, lexicon: Lexicon) -> None:
        self._vocabulary = vocabulary
        self._lexicon = lexicon
        self._classes, self._looks, self._fars = _Codes(), _Codes(), _Codes()
        self._tables: dict[State, _Decisions] = {}
        self._num_decisions = 0
        self._tries: dict[str, Trie | None] = {}
        self._merged: dict[tuple[str, int, bool], Token] = {}
        self.words = _Words(self)
        self.start = self._table(State())
        self.end = self._coded(Token(word="", advance=0, length=0), grammar.END)
        self.blank = self._coded(Token(word="", advance=0, length=0), grammar.NOTHING)

    def _table(self, state: State) -> _Decisions:
        found = self._tables.get(state)
        if found is None:
            found = self._tables[state] = _Decisions(state, self)
        return found

    def decision(self, state: State, key: int) -> tuple[int, _Decisions]:
        """Ask the rules about a packed context."""
        self._num_decisions += 1
        if self._num_decisions > MAX_DECISIONS:
            self._num_decisions = 0
            for table in self._tables.values():
                table.clear()
        word = self._classes.values[key >> (_LOOK_BITS + _FAR_BITS)]
        look = self._looks.values[(key >> _FAR_BITS) & ((1 << _LOOK_BITS) - 1)]
        far = self._fars.values[key & ((1 << _FAR_BITS) - 1)]
        assert isinstance(word, WordClass)
        action, after = decide(state, word, str(look), str(far))
        return action, self._table(after)

    def _coded(self, token: Token, word: WordClass) -> Token:
        token.key = self._classes.number(word) << (_LOOK_BITS + _FAR_BITS)
        token.look = self._looks.number(grammar.next_code(word)) << _FAR_BITS
        token.far = self._fars.number(grammar.far_code(word))
        return token

    def tokens(self, piece: str) -> Iterator[Token]:
        """Tokens of a text without spaces; the last one advances over the space that follows."""
        pieces = cut(piece)
        if not pieces or pieces[0].start > 0:
            yield self.blank.moved(pieces[0].start if pieces else len(piece) + 1)
        if not pieces:
            return
        hashed = False
        made: dict[tuple[str, int], Token] = {}  # a piece may be a megabyte without a space
        for one, following in zip(pieces, [*pieces[1:], None], strict=True):
            until = len(piece) + 1 if following is None else following.start
            key = (one.text, until - one.start)
            if key not in made or one.word != made[key].word:
                made[key] = self._token(one, until - one.start)
            if hashed and self._lexicon.analyse(one.word).unknown:  # "#nofilter"
                yield self.blank.moved(until - one.start)
            else:
                yield made[key]
            hashed = one.text == "#"

    def _token(self, piece: Piece, advance: int) -> Token:
        word = piece.word
        token = Token(word=word, advance=advance, length=piece.end - piece.start, lemma=word)
        if not word or not word[0].isalnum():
            return self._coded(token, grammar.word_class(word, Analysis()))
        found = self._lexicon.analyse(word)
        written = piece.text
        is_name = written[0].isupper() and not written.isupper()
        word_class = grammar.word_class(word, found, is_name=is_name)
        if word_class.closed in ("", "M") or word in COUNTS_BEFORE_OF:
            names = self._vocabulary.names(word, found)
            token.noun, token.verb, token.adjective = names
        if found.noun:
            token.lemma, token.letter = found.noun.lemma, found.noun.letter
        if word_class.closed == "Q":
            token.value = NUMBERS.get(word, 0) or int(word)
        token.value = COUNTS_BEFORE_OF.get(word, token.value)
        token.phrases = self._trie(word)
        return self._coded(token, word_class)

    def _trie(self, first: str) -> Trie | None:
        if first not in self._tries:
            if len(self._tries) > MAX_WORDS:
                self._tries.clear()
            root: Trie = {}
            for phrase, what in self._vocabulary.phrases(first).items():
                node, rest = root, phrase.split(" ")[1:]
                for position, word in enumerate(rest):
                    old, deeper = node.get(word, (None, {}))
                    ends = position == len(rest) - 1
                    node[word] = (what if ends else old, deeper)
                    node = deeper
            self._tries[first] = root or None
        return self._tries[first]

    def merge_phrases(
        self, tokens: list[Token], starts: list[int]
    ) -> tuple[list[Token], list[int]]:
        """Tokens and their places with one token for each phrase, the longest first."""
        merged: list[Token] = []
        places: list[int] = []
        index = copied = 0
        while index < len(tokens) - 1:
            trie = tokens[index].phrases
            if trie is not None:
                following = tokens[index + 1]
                if following.word in trie or following.lemma in trie:
                    last, phrase = self._phrase(tokens, starts, index, trie)
                    if phrase is not None:
                        merged += tokens[copied:index]
                        merged.append(phrase)
                        places += starts[copied : index + 1]
                        index = copied = last + 1
                        continue
            index += 1
        if not merged:
            return tokens, starts
        return merged + tokens[copied:], places + starts[copied:]

    def _phrase(
        self, tokens: list[Token], starts: list[int], first: int, trie: Trie
    ) -> tuple[int, Token | None]:
        """The last word of the longest phrase that begins here, and its token."""
        best: tuple[int, Phrase, bool] | None = None
        for last in range(first + 1, len(tokens)):
            token = tokens[last]
            what, deeper = trie.get(token.word, (None, None))
            plural = False
            if what is None and token.lemma != token.word:
                what, plural = trie.get(token.lemma, (None, None))[0], True
            if what is not None and not self._is_clause(tokens, last, plural):
                best = (last, what, plural)
            if deeper is None:
                break
            trie = deeper
        if best is None:
            return first, None
        last, what, plural = best
        length = starts[last] + tokens[last].length - starts[first]
        words = [token.word for token in tokens[first : last + 1]]
        return last, self._phrase_token(words, what, plural, length)

    def _is_clause(self, tokens: list[Token], last: int, plural: bool) -> bool:
        """ "the bus stops to let": a form in -s before what follows a verb is no plural."""
        token = tokens[last]
        if token.verb is None or last + 1 >= len(tokens):
            return False
        following = CLOSED.get(tokens[last + 1].word, "")
        return following in ("D", "T", "J") or (plural and tokens[last + 1].word == "next")

    def _phrase_token(self, words: list[str], what: Phrase, plural: bool, length: int) -> Token:
        text = " ".join(words)
        key = (text, length, plural)
        found = self._merged.get(key)
        if found is None:
            if len(self._merged) > MAX_WORDS:
                self._merged.clear()
            names = {"v": Names(verb=what.name), "a": Names(adjective=what.name)}.get(
                what.letter, Names(noun=what.name)
            )
            noun, verb, adjective = names
            found = Token(
                word=text,
                advance=length,
                length=length,
                noun=noun,
                verb=verb,
                adjective=adjective,
                lemma=what.name.name if what.name and what.name.id is None else text,
                letter=what.letter,
                is_phrase=True,
            )
            self._merged[key] = self._coded(found, grammar.phrase_class(what.letter, plural))
        return found
