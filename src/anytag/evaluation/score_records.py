"""Scores in records: JSON Lines, and folders of cloud services' answers; see `score_files`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from anytag.errors import AnnotationError
from anytag.evaluation.annotation_text import json_fault, open_text, text_lines
from anytag.evaluation.cloud_answers import is_answer, labels_of
from anytag.evaluation.score_rows import Collector, ScoreRows
from anytag.files import display_path


def read_jsonl(path: Path, *, skip_failed: bool = False) -> ScoreRows:
    """One record a line; see `score_files.read_rows`."""
    collector = Collector(path)
    for line, text in text_lines(path):
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise collector.error(line, f"is no JSON ({json_fault(error)})") from error
        image = record.get("image", record.get("path")) if isinstance(record, Mapping) else None
        if not isinstance(image, str):
            raise collector.error(line, "expected an object with 'image' or 'path', a text")
        if record.get("error"):
            if skip_failed:
                continue
            raise collector.error(
                line, f"{display_path(image)} has no scores but an error: {record['error']!r:.80}"
            )
        row = collector.add_image(image, line)
        for name, score in _pairs(record, collector, line):
            collector.add(row, name, score, line)
    return collector.result()


def _pairs(
    record: Mapping[str, Any], collector: Collector, line: int
) -> Iterable[tuple[str, object]]:
    if "response" in record:
        return _answer(record["response"], partial(collector.error, line))
    tags = record.get("tags")
    if isinstance(tags, Mapping):
        return tags.items()
    if isinstance(tags, list) and all(isinstance(tag, Mapping) and "name" in tag for tag in tags):
        return [(tag["name"], tag.get("score")) for tag in tags]
    raise collector.error(
        line, "expected 'tags' as {name: score} or [{\"name\", \"score\"}], or 'response'"
    )


def _answer(response: object, error: Callable[[str], AnnotationError]) -> list[tuple[str, object]]:
    """Labels of a cloud service's answer."""
    if not is_answer(response):
        raise error(
            "is no answer of Google Vision, Amazon Rekognition or Azure Vision that is known"
        )
    try:
        return list(labels_of(response))
    except (KeyError, TypeError, AttributeError) as wrong:
        what = f"a label has no {wrong}" if isinstance(wrong, KeyError) else str(wrong)
        raise error(f"is a damaged answer: {what}") from wrong


def read_folder(path: Path) -> ScoreRows:
    """One answer of a cloud service a file."""
    collector = Collector(path)
    for number, file in enumerate(sorted(path.rglob("*.json")), 1):
        try:
            response = json.loads(open_text(file))
        except (ValueError, RecursionError) as error:
            raise AnnotationError(f"{display_path(file)}: is no JSON ({error})") from error
        row = collector.add_image(file.relative_to(path).as_posix().removesuffix(".json"), number)
        for name, score in _answer(response, partial(collector.error, file)):
            collector.add(row, name, score, file)
    collector.found.lines = None
    return collector.result()
