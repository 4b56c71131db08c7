"""A comparison as one HTML page: table, plots, and the photos where a system is most wrong."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from anytag.data.images import open_image
from anytag.errors import ImageError
from anytag.evaluation.compare import Comparison
from anytag.evaluation.comparison_files import HEADER, LEGEND, table_rows
from anytag.evaluation.published import PublishedFigure, sources
from anytag.evaluation.report import Page, Picture, bar_plot, line_plot

#: classes with a curve of their own, bars at each end, and pictures of each kind
NUM_CURVES = 4
#: photos of a class of which a curve says something
MIN_PHOTOS = 5
NUM_BARS = 20
NUM_PICTURES = 12
#: side of a picture in pixels
_SIDE = 224


def comparison_page(
    title: str,
    comparison: Comparison,
    published: Sequence[PublishedFigure],
    find: Callable[[str], Path] | None = None,
) -> Page:
    """The page.

    Args:
        title: of the test set
        comparison: what was measured
        published: what others have published on this set
        find: the file of a photo; None where the photos are not there

    Raises:
        MissingExtraError: matplotlib is not installed
    """
    annotations = comparison.annotations
    page = Page(
        title,
        f"{len(annotations.images):,} images, {len(annotations.classes):,} classes, "
        f"{int(annotations.truth.sum()):,} labels",
    )
    page.section("Figures", f"Threshold of the comparison: {comparison.rule}.")
    rows = table_rows(comparison, published)
    shown = [i for i in range(len(HEADER)) if i == 0 or any(row[i] for row in rows)]
    page.table([HEADER[i] for i in shown], [[row[i] for i in shown] for row in rows])
    page.note(LEGEND)
    for source in sources(published):
        page.note(f"Published figures, not measured here: {source}")
    for note in comparison.notes:
        page.note(note)
    _excluded(page, comparison)
    _curves(page, comparison)
    _bars(page, comparison)
    _calibration(page, comparison)
    if find is not None:
        _failures(page, comparison, find)
    return page


def _excluded(page: Page, comparison: Comparison) -> None:
    if comparison.without_positives:
        page.note(
            f"{len(comparison.without_positives)} classes have no photo and are left out: "
            + ", ".join(comparison.without_positives)
        )
    for one in comparison.figures:
        if one.unsupported:
            page.note(f"† {one.name} does not support: {', '.join(one.unsupported)}")


def _curves(page: Page, comparison: Comparison) -> None:
    page.section(
        "Precision and recall",
        "Means over classes with one threshold for all; then single classes: the best, the "
        f"median and the worst of {comparison.figures[0].name}, and where systems differ most.",
    )
    macro = {
        one.name: (one.curve.macro_recall.tolist(), one.curve.macro_precision.tolist())
        for one in comparison.figures
    }
    page.plot(_plot(macro, "mean over classes"))
    truth = comparison.annotations.truth
    for place in _chosen(comparison):
        known = comparison.annotations.known
        mask = slice(None) if known is None else known[:, place]
        curves = {}
        for one, scores in zip(comparison.figures, comparison.scores, strict=True):
            if not np.isnan(one.per_class[place]):
                curves[one.name] = _curve_of(scores[mask, place], truth[mask, place])
        page.plot(_plot(curves, comparison.annotations.classes[place]))


def _plot(curves: dict[str, tuple[list[float], list[float]]], title: str) -> str:
    return line_plot(curves, x_label="recall", y_label="precision", title=title)


def _chosen(comparison: Comparison) -> list[int]:
    """Classes worth a curve: with some photos at least, where there are such."""
    first = comparison.figures[0].per_class.copy()
    many = comparison.annotations.truth.sum(axis=0) >= MIN_PHOTOS
    if (many & ~np.isnan(first)).any():
        first[~many] = np.nan
    order = np.argsort(first)
    order = order[: int((~np.isnan(first)).sum())]  # NaN sorts last
    if not len(order):
        return []
    chosen = [int(order[-1]), int(order[len(order) // 2]), int(order[0])]
    if len(comparison.figures) > 1:
        gap = np.abs(first - comparison.figures[1].per_class)
        if not np.isnan(gap).all():
            chosen.append(int(np.nanargmax(gap)))
    return list(dict.fromkeys(chosen))[:NUM_CURVES]


def _curve_of(
    scores: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    truth: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> tuple[list[float], list[float]]:
    """Recall and precision at the score of each positive."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truth[order])
    at = np.flatnonzero(truth[order])
    if len(at) > 400:
        at = at[np.linspace(0, len(at) - 1, 400).astype(int)]
    return (hits[at] / hits[-1]).tolist(), (hits[at] / (at + 1)).tolist()


def _bars(page: Page, comparison: Comparison) -> None:
    page.section("Average precision of classes")
    names = comparison.annotations.classes
    for one in comparison.figures:
        found = [place for place in np.argsort(-one.per_class) if one.per_class[place] >= 0]
        if len(found) > 2 * NUM_BARS:
            found = [*found[:NUM_BARS], *found[-NUM_BARS:]]
        values = {names[place]: float(one.per_class[place]) for place in found}
        title = one.name if len(found) < 2 * NUM_BARS else f"{one.name}: best and worst"
        page.plot(bar_plot(values, x_label="AP", title=title))


def _calibration(page: Page, comparison: Comparison) -> None:
    curves = {}
    for one in comparison.figures:
        found = one.reliability
        if found is not None:
            filled = found.count > 0
            curves[one.name] = (found.score[filled].tolist(), found.true[filled].tolist())
    if not curves:
        return
    page.section(
        "Calibration",
        "How often a score is right, against the score; on the diagonal it means what it says.",
    )
    curves["diagonal"] = ([0.0, 1.0], [0.0, 1.0])
    page.plot(line_plot(curves, x_label="score", y_label="part that is true"))


def _failures(page: Page, comparison: Comparison, find: Callable[[str], Path]) -> None:
    annotations = comparison.annotations
    known = annotations.known
    for one, scores in zip(comparison.figures, comparison.scores, strict=True):
        counted = ~np.isnan(one.per_class)
        wrong = ~annotations.truth & counted
        missed = annotations.truth & counted
        if known is not None:
            wrong, missed = wrong & known, missed & known
        page.section(
            f"Where {one.name} is most wrong",
            "One photo for a class. Some are errors of the labels.",
        )
        for mask, sign, tone, text in (
            (wrong, -1.0, "bad", "The highest scores of classes that the photo has not:"),
            (missed, 1.0, "missed", "The lowest scores of classes that it has:"),
        ):
            page.text(text)
            pictures = []
            for row, place in _extremes(np.where(mask, sign * scores, np.inf), NUM_PICTURES):
                has = [annotations.classes[i] for i in np.flatnonzero(annotations.truth[row])]
                picture = _picture(
                    find(annotations.images[row]),
                    f"{annotations.classes[place]} {scores[row, place]:.3f}",
                    [f"labels: {', '.join(has) or 'none'}", annotations.images[row]],
                    tone,
                )
                if picture is not None:
                    pictures.append(picture)
            page.pictures(pictures)


def _extremes(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float32]], number: int
) -> list[tuple[int, int]]:
    """Row and column of the smallest values, each column and each row once; +inf is none."""
    rows = values.argmin(axis=0)
    lowest = values[rows, np.arange(values.shape[1])]
    found: list[tuple[int, int]] = []
    used: set[int] = set()
    for place in np.argsort(lowest, kind="stable").tolist():
        if np.isposinf(lowest[place]) or len(found) == number:
            break
        if int(rows[place]) not in used:
            used.add(int(rows[place]))
            found.append((int(rows[place]), place))
    return found


def _picture(path: Path, title: str, lines: Sequence[str], tone: str) -> Picture | None:
    try:
        image = open_image(path, target_size=_SIDE)
    except ImageError:
        return None
    image.thumbnail((_SIDE, _SIDE))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=80)
    return Picture(data=data.getvalue(), title=title, lines=list(lines), tone=tone)
