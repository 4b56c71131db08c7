"""The walk through remembered steps against the rules asked anew for every word."""

from __future__ import annotations

import json
from itertools import accumulate
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from anytag.labels import grammar
from anytag.labels.grammar import State, WordClass
from anytag.labels.labelset import LabelSet
from anytag.labels.parse import CaptionParser, ParsedTag
from anytag.labels.rules import decide
from anytag.labels.steps import StepTables, Token

GOLD = Path(__file__).parents[1] / "gold"
WORDS = "no not without a the two dozen red orange dog dogs hot stands stand running and or , . of"
WORDS += " on painted is park dog's teddy bear can left pair light Max wait it the"


class Plain:
    """Actions to tags, with all that is going on in plain variables."""

    def __init__(self, parser: CaptionParser) -> None:
        self.parser, self.tags = parser, list[ParsedTag]()
        self.run: list[int] = []
        self.negated, self.quantity = False, None

    def __call__(self, caption: str) -> list[ParsedTag]:
        reader = self.parser._reader
        tokens = [token for piece in caption.split(" ") for token in reader.tokens(piece)]
        starts = list(accumulate((token.advance for token in tokens), initial=0))
        tokens, starts = reader.merge_phrases(tokens, starts)
        tokens += [reader.end] * 3
        state = State()
        for index in range(len(tokens) - 2):
            tables = reader._tables
            word = tables._classes.values[tokens[index].key >> 14]
            look = tables._looks.values[tokens[index + 1].look >> 7]
            far = tables._fars.values[tokens[index + 2].far]
            assert isinstance(word, WordClass)
            action, state = decide(state, word, str(look), str(far))
            self.read(tokens, starts, index, action)
        return self.tags

    def read(self, tokens: list[Token], starts: list[int], index: int, action: int) -> None:
        what, is_negated = action % grammar.NEGATED, action >= grammar.NEGATED
        if what == grammar.NOUN:
            self.run.append(index)
            self.negated |= is_negated
            return
        if self.run:
            self.end_run(tokens, starts)
        token = tokens[index]
        if what == grammar.BREAK:
            self.quantity = None
        elif what == grammar.COUNT:
            before = self.quantity
            times = before is not None and token.value in (12, 100, 1000)
            self.quantity = before * token.value if times else token.value
        elif what:
            name = token.verb if what == grammar.VERB else token.adjective
            if name:
                end = starts[index] + token.length
                self.tags.append(
                    ParsedTag(name[0], name[1], starts[index], end, is_negated, None, name[2])
                )

    def end_run(self, tokens: list[Token], starts: list[int]) -> None:
        run = [tokens[index] for index in self.run]
        names = [(run[0].noun, 0, 1)] if len(run) == 1 else self.parser._vocabulary.compound(run)
        for name, begin, end in names:
            if name is None:
                continue
            last = self.run[end - 1]
            quantity = self.quantity if end == len(run) else None
            place = (starts[self.run[begin]], starts[last] + tokens[last].length)
            self.tags.append(ParsedTag(*name[:2], *place, self.negated, quantity, name[2]))
        self.run, self.negated, self.quantity = [], False, None


PARSERS = [CaptionParser.open(), CaptionParser.closed(LabelSet.load(GOLD / "labels.json"))]


def test_gold_captions_are_read_as_the_rules_say() -> None:
    lines = (GOLD / "captions.jsonl").read_text(encoding="utf-8").splitlines()
    for parser in PARSERS:
        for line in lines:
            caption = json.loads(line)["caption"]
            if "" not in caption.split(" "):
                assert parser.parse(caption) == Plain(parser)(caption)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(WORDS.split()), min_size=1, max_size=14).map(" ".join))
def test_any_words_are_read_as_the_rules_say(caption: str) -> None:
    for parser in PARSERS:
        assert parser.parse(caption) == Plain(parser)(caption)


def test_numbers_that_mean_the_same_are_one_object() -> None:
    tables = StepTables()
    tokens = [
        tables.coded(Token(word="", advance=advance, length=0), grammar.END) for advance in (1, 2)
    ]
    assert tokens[0].key is tokens[1].key
