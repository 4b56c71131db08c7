"""The lists that are published beside RAM, RAM++ and Tag2Text: line number = tag id.

Nothing is sorted, removed or joined here: a line more or less moves every tag behind it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from anytag.errors import LabelError
from anytag.labels.labelset import Label, LabelSet, fold_name, read_thresholds

#: threshold of every tag without a threshold file, in all three released models
DEFAULT_THRESHOLD = 0.68
#: Tag2Text: thresholds that its code sets (id, name, threshold)
TAG2TEXT_THRESHOLDS = ((2701, "person", 0.7), (2828, "man", 0.7), (1167, "woman", 0.7))
#: Tag2Text: tags that its code never gives, as they make captions worse (id, name)
TAG2TEXT_MUTED = (
    (127, "quarter"),
    (2961, "back"),
    (3351, "two"),
    (3265, "three"),
    (3338, "four"),
    (3355, "five"),
    (3359, "one"),
)


def read_lines(path: Path) -> list[str]:
    """All lines without the blanks at their ends; the last line may lack its line end.

    Raises:
        LabelError: the file cannot be read or is not UTF-8 text
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise LabelError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise LabelError(f"{path}: not UTF-8 text; save it as UTF-8") from error
    lines = text.split("\n")  # not splitlines(): that breaks at other characters too
    if lines[-1].strip() == "":
        lines.pop()
    return [line.strip() for line in lines]


def read_released_labels(
    tag_list: Path,
    *,
    family: str,
    thresholds: Path | None = None,
    translations: Mapping[str, Path] | None = None,
    muted: Collection[str] | None = None,
) -> LabelSet:
    """The tags of a released model.

    Args:
        tag_list: one name a line
        family: "tag2text" has thresholds and muted tags of its own
        thresholds: as `read_thresholds` takes it; None = those of the published code
        translations: language -> file with one name a line; an empty line is no translation
        muted: names of tags that are never given; None = those of the published code

    Raises:
        LabelError: a file cannot be read, a name is empty, lists have other lengths, or a name of
            ``muted`` is no tag
    """
    names = read_lines(tag_list)
    if not names:
        raise LabelError(f"{tag_list}: holds no tag names; expected one a line")
    if "" in names:
        raise LabelError(
            f"{tag_list}: line {names.index('') + 1} is empty; line numbers are tag ids, so no "
            "line may be left out or added"
        )
    words: list[dict[str, str]] = [{} for _ in names]
    for language, path in (translations or {}).items():
        lines = read_lines(path)
        if len(lines) != len(names):
            raise LabelError(
                f"{path}: {len(lines)} lines for the {len(names)} tags of {tag_list}; expected one "
                "for each, in the same order"
            )
        for word, line in zip(words, lines, strict=True):
            word |= {language: line} if line else {}
    labels = LabelSet(
        (
            Label(id=number, name=name, threshold=DEFAULT_THRESHOLD, translations=word)
            for number, (name, word) in enumerate(zip(names, words, strict=True))
        ),
        repeated_names=True,
    )
    if family == "tag2text":
        labels = _as_tag2text(labels)
    if thresholds is not None:
        labels = read_thresholds(thresholds, labels)
    return labels if muted is None else _mute(labels, muted)


def _as_tag2text(labels: LabelSet) -> LabelSet:
    """Thresholds and muted tags of Tag2Text's code, where the list has these tags at these ids.

    The code goes by id alone, and so changes unrelated tags of other lists.
    """

    def is_tag(number: int, name: str) -> bool:
        return number < len(labels) and fold_name(labels[number].name) == name

    limits = {number: limit for number, name, limit in TAG2TEXT_THRESHOLDS if is_tag(number, name)}
    muted = {number for number, name in TAG2TEXT_MUTED if is_tag(number, name)}
    return LabelSet(
        (
            replace(label, threshold=limits.get(label.id, label.threshold), muted=label.id in muted)
            for label in labels
        ),
        repeated_names=True,
    )


def _mute(labels: LabelSet, names: Collection[str]) -> LabelSet:
    muted = set()
    for name in names:
        found = labels.find_all(name)
        if not found:
            raise LabelError(f"no tag named {name!r} to mute among {len(labels)}")
        muted |= {label.id for label in found}
    return LabelSet(
        (replace(label, muted=label.id in muted) for label in labels), repeated_names=True
    )
