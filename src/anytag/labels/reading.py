"""Words of a caption as tokens: a piece of text is analysed once and remembered, within bounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from anytag.labels import grammar
from anytag.labels.lexicon import Analysis, Lexicon
from anytag.labels.phrases import Found, Trie, longest_phrase, make_trie
from anytag.labels.steps import StepTables, Token
from anytag.labels.tokens import Piece, cut
from anytag.labels.vocabulary import Names, Vocabulary, plain
from anytag.labels.words import COUNTS_BEFORE_OF, NUMBERS

#: distinct pieces that are remembered, and phrases; more of either start the memory anew
MAX_WORDS = 60_000
MAX_PHRASES = 10_000
#: longer pieces are not remembered
_MAX_PIECE = 40


class Reader:
    """Text to tokens, for one vocabulary."""

    def __init__(self, vocabulary: Vocabulary, lexicon: Lexicon) -> None:
        self._vocabulary = vocabulary
        self._lexicon = lexicon
        self._tables = StepTables()
        self._tries: dict[str, Trie | None] = {}
        self._merged: dict[tuple[str, int, bool], Token] = {}
        #: pieces between spaces -> their tokens; what is missing is for `read`
        self.words: dict[str, tuple[Token, ...]] = {}
        self.step = self._tables.step
        #: where the walk through a caption begins
        self.start = self._tables.start
        self.end = self._tables.coded(Token(word="", advance=0, length=0), grammar.END)
        self.blank = self._tables.coded(Token(word="", advance=0, length=0), grammar.NOTHING)

    def read(self, piece: str) -> tuple[Token, ...]:
        """Tokens of a piece that is not among `words`."""
        tokens = tuple(self.tokens(piece))
        if len(piece) <= _MAX_PIECE:
            if len(self.words) >= MAX_WORDS:
                self.words.clear()
            self.words[piece] = tokens
        return tokens

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
            return self._tables.coded(token, grammar.word_class(word, Analysis()))
        found = self._lexicon.analyse(word)
        written = piece.text
        is_name = written[0].isupper() and not written.isupper()
        word_class = grammar.word_class(word, found, is_name=is_name)
        if word_class.closed in ("", "M") or word in COUNTS_BEFORE_OF:
            _name(token, self._vocabulary.names(word, found))
        if found.noun:
            token.lemma, token.letter = found.noun.lemma, found.noun.letter
        if word_class.closed == "Q":
            token.value = NUMBERS.get(word, 0) or int(word)
        token.value = COUNTS_BEFORE_OF.get(word, token.value)
        token.phrases = self._trie(word)
        seconds = self._vocabulary.second_words
        token.is_second = word in seconds or token.lemma in seconds
        return self._tables.coded(token, word_class)

    def _trie(self, first: str) -> Trie | None:
        if first not in self._tries:
            if len(self._tries) > MAX_WORDS:
                self._tries.clear()
            self._tries[first] = make_trie(self._vocabulary.phrases(first))
        return self._tries[first]

    def merge_phrases(
        self, tokens: list[Token], starts: list[int]
    ) -> tuple[list[Token], list[int]]:
        """Tokens and their places with one token for each phrase, the longest first."""
        merged: list[Token] = []
        places: list[int] = []
        index = copied = 0
        while index < len(tokens) - 1:
            found = longest_phrase(tokens, index) if tokens[index].phrases is not None else None
            if found is None:
                index += 1
                continue
            merged += tokens[copied:index]
            merged.append(self._phrase_token(tokens, starts, index, found))
            places += starts[copied : index + 1]
            index = copied = found.last + 1
        return merged + tokens[copied:], places + starts[copied:]

    def _phrase_token(
        self, tokens: Sequence[Token], starts: Sequence[int], first: int, phrase: Found
    ) -> Token:
        last, what, plural = phrase
        length = starts[last] + tokens[last].length - starts[first]
        text = " ".join([token.word for token in tokens[first : last + 1]])
        key = (text, length, plural)
        found = self._merged.get(key)
        if found is None:
            if len(self._merged) >= MAX_PHRASES:
                self._merged.clear()
            names = {"v": Names(verb=what.name), "a": Names(adjective=what.name)}.get(
                what.letter, Names(noun=what.name)
            )
            found = Token(
                word=text,
                advance=length,
                length=length,
                lemma=what.name.name if what.name and what.name.id is None else text,
                letter=what.letter,
                is_phrase=True,
            )
            _name(found, names)
            phrase_class = grammar.phrase_class(what.letter, plural)
            self._merged[key] = self._tables.coded(found, phrase_class)
        return found


def _name(token: Token, names: Names) -> None:
    token.noun, token.verb, token.adjective = (name and plain(name) for name in names)
