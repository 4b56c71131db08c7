"""Captions to tags with a spaCy pipeline of the user: its tagger and dependency parser.

anytag installs neither spaCy nor a pipeline. Nouns with their ``compound`` children, verbs,
adjectives; ``neg`` children and "no", "without" negate; ``nummod`` children count.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from anytag.errors import MissingExtraError, UsageError
from anytag.labels.labelset import LabelSet
from anytag.labels.lexicon import load_lexicon
from anytag.labels.parse import ParsedTag
from anytag.labels.vocabulary import ClosedVocabulary, Names, OpenVocabulary
from anytag.labels.words import NUMBERS

_KINDS = {"NOUN": 0, "VERB": 1, "ADJ": 2}
_NO = frozenset(["no", "without", "not", "n't", "never"])


class SpacyParser:
    """A parser like `anytag.labels.parse.CaptionParser` over a spaCy pipeline.

    Args:
        pipeline: name or path of an installed pipeline, such as "en_core_web_sm"
        labels: for closed mode; None discovers tags

    Raises:
        MissingExtraError: spaCy is not installed
        UsageError: there is no such pipeline
    """

    def __init__(self, pipeline: str, labels: LabelSet | None = None) -> None:
        try:
            spacy: Any = import_module("spacy")  # Any: an optional package without our types
        except ImportError:
            raise MissingExtraError("spacy", "spacy") from None
        try:
            self._pipeline: Any = spacy.load(pipeline)
        except OSError as error:
            raise UsageError(
                f"spaCy has no pipeline {pipeline!r}; install it with: "
                f"python -m spacy download {pipeline}"
            ) from error
        self._lexicon = load_lexicon()
        self._is_closed = labels is not None
        self._vocabulary = (
            OpenVocabulary(self._lexicon)
            if labels is None
            else ClosedVocabulary(labels, self._lexicon)
        )

    def parse(self, caption: str) -> list[ParsedTag]:
        """The tags of a caption in the order of their places."""
        document = self._pipeline(caption)
        tags: list[ParsedTag] = []
        for token in document:
            if token.pos_ in _KINDS and token.dep_ != "compound":
                tags += self._tags(token)
        return sorted(tags, key=lambda tag: tag.start)

    def _tags(self, token: Any) -> Iterator[ParsedTag]:
        parts = [child for child in token.children if child.dep_ == "compound"] + [token]
        parts.sort(key=lambda part: part.idx)
        longest = " ".join([part.text.lower() for part in parts[:-1]] + [token.lemma_.lower()])
        for name, start in ((longest, parts[0].idx), (token.lemma_.lower(), token.idx)):
            names = self._names(name)
            if token.pos_ == "NOUN" and not self._is_closed and len(parts) > 1:
                head = self._names(token.lemma_.lower()).noun
                names = Names(noun=head._replace(name=name) if head else None)
            found = names[_KINDS[token.pos_]]
            if found is not None:
                yield ParsedTag(
                    found.name,
                    found.kind,
                    start,
                    token.idx + len(token.text),
                    _is_negated(token),
                    _quantity(token),
                    found.id,
                )
                return

    def _names(self, name: str) -> Names:
        return self._vocabulary.names(name, self._lexicon.analyse(name))


def _is_negated(token: Any) -> bool:
    children = list(token.children)
    own = any(child.dep_ == "neg" or child.text.lower() in _NO for child in children)
    above = token.head
    verb = above is not token and any(child.dep_ == "neg" for child in above.children)
    return own or above.text.lower() in _NO or (verb and token.dep_ in ("dobj", "obj", "attr"))


def _quantity(token: Any) -> int | None:
    for child in token.children:
        if child.dep_ == "nummod":
            text = child.text.lower()
            return NUMBERS.get(text) or (int(text) if text.isdecimal() and len(text) < 7 else None)
    return None
