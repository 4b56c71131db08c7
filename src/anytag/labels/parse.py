"""Captions to tags (RAM, section 3.2: the annotation-free tags), without a language model.

Every distinct word is analysed once (`lexicon`), every decision in a context of word classes is
made once (`rules`), and a caption is then a walk through remembered decisions.

    >>> parser = CaptionParser.open()
    >>> [tag.name for tag in parser.parse("A man without a helmet rides two horses.")]
    ['man', 'helmet', 'ride', 'horse']
    >>> parser.parse("no people")[0].negated
    True
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate, count
from operator import attrgetter
from typing import Any, NamedTuple

from anytag.labels.labelset import LabelSet
from anytag.labels.lexicon import Lexicon, load_lexicon
from anytag.labels.reading import Reader, Token
from anytag.labels.vocabulary import ClosedVocabulary, Noun, OpenVocabulary, Vocabulary

_PIECE = re.compile("[^ ]+ *")
_ADVANCE = attrgetter("advance")


class ParsedTag(NamedTuple):
    """One tag of a caption."""

    name: str
    #: object, scene, attribute or action
    kind: str
    #: characters ``caption[start:end]``
    start: int
    end: int
    #: "no people", "without a helmet"
    negated: bool = False
    #: where the caption says a number
    quantity: int | None = None
    #: label id in closed mode
    id: int | None = None

    def record(self) -> dict[str, Any]:
        """The tag in a JSON record."""
        record: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "span": [self.start, self.end],
            "negated": self.negated,
            "quantity": self.quantity,
        }
        if self.id is not None:
            record["id"] = self.id
        return record


class CaptionParser:
    """Finds tags in captions; make it with `open` or `closed`.

    Not for use from several threads at once: it remembers what it has seen.
    """

    def __init__(self, vocabulary: Vocabulary, lexicon: Lexicon) -> None:
        self._vocabulary = vocabulary
        self._reader = Reader(vocabulary, lexicon)
        self._compounds: dict[tuple[Token, ...], list[tuple[Any, int, int]]] = {}

    @classmethod
    def open(cls) -> CaptionParser:
        """A parser that discovers tags: nouns and compounds, verbs, adjectives."""
        lexicon = load_lexicon()
        return cls(OpenVocabulary(lexicon), lexicon)

    @classmethod
    def closed(cls, labels: LabelSet) -> CaptionParser:
        """A parser that finds the tags of a label set, by name, inflection or synonym."""
        lexicon = load_lexicon()
        return cls(ClosedVocabulary(labels, lexicon), lexicon)

    def parse(self, caption: str) -> list[ParsedTag]:
        """The tags of a caption in the order of their places.

        Args:
            caption: any text; spans are offsets into it
        """
        words = self._reader.words
        tokens: list[Token] = []
        pieces = caption.split(" ")
        if "" in pieces:
            tokens += self._spaced(caption)
        else:
            for piece in pieces:
                tokens += words[piece]
        starts = list(accumulate(map(_ADVANCE, tokens), initial=0))
        for token in tokens:
            if token.phrases is not None:
                tokens, starts = self._reader.merge_phrases(tokens, starts)
                break
        return self._walk(tokens, starts)

    def _walk(self, tokens: list[Token], starts: list[int]) -> list[ParsedTag]:
        """The loop that everything is made fast for."""
        tags: list[ParsedTag] = []
        add, new = tags.append, tuple.__new__
        table = self._reader.start
        group = -1
        quantity: int | None = None
        negated = False
        tokens += [self._reader.end] * 3
        steps = zip(count(), tokens, tokens[1:], tokens[2:], strict=False)
        for index, token, following, far in steps:
            action, table = table[token.key | following.look | far.far]
            if action == 1:  # grammar.NOUN; the run ends at the first other word
                if group < 0:
                    group = index
                continue
            if action == 9:  # a negated noun
                negated = True
                if group < 0:
                    group = index
                continue
            if group >= 0:
                if index - group == 1:
                    noun = tokens[group]
                    name = noun.noun
                    if name is not None:
                        start = starts[group]
                        end = start + noun.length
                        seen = (name[0], name[1], start, end, negated, quantity, name[2])
                        add(new(ParsedTag, seen))
                else:
                    tags += self._compound(tokens, starts, group, index, negated, quantity)
                group = -1
                negated = False
                quantity = None
            if action == 5:  # grammar.BREAK, the most frequent one
                quantity = None
                continue
            if not action:
                continue
            what = action & 7
            if what == 3:
                name = token.verb
            elif what == 2:
                name = token.adjective
            else:  # grammar.COUNT
                quantity = _times(quantity, token.value)
                continue
            if name is not None:
                start = starts[index]
                end = start + token.length
                add(new(ParsedTag, (name[0], name[1], start, end, action > 7, None, name[2])))
        return tags

    def _compound(
        self,
        tokens: Sequence[Token],
        starts: Sequence[int],
        first: int,
        stop: int,
        negated: bool,
        quantity: int | None,
    ) -> list[ParsedTag]:
        key = tuple(tokens[first:stop])
        found = self._compounds.get(key)
        if found is None:
            if len(self._compounds) > 50_000:
                self._compounds.clear()
            nouns = [Noun(one.word, one.lemma, one.letter, one.noun, one.is_phrase) for one in key]
            found = self._compounds[key] = self._vocabulary.compound(nouns)
        tags = []
        for name, begin, end in found:
            stop_at = starts[first + end - 1] + key[end - 1].length
            number = quantity if end == len(key) else None
            seen = (name[0], name[1], starts[first + begin], stop_at, negated, number, name[2])
            tags.append(tuple.__new__(ParsedTag, seen))
        return tags

    def _spaced(self, caption: str) -> list[Token]:
        """Tokens of a caption with leading or repeated spaces."""
        tokens: list[Token] = []
        stripped = caption.lstrip(" ")
        if len(stripped) < len(caption):
            tokens.append(self._reader.blank.moved(len(caption) - len(stripped)))
        for match in _PIECE.finditer(stripped):
            piece = match[0].rstrip(" ")
            found = self._reader.words[piece]
            extra = len(match[0]) - len(piece) - 1
            tokens += found
            if extra > 0:
                tokens[-1] = tokens[-1].moved(extra)
        return tokens


def _times(before: int | None, value: int) -> int:
    """ "two dozen" is 24; a later number replaces an earlier one."""
    return before * value if before is not None and value in (12, 100, 1000) else value
