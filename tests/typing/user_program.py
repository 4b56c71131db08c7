"""A program as a user would write it; mypy checks it in strict mode (test_typed_api.py).

It is not run. ``assert_type`` fixes what the public names return.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from typing_extensions import assert_type

from anytag import AnytagError, Label, LabelSet, Tag, Tagger, TagResult


def tag_all(paths: list[Path]) -> Iterator[tuple[str, float]]:
    tagger = Tagger.from_pretrained("nano", device="cpu")
    own = tagger.with_tags({"okapi": ["a striped animal"]}, extend=True)
    assert_type(own, Tagger)
    try:
        for result in own.stream(paths, batch_size=8):
            assert_type(result, TagResult)
            for tag in result.tags:
                assert_type(tag, Tag)
                yield tag.name, tag.score
    except AnytagError as error:
        raise SystemExit(str(error)) from error


def one(path: Path) -> float:
    result = Tagger.from_pretrained("nano")(path)
    assert_type(result, TagResult)
    scores = result.scores
    return 0.0 if scores is None else float(np.max(scores))


def labels() -> LabelSet:
    label = Label(id=0, name="cat", threshold=0.5)
    found = LabelSet([label])
    assert_type(found.find("cat"), Label | None)
    return found
