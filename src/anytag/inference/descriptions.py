"""Descriptions of tags, from which RAM++ makes its queries: their file and their prompts.

Source: RAM++ (arXiv 2310.15200), section 3.2. A tag has 51 texts: one plain sentence, and 10
answers of a language model to each of 5 questions.

The file is the released one: a JSON list of objects with one key each, ``[{"tag": [texts]}, ...]``,
in tag order. A plain object ``{"tag": [texts], ...}`` is read too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anytag.errors import LabelError
from anytag.files import atomic_write
from anytag.labels.labelset import fold_name

#: one for each purpose of the paper: looks in short, how to recognise it, looks once more, what
#: tells it apart, visual properties
PROMPTS: tuple[str, ...] = (
    "Give a short description of the appearance of the following: {tag}.",
    "How would somebody recognise the following in a photo? Answer briefly. {tag}.",
    "In a few words, what does the following look like: {tag}?",
    "Which features set the following apart from everything else: {tag}?",
    "Describe the visual properties of the following in one or two sentences: {tag}.",
)


def plain_text(tag: str) -> str:
    """The first text of every tag, always with "a", as in the released file.

    >>> plain_text("Aerial photography")
    'a photo of a aerial photography.'
    """
    return f"a photo of a {tag.lower()}."


def read_descriptions(path: Path) -> dict[str, list[str]]:
    """Descriptions by tag, in the order of the file.

    Raises:
        LabelError: the file cannot be read, has another form, names a tag twice, or a tag has no
            description or an empty one
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise LabelError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise LabelError(f"{path}: not UTF-8 text") from error
    try:
        content = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise LabelError(f"{path}: not valid JSON ({error})") from error
    entries = [content] if isinstance(content, _Pairs) else content
    if not isinstance(entries, list):
        raise LabelError(f'{path}: expected [{{"tag": ["text", ...]}}, ...]')
    described: dict[str, list[str]] = {}
    seen: dict[str, str] = {}
    for position, entry in enumerate(entries):
        where = f"{path}: entry {position}"
        if not isinstance(entry, _Pairs) or (entries is content and len(entry.pairs) != 1):
            raise LabelError(f'{where}: expected {{"tag": ["text", ...]}} with one tag')
        for tag, texts in entry.pairs:
            other = seen.setdefault(fold_name(tag), tag)
            if tag in described or other != tag:
                raise LabelError(f"{where}: tag {tag!r} occurs twice (as {other!r})")
            described[tag] = _texts(where, tag, texts)
    return described


def write_descriptions(path: Path, described: Mapping[str, Sequence[str]]) -> None:
    """Write the released form, atomically.

    Raises:
        OutputError: it cannot be written
    """
    rows = [json.dumps({tag: list(texts)}, ensure_ascii=False) for tag, texts in described.items()]
    with atomic_write(path, text=True) as file:
        file.write("[\n" + ",\n".join(rows) + "\n]\n")


class _Pairs:
    """A JSON object that does not lose a key that occurs twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:  # Any: JSON
        self.pairs = pairs


def _texts(where: str, tag: str, texts: object) -> list[str]:
    if not tag.strip():
        raise LabelError(f"{where}: a tag has an empty name")
    if not isinstance(texts, list) or not texts:
        raise LabelError(f"{where}: tag {tag!r} needs a list with at least one description")
    for number, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise LabelError(f"{where}: description {number} of tag {tag!r} is empty or no text")
    return [str(text) for text in texts]
