"""Records with provenance: where each tag is from, what was removed and why.

The JSON is a training record (`anytag.data.records`) with more names, so that training and every
reader take it as it is:

    {"image": "1.jpg", "captions": ["a cat on a mat", "a cat in the sun"],
     "tags": ["cat", "mat", "animal"], "parsed_tags": [["cat", "mat"], ["cat"]], "source": "pets",
     "given": {"tags": ["cat", "dog"], "parsed_tags": []}, "generated_captions": [1],
     "scores": {"cat": 0.98, "mat": 0.31, "animal": 0.95, "dog": 0.02},
     "provenance": {"cat": [{"source": "human"}, {"source": "caption", "caption": 0},
                            {"source": "generated_caption", "caption": 1, "score": 0.98},
                            {"source": "tagger", "score": 0.98, "threshold": 0.5}],
                    "mat": [{"source": "caption", "caption": 0}], ...},
     "removed": {"dog": {"reason": "crop", "score": 0.04, "threshold": 0.5, ...,
                         "provenance": [{"source": "human"}]}}}

``captions`` holds the human captions first and then the generated ones, whose places
``generated_captions`` names. `original` takes all of it back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from anytag.data.records import Plain, Record, from_plain
from anytag.labels.labelset import LabelSet, fold_name

#: JSON values: "source" (see `SOURCES`) and what belongs to it
Origin: TypeAlias = dict[str, Any]

#: human: a tag of the data set. caption: parsed from a human caption. generated_caption: parsed
#: from a caption that the model wrote. tagger: the model's score reached the threshold.
SOURCES = ("human", "caption", "generated_caption", "tagger")


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """What the baseline model says of one picture."""

    #: tags that reached their thresholds, best first: (name, score, threshold)
    tags: tuple[tuple[str, float, float], ...] = ()
    captions: tuple[str, ...] = ()
    #: tag -> score, for the given tags and those of the captions; what the model does not know is
    #: not in it
    scores: Mapping[str, float] = field(default_factory=dict)
    #: why there is nothing
    error: str | None = None


class Names:
    """When two names are one tag: equal but for case and ``_``, or synonyms in a label set.

    Args:
        labels: of the model
    """

    def __init__(self, labels: LabelSet) -> None:
        self._labels = labels

    def key(self, name: str) -> str:
        """What the names of one tag share.

        >>> Names(LabelSet.from_names(["hot dog"])).key("Hot_Dog")
        'hot dog'
        """
        label = self._labels.find(name)
        return fold_name(name if label is None else label.name)


def merge(
    record: Record, generated: Generated, parse: Callable[[str], Sequence[str]], names: Names
) -> Plain:
    """The union of a record and what was generated for it.

    Every given tag stays as it is written, and at its place; a tag from a caption or of the model
    is added where no tag that means the same is there, and else counts as one more origin of it.

    Args:
        record: as given
        generated: for its picture
        parse: a caption to the names of its tags, negated ones left out; for captions that have no
            parsed tags
        names: tells which names are one tag

    Returns:
        JSON values of the record, "removed" empty
    """
    captions = [*record.captions, *generated.captions]
    num_human = len(record.captions)
    parsed = [list(tags) for tags in record.parsed_tags]
    parsed += [list(dict.fromkeys(parse(text))) for text in captions[len(parsed) :]]
    union = _Union(names)
    for name in record.tags:
        union.add(name, {"source": "human"}, is_given=True)
    for place, tags in enumerate(parsed):
        for name in dict.fromkeys(tags):
            if place < num_human:
                union.add(name, {"source": "caption", "caption": place})
            else:
                origin: Origin = {"source": "generated_caption", "caption": place}
                if name in generated.scores:
                    origin["score"] = generated.scores[name]
                union.add(name, origin)
    for name, score, threshold in generated.tags:
        union.add(name, {"source": "tagger", "score": score, "threshold": threshold})
    return {
        "image": record.image,
        "captions": captions,
        "tags": list(union.origins),
        "parsed_tags": parsed,
        "source": record.source,
        "given": {"tags": list(record.tags), "parsed_tags": [*map(list, record.parsed_tags)]},
        "generated_captions": list(range(num_human, len(captions))),
        "scores": dict(sorted(generated.scores.items())),
        "provenance": union.origins,
        "removed": {},
    }


class _Union:
    """Tags in the order in which they came, each with its origins."""

    def __init__(self, names: Names) -> None:
        self.origins: dict[str, list[Origin]] = {}
        self._names = names
        self._by_key: dict[str, list[str]] = {}

    def add(self, name: str, origin: Origin, *, is_given: bool = False) -> None:
        """One more origin of a tag, under all names that it has here.

        A given name is kept beside others of the same meaning: nothing given is lost.
        """
        if not name:
            return
        same = self._by_key.setdefault(self._names.key(name), [])
        if name not in same and (is_given or not same):
            same.append(name)
            self.origins[name] = []
        for one in [name] if is_given else same:
            if origin not in self.origins[one]:
                self.origins[one].append(origin)


def remove(row: Plain, reasons: Mapping[str, Plain], names: Names) -> Plain:
    """A merged record without some of its tags.

    Args:
        row: of `merge`
        reasons: tag -> "reason" and figures, kept under "removed" with the tag's origins
        names: tells which names are one tag

    Returns:
        a new record; ``parsed_tags`` lose the tags too, because training takes both
    """
    gone = {name: reasons[name] for name in row["tags"] if name in reasons}
    keys = {names.key(name) for name in gone}
    origins = row["provenance"]
    return {
        **row,
        "tags": [name for name in row["tags"] if name not in gone],
        "parsed_tags": [
            [name for name in tags if names.key(name) not in keys] for tags in row["parsed_tags"]
        ],
        "provenance": {name: found for name, found in origins.items() if name not in gone},
        "removed": {name: {**why, "provenance": origins[name]} for name, why in gone.items()},
    }


def original(row: object) -> Record:
    """The record that the engine was given; a record without provenance is given as it is.

    Raises:
        ValueError: it is no record

    >>> row = merge(Record(image="a.jpg", tags=("cat",)), Generated(tags=(("mat", 0.9, 0.5),)),
    ...             lambda caption: [], Names(LabelSet([])))
    >>> row["tags"], original(row).tags
    (['cat', 'mat'], ('cat',))
    """
    record = from_plain(row)
    assert isinstance(row, Mapping)
    if "provenance" not in row or not isinstance(row.get("given"), Mapping):
        return record
    generated = set(row.get("generated_captions") or ())
    captions = [text for place, text in enumerate(record.captions) if place not in generated]
    return from_plain({**row, "captions": captions, **row["given"]})
