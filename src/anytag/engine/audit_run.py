"""The audit of a labelled set: model, confidences, regions, table and page, in one folder.

scores/      of the model for every picture; a killed run goes on from there
boxes.jsonl  where missing tags were found
audit.csv    all suspects, the most confident first
audit.html   the first of them with pictures, to accept or reject
audit.json   counts, and how it was made
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anytag.data.problems import Problems
from anytag.data.sources import Source
from anytag.engine.audit import Faults, alternatives, find_faults
from anytag.engine.audit_page import audit_page, thumbnails
from anytag.engine.audit_regions import locate
from anytag.engine.audit_set import LabelledSet, gather, score_set
from anytag.engine.audit_table import Suspect, cells, to_csv
from anytag.engine.records import Names
from anytag.engine.steps import write_json
from anytag.errors import UsageError
from anytag.evaluation.asking import ask_tagger
from anytag.evaluation.metrics import mean_average_precision
from anytag.files import atomic_write, display_path
from anytag.inference.tagger import Tagger

#: told what is being done, how many are done, and of how many
Report = Callable[[str, int, int], None]
RUN = "audit.json"
#: mean average precision against the labels from which the model has probably learned them
_LEARNED = 0.98


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditOptions:
    """What is listed and shown."""

    #: suspects on the page, and missing tags that are located, at most
    limit: int = 300
    #: least confidence of a suspect
    least: float = 0.2
    #: see `anytag.engine.config.GroundConfig.detector`; "none" looks for no regions
    detector: str = "windows"

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise UsageError(f"limit must be at least 1, found {self.limit}")
        if not 0 < self.least <= 1:
            raise UsageError(f"the least confidence must lie in (0, 1], found {self.least}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What was found."""

    suspects: tuple[Suspect, ...]
    images: int
    tags: int
    labels: int
    #: picture -> why it was left out
    unreadable: dict[str, str]
    expected_missing: float
    expected_wrong: float
    #: what a reader must know
    notes: tuple[str, ...]
    problems: Problems = field(compare=False)


def run_audit(
    source: Source,
    tagger: Tagger,
    folder: Path,
    options: AuditOptions,
    report: Report = lambda name, done, total: None,
) -> Audit:
    """Audit a set, and write the files.

    Raises:
        UsageError: the set has no pictures or no tags, or the folder holds something else
        ModelError: the model knows none of the tags and takes no new ones
        OutputError: a file cannot be written
    """
    labelled = gather(source)
    if not labelled.images or not labelled.tags:
        what = "tags" if labelled.images else "pictures"
        raise UsageError(
            f"{display_path(source.path)} (read as {source.kind}) has no {what}; "
            "see: anytag data info PATH"
        )
    _claim(folder)
    asked = ask_tagger("model", tagger, labelled.tags)
    scores, unreadable = score_set(
        asked, labelled.images, folder / "scores", lambda *done: report("scoring", *done)
    )
    known = np.array([bool(ids) for ids in asked.columns])
    read = np.array(~np.isnan(scores[:, known]).any(axis=1))
    notes = list(asked.notes)
    if not known.all():
        notes.append(f"{int((~known).sum())} tags are not known to the model and not judged")
    kept = labelled.only(read)
    faults, own_notes = judge(kept, scores[read], known)
    suspects = rank(kept, scores[read], faults, Names(tagger.labels), options.least)
    if options.detector != "none":
        shown, why = locate(
            suspects[: options.limit],
            tagger,
            options.detector,
            folder / "boxes.jsonl",
            lambda *done: report("locating", *done),
        )
        suspects[: options.limit] = shown
        notes += [why] if why else []
    audit = Audit(
        suspects=tuple(suspects),
        images=len(labelled.images),
        tags=len(labelled.tags),
        labels=int(labelled.given.sum()),
        unreadable=unreadable,
        expected_missing=faults.expected_missing,
        expected_wrong=faults.expected_wrong,
        notes=(*notes, *own_notes),
        problems=source.problems,
    )
    _write(audit, source, tagger.model_name, folder, options, report)
    return audit


def judge(
    labelled: LabelledSet, scores: npt.NDArray[np.float32], known: npt.NDArray[np.bool_]
) -> tuple[Faults, list[str]]:
    """Confidences of the tags that the model knows, 0 for the others.

    Args:
        labelled: N pictures that could be read
        scores: [N, T]
        known: [T]
    """
    notes = []
    shape = labelled.given.shape
    given, own = labelled.given[:, known], scores[:, known].astype(np.float64)
    if labelled.is_exclusive and known.sum() > 1:
        own = alternatives(own)
        notes.append("every picture has one tag: tags are judged as alternatives to one another")
    if not len(own):
        return Faults(np.zeros(shape), np.zeros(shape[1], bool), 0.0, 0.0), notes
    faults = find_faults(own, given)
    confidence, judged = np.zeros(shape), np.zeros(shape[1], bool)
    confidence[:, known], judged[known] = faults.confidence, faults.judged
    if not faults.judged.all():
        notes.append(
            f"{int((~faults.judged).sum())} tags are not judged: the model scores pictures that "
            "have them no higher than others"
        )
    learned = mean_average_precision(own, given).value
    if learned >= _LEARNED:
        notes.append(
            f"the model agrees with the labels unusually well (mAP {100 * learned:.1f}): if it was "
            "trained on them, it repeats their faults; audit with a model that was not"
        )
    return Faults(confidence, judged, faults.expected_missing, faults.expected_wrong), notes


def rank(
    labelled: LabelledSet,
    scores: npt.NDArray[np.float32],
    faults: Faults,
    names: Names,
    least: float,
) -> list[Suspect]:
    """The suspects, the most confident first.

    A tag is not missing where the picture has another of the same meaning. In a set where every
    picture has one tag, at most one is missing, and only beside a wrong one.

    Args:
        labelled: N pictures
        scores: [N, T]
        faults: of these
        names: tells which tags mean the same to the model
        least: confidence
    """
    confidence, given = faults.confidence, labelled.given
    listed = confidence >= least
    groups: dict[str, list[int]] = {}
    for place, tag in enumerate(labelled.tags):
        groups.setdefault(names.key(tag), []).append(place)
    for same in groups.values():
        if len(same) > 1:
            listed[:, same] &= given[:, same] | ~given[:, same].any(axis=1, keepdims=True)
    if labelled.is_exclusive:
        listed = _alternatives_only(listed, confidence, given)
    rows, columns = np.nonzero(listed)
    order = np.lexsort((columns, rows, -confidence[rows, columns]))
    return [
        Suspect(
            image=labelled.images[row],
            tag=labelled.tags[column],
            kind="wrong" if given[row, column] else "missing",
            confidence=float(confidence[row, column]),
            score=float(scores[row, column]),
        )
        for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True)
    ]


def _alternatives_only(
    listed: npt.NDArray[np.bool_],
    confidence: npt.NDArray[np.float64],
    given: npt.NDArray[np.bool_],
) -> npt.NDArray[np.bool_]:
    """Of the tags that a picture has not, its likeliest alone, where its own is listed."""
    best = np.zeros(given.shape, bool)
    absent = np.where(given, -1.0, confidence)
    best[np.arange(len(given)), absent.argmax(axis=1)] = True
    suspected = (listed & given).any(axis=1, keepdims=True)
    kept: npt.NDArray[np.bool_] = (listed & given) | (best & suspected & ~given & (absent > 0))
    return kept


def _claim(folder: Path) -> None:
    """Refuse a folder with other things; mark ours."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{display_path(folder)} is a file; the audit writes a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / RUN).exists():
        raise UsageError(
            f"{display_path(folder)} holds other files; name a new folder for the output"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / RUN).exists():
        write_json(folder / RUN, {"format": 1})


def _write(
    audit: Audit, source: Source, model: str, folder: Path, options: AuditOptions, report: Report
) -> None:
    rows = [cells(one) for one in audit.suspects]
    with atomic_write(folder / "audit.csv") as file:
        file.write(to_csv(rows))
    shown = audit.suspects[: options.limit]
    pictures = thumbnails([one.image for one in shown], lambda *done: report("pictures", *done))
    page = audit_page(
        shown,
        pictures,
        title=f"Audit of {display_path(source.path.name)}",
        facts=summary(audit, options.limit),
    )
    with atomic_write(folder / "audit.html") as file:
        file.write(page.encode("utf-8", "backslashreplace"))
    plain: dict[str, Any] = {
        "format": 1,
        "data": {"path": str(source.path), "kind": source.kind, "images": _text(source.images)},
        "model": model,
        "options": asdict(options),
        "counts": {"pictures": audit.images, "tags": audit.tags, "labels": audit.labels},
        "suspects": dict(Counter(one.kind for one in audit.suspects)),
        "expected": {
            "missing": round(audit.expected_missing, 1),
            "wrong": round(audit.expected_wrong, 1),
        },
        "unreadable": audit.unreadable,
        "notes": list(audit.notes),
    }
    write_json(folder / RUN, plain)


def summary(audit: Audit, limit: int) -> list[str]:
    """Sentences that say what was done and found."""
    kinds = Counter(one.kind for one in audit.suspects)
    lines = [
        f"{audit.images:,} pictures, {audit.tags:,} tags, {audit.labels:,} labels",
        f"listed: {kinds['missing']:,} probably missing, {kinds['wrong']:,} probably wrong",
        f"expected in all: about {audit.expected_missing:,.0f} missing and "
        f"{audit.expected_wrong:,.0f} wrong",
    ]
    if len(audit.suspects) > limit:
        lines.append(f"the page shows the {limit:,} most confident; audit.csv holds all")
    if audit.unreadable:
        lines.append(f"pictures that cannot be read, left out: {len(audit.unreadable):,}")
    return [*lines, *audit.notes]


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def examples(audit: Audit, most: int) -> Sequence[str]:
    """Some of the pictures that cannot be read, and why."""
    return [why for _, why in zip(range(most), audit.unreadable.values(), strict=False)]
