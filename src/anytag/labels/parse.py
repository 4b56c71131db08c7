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
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

from anytag.labels.labelset import LabelSet
from anytag.labels.lexicon import Lexicon, load_lexicon
from anytag.labels.phrases import may_have_phrase
from anytag.labels.reading import Reader
from anytag.labels.steps import Token
from anytag.labels.vocabulary import ClosedVocabulary, OpenVocabulary, PlainName, Vocabulary

#: runs of nouns that are remembered; more start the memory anew, and longer ones are not remembered
MAX_COMPOUNDS = 10_000
_MAX_COMPOUND = 8
_PIECE = re.compile("[^ ]+ *")
_ADVANCE = attrgetter("advance")
_WORD = attrgetter("word")


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


#: name, kind, start, end, negated, quantity, id
PlainTag: TypeAlias = tuple[str, str, int, int, bool, "int | None", "int | None"]
#: `ParsedTag(*plain)` without the time that its own constructor takes
_AS_TAG: Callable[[PlainTag], ParsedTag] = partial(tuple.__new__, ParsedTag)


class CaptionParser:
    """Finds tags in captions; make it with `open` or `closed`.

    Not for use from several threads at once: it remembers what it has seen.
    """

    def __init__(self, vocabulary: Vocabulary, lexicon: Lexicon) -> None:
        self._vocabulary = vocabulary
        self._reader = Reader(vocabulary, lexicon)
        self._compounds: dict[tuple[str, ...], list[tuple[PlainName, int, int]]] = {}

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
        return list(map(_AS_TAG, self.parse_plain(caption)))

    def parse_plain(self, caption: str) -> list[PlainTag]:
        """As `parse`, but plain tuples with the fields of `ParsedTag`, which is faster."""
        words = self._reader.words
        tokens: list[Token] = []
        pieces = caption.split(" ")
        if "" in pieces:
            tokens = self._spaced(caption)
        else:
            for piece in pieces:
                try:
                    tokens += words[piece]
                except KeyError:
                    tokens += self._reader.read(piece)
        starts = list(accumulate(map(_ADVANCE, tokens), initial=0))
        if may_have_phrase(tokens):
            tokens, starts = self._reader.merge_phrases(tokens, starts)
        return self._walk(tokens, starts)

    def _walk(self, tokens: list[Token], starts: list[int]) -> list[PlainTag]:
        """The loop that everything is made fast for; it runs two words ahead of the step."""
        tags: list[PlainTag] = []
        add = tags.append
        table = self._reader.start
        step = self._reader.step
        quantity: int | None = None
        first = 0
        end_of_text = self._reader.end
        tokens += (end_of_text, end_of_text, end_of_text)
        ahead = iter(tokens)
        token, following = next(ahead), next(ahead)
        context, key = token.key + following.look, following.key
        for index, far in enumerate(ahead):
            try:
                event, table = table[context + far.far]
            except KeyError:
                event, table = step(table, context + far.far)
            context, key = key + far.look, far.key
            if event is None:  # the most frequent case
                continue
            nouns, negated, counted, what, word_negated = event
            if nouns:
                if nouns < 0:  # `JOINS`
                    first = index - 1
                    continue
                number = quantity if counted else None
                if nouns == 1:
                    token = tokens[index - 1]
                    name = token.noun
                    if name is not None:
                        text, kind, label = name
                        start = starts[index - 1]
                        add((text, kind, start, start + token.length, negated, number, label))
                else:
                    tags += self._compound(tokens, starts, first, index, negated, number)
                if not what:
                    continue
                counted = False
            token = tokens[index]
            if what == 2:  # grammar.ADJECTIVE
                name = token.adjective
            elif what == 3:  # grammar.VERB
                name = token.verb
            else:  # grammar.COUNT
                quantity = _times(quantity if counted else None, token.value)
                continue
            if name is not None:
                text, kind, label = name
                start = starts[index]
                add((text, kind, start, start + token.length, word_negated, None, label))
        return tags

    def _compound(
        self,
        tokens: Sequence[Token],
        starts: Sequence[int],
        first: int,
        stop: int,
        negated: bool,
        quantity: int | None,
    ) -> list[PlainTag]:
        run = tokens[first:stop]
        key = tuple(map(_WORD, run))  # no tokens: those would be kept after they are forgotten
        found = self._compounds.get(key)
        if found is None:
            found = self._vocabulary.compound(run)
            if len(run) <= _MAX_COMPOUND:
                if len(self._compounds) >= MAX_COMPOUNDS:
                    self._compounds.clear()
                self._compounds[key] = found
        tags: list[PlainTag] = []
        for (name, kind, label), begin, end in found:
            stop_at = starts[first + end - 1] + run[end - 1].length
            number = quantity if end == len(run) else None
            tags.append((name, kind, starts[first + begin], stop_at, negated, number, label))
        return tags

    def _spaced(self, caption: str) -> list[Token]:
        """Tokens of a caption with leading or repeated spaces."""
        tokens: list[Token] = []
        stripped = caption.lstrip(" ")
        if len(stripped) < len(caption):
            tokens.append(self._reader.blank.moved(len(caption) - len(stripped)))
        for match in _PIECE.finditer(stripped):
            piece = match[0].rstrip(" ")
            found = self._reader.words.get(piece) or self._reader.read(piece)
            extra = len(match[0]) - len(piece) - 1
            tokens += found
            if extra > 0:
                tokens[-1] = tokens[-1].moved(extra)
        return tokens


def _times(before: int | None, value: int) -> int:
    """ "two dozen" is 24; a later number replaces an earlier one."""
    return before * value if before is not None and value in (12, 100, 1000) else value
