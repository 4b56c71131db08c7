"""A calibration on disk: thresholds in a model directory, CSV files, and a page.

In the model directory: ``labels.json`` with the new thresholds, and in ``calibration/``

    thresholds.csv      tag,threshold: for `anytag tag --thresholds`
    tags.csv            counts, thresholds before and after, held-out precision with its interval
    calibration.json    what was done, with which photos, and the figures
    report.html
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anytag.errors import OutputError, UsageError
from anytag.evaluation.calibrate import Calibration, Outcome, wilson_interval
from anytag.evaluation.comparison_files import number, percent
from anytag.evaluation.report import Page, line_plot, scatter_plot
from anytag.files import atomic_write, display_path
from anytag.labels.labelset import LabelSet

FOLDER = "calibration"
#: says that a folder was made by copying a model here, and may be so again
_MARKER = f"{FOLDER}/copy.json"
#: without one of these, a folder is no model; the second is that of an exported one
_CARDS = ("config.json", "export.json")
HEADER = ("thresholds", "tags given", "P given", "P", "R", "F1", "oP", "oR", "oF1")
#: tags in the table of the page
_NUM_ROWS = 500


def rows(found: Calibration) -> list[list[str]]:
    """Before, after and held out; percent."""
    named = {
        "before": found.before,
        "after, same photos": found.after,
        "after, held out": found.held_out,
    }
    return [[name, str(one.num_given), *map(percent, _values(one))] for name, one in named.items()]


def _values(one: Outcome) -> tuple[float, ...]:
    result = one.result
    return (
        one.precision_if_given,
        result.macro_precision,
        result.macro_recall,
        result.macro_f1,
        result.micro_precision,
        result.micro_recall,
        result.micro_f1,
    )


def thresholds_csv(labels: LabelSet) -> str:
    """``tag,threshold`` of every tag; of a name that occurs twice, once."""
    seen = {label.name: label.threshold for label in reversed(labels)}
    return _csv(["tag", "threshold"], [(label.name, seen[label.name]) for label in labels])


def tags_csv(tags: Sequence[str], before: Sequence[float], found: Calibration) -> str:
    """What is known of each calibrated tag."""
    header = ["tag", "photos", "before", "threshold", "rule", "given", "right", "precision"]
    header += ["precision_low", "precision_high", "recall"]
    return _csv(header, [_tag_row(place, tags, before, found) for place in range(len(tags))])


def _tag_row(
    place: int, tags: Sequence[str], before: Sequence[float], found: Calibration
) -> list[object]:
    """Held-out figures of one tag."""
    given, hits = int(found.given[place]), int(found.hits[place])
    photos = int(found.thresholds.positives[place])
    low, high = wilson_interval(hits, given)
    return [
        tags[place],
        photos,
        f"{before[place]:.6g}",
        f"{found.thresholds.values[place]:.6g}",
        found.thresholds.reasons[place],
        given,
        hits,
        f"{hits / given:.4f}" if given else "",
        f"{low:.4f}" if given else "",
        f"{high:.4f}" if given else "",
        f"{hits / photos:.4f}" if photos else "",
    ]


def _csv(header: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return text.getvalue()


def check_target(source: Path, target: Path) -> None:
    """Refuse a folder to which the model may not be copied.

    Raises:
        UsageError: it is the model itself, or holds another one
    """
    if target.resolve() == source.resolve():
        raise UsageError("-o is the model itself; to change it there, say --in-place")
    holds_model = any((target / name).exists() for name in _CARDS)
    if holds_model and not (target / _MARKER).exists():
        raise UsageError(
            f"{display_path(target)} holds a model that 'anytag calibrate' has not written; "
            "choose another folder"
        )


def copy_model(source: Path, target: Path) -> None:
    """Copy a model directory, each file atomically and its card last: until then, it is none.

    Raises:
        OutputError: a file cannot be written
    """
    files = [file for file in sorted(source.rglob("*")) if file.is_file()]
    files = [file for file in files if FOLDER not in file.relative_to(source).parts]
    files.sort(key=lambda file: file.name in _CARDS and file.parent == source)
    try:
        (target / FOLDER).mkdir(parents=True, exist_ok=True)
        with atomic_write(target / _MARKER, text=True) as marker:
            marker.write(json.dumps({"copy_of": source.name}) + "\n")
        for file in files:
            place = target / file.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            with file.open("rb") as data, atomic_write(place) as copy:
                shutil.copyfileobj(data, copy)
    except OSError as error:
        raise OutputError(f"{display_path(target)}: cannot be written ({error})") from error


def write_calibration(
    folder: Path,
    labels: LabelSet,
    tags: Sequence[str],
    before: Sequence[float],
    found: Calibration,
    about: dict[str, Any],
    page: Page,
) -> None:
    """The files in ``calibration/``, then ``labels.json``, each atomically.

    Raises:
        OutputError: they cannot be written
    """
    reports = folder / FOLDER
    try:
        reports.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{display_path(reports)}: cannot be made ({error})") from error
    figures = {
        name: dict(zip(HEADER[2:], map(number, _values(result)), strict=True))
        for name, result in (
            ("before", found.before),
            ("after", found.after),
            ("held_out", found.held_out),
        )
    }
    plain = {
        **about,
        "aim": str(found.aim),
        "weak_labels": found.aim.weak,
        "tags": len(tags),
        "global_threshold": found.thresholds.overall,
        "rules": {
            reason: found.thresholds.reasons.count(reason)
            for reason in sorted(set(found.thresholds.reasons))
        },
        "figures": figures,
    }
    texts = {
        reports / "thresholds.csv": thresholds_csv(labels),
        reports / "tags.csv": tags_csv(tags, before, found),
        reports / "calibration.json": json.dumps(plain, indent=1, ensure_ascii=False) + "\n",
        reports / "report.html": page.html(),
        folder / "labels.json": labels.to_json(),
    }
    for path, text in texts.items():
        with atomic_write(path, text=True) as file:
            file.write(text)


def calibration_page(
    title: str,
    tags: Sequence[str],
    before: Sequence[float],
    found: Calibration,
    notes: Sequence[str] = (),
    curve: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Page:
    """The report.

    Args:
        title: model and data
        tags: T names
        before: their thresholds so far
        found: the calibration
        notes: what a reader should know
        curve: mean score and part that is true, of bins of scores

    Raises:
        MissingExtraError: matplotlib is not installed
    """
    page = Page(title, f"Thresholds for {found.aim}")
    page.section("Before and after")
    page.table(HEADER, rows(found))
    page.note(
        "In percent. P given: mean precision of the tags that are given at all; P, R, F1: means "
        "over all tags with photos, of which those never given count as 0; oP, oR, oF1: of all "
        "decisions together. Held out: each half of the photos with thresholds that were chosen "
        "on the other half."
    )
    if found.aim.weak:
        page.note(
            "Weak labels: a tag that is right and not named counts as wrong, so that every "
            "precision here is a lower bound."
        )
    for note in notes:
        page.note(note)
    page.section("Thresholds")
    groups: dict[str, tuple[list[float], list[float]]] = {}
    for place, reason in enumerate(found.thresholds.reasons):
        x, y = groups.setdefault(reason, ([], []))
        x.append(float(before[place]))
        y.append(float(found.thresholds.values[place]))
    page.plot(scatter_plot(groups, x_label="before", y_label="after"))
    if curve is not None:
        both = {"scores": curve, "right": ([0.0, 1.0], [0.0, 1.0])}
        page.plot(line_plot(both, x_label="score", y_label="part that is true"))
    page.section("Tags", "By number of photos; precision and recall are held out.")
    order = sorted(range(len(tags)), key=lambda place: -int(found.thresholds.positives[place]))
    shown = [_tag_row(place, tags, before, found) for place in order[:_NUM_ROWS]]
    header = ["tag", "photos", "before", "after", "rule", "given", "right", "precision"]
    page.table([*header, "low", "high", "recall"], [[str(cell) for cell in row] for row in shown])
    if len(tags) > _NUM_ROWS:
        page.note(f"{len(tags) - _NUM_ROWS:,} more tags are in tags.csv.")
    return page
