"""Annotations of public sets in their own formats: COCO, ADE20k, Open Images; and what
`anytag.data.sources` reads.

A photo has a class if a box, a segment or a pixel of it is there: boxes and masks themselves do
not matter to tagging (RAM, arXiv 2306.03514, "Test Benchmarks").

In Open Images, people have looked at some labels of each photo only. Its rows say present (1) or
absent (0), and what is not named is not known and not counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from anytag.data.json_items import JsonItem, json_items
from anytag.data.problems import Problems
from anytag.data.sources import ade20k, open_source
from anytag.data.sources.paths import find_folder, text_of
from anytag.errors import AnnotationError
from anytag.evaluation.annotation_text import open_text, read_class_list, text_lines
from anytag.evaluation.annotations import Annotations, ClassList, TruthBuilder
from anytag.files import display_path

#: what a reader may not pass over
_FATAL = ("malformed", "truncated", "duplicate", "unreadable")


def read_coco(path: Path, tags: Path | None = None) -> Annotations:
    """``instances_val2017.json`` (80 classes) or ``panoptic_val2017.json`` (133).

    All images of the file count, those without annotations too, and all of its categories.

    Raises:
        AnnotationError: it is no such file, an image comes twice, or an annotation names an image
            or a category that is not there
    """
    del tags  # the file has its own
    problems = Problems()
    images: dict[str, str] = {}
    categories: dict[str, str] = {}
    found: dict[str, set[str]] = {}
    annotations: list[tuple[str, str, list[str]]] = []
    for item in json_items(path, problems):
        _refuse(problems)
        try:
            if item.index is None:
                continue
            if item.key == "images":
                image = text_of(item.value["id"])
                if image in images:
                    raise ValueError(f"the image {image} comes again")
                images[image] = str(item.value["file_name"])
            elif item.key == "categories":
                categories[text_of(item.value["id"])] = str(item.value["name"])
            elif item.key == "annotations":
                where = f"line {item.line}: item {item.index} of 'annotations'"
                annotations.append((where, *_classes_of(item)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise AnnotationError(
                f"{display_path(path)}, line {item.line}: item {item.index} of {item.key!r}: {what}"
            ) from error
    _refuse(problems)
    for name, part in (("images", images), ("categories", categories)):
        if not part:
            raise AnnotationError(
                f"{display_path(path)}: holds no {name!r}; expected COCO's instances_*.json or "
                "panoptic_*.json"
            )
    for where, image, ids in annotations:
        wrong = next((one for one in ids if one not in categories), None)
        if image not in images or wrong is not None:
            what = f"image has the id {image}" if wrong is None else f"category has the id {wrong}"
            raise AnnotationError(f"{display_path(path)}, {where}: no {what}")
        found.setdefault(image, set()).update(ids)
    classes = ClassList(categories.values(), path)
    columns = dict(zip(categories, classes.column_of, strict=True))
    builder = TruthBuilder(path)
    for image, name in images.items():
        builder.add(name, [columns[one] for one in found.get(image, ())], None)
    return builder.build(classes.names, folder=_coco_folder(path), notes=classes.notes)


def _classes_of(item: JsonItem) -> tuple[str, list[str]]:
    value = item.value
    segments = value.get("segments_info", [value])
    return text_of(value["image_id"]), [text_of(one["category_id"]) for one in segments]


def _coco_folder(path: Path) -> Path | None:
    split = path.stem.rpartition("_")[2]
    return find_folder([path.parent, path.parent.parent], [split, f"images/{split}", "images"])


def read_ade20k_150(path: Path, tags: Path | None = None) -> Annotations:
    """The validation set of ``ADEChallengeData2016``: 2,000 photos, 150 classes.

    Raises:
        AnnotationError: a mask or the class list is missing or damaged
    """
    del tags  # the folder has its own
    problems = Problems()
    names = ade20k.class_names(path / ade20k.CLASS_FILE, problems)
    _refuse(problems)
    classes = ClassList(names.values(), path / ade20k.CLASS_FILE)
    builder = TruthBuilder(path)
    records = ade20k.read_ade20k_150(path, problems, splits=["validation"], with_scenes=False)
    for record in records:
        _refuse(problems)
        columns = [classes.column(tag) for tag in record.tags]
        builder.add(Path(record.image).name, [one for one in columns if one is not None], None)
    folder = path / "images" / "validation"
    return builder.build(classes.names, folder=folder, notes=classes.notes)


def read_openimages(path: Path, tags: Path | None = None) -> Annotations:
    """Open Images' label CSV (``*-human-imagelabels*.csv``): verified labels alone are counted.

    Args:
        path: the label file; the class descriptions are beside it
        tags: names of the classes to keep; None = all that come

    Raises:
        AnnotationError: a row has not the header's columns, a label is in no class description, or
            a label of a photo comes twice with another answer
    """
    names = _descriptions(path)
    chosen = None if tags is None else read_class_list(tags)
    answers: dict[str, dict[str, bool]] = {}
    lines: dict[str, int] = {}
    rows = text_lines(path)
    _, header = next(rows, (1, ""))
    columns = header.split(",")
    builder = TruthBuilder(path)
    try:
        places = [columns.index(name) for name in ("ImageID", "LabelName", "Confidence")]
    except ValueError as error:
        raise builder.error(
            1, f"expected the columns ImageID, LabelName and Confidence, found {header!r:.80}"
        ) from error
    for number, line in rows:
        cells = line.split(",")
        if len(cells) != len(columns):
            raise builder.error(number, f"expected {len(columns)} columns, found {len(cells)}")
        image, label, confidence = (cells[place] for place in places)
        if label not in names:
            raise builder.error(number, f"the label {label!r} is in no class description")
        try:
            present = float(confidence) >= 0.5
        except ValueError as error:
            raise builder.error(number, f"confidence {confidence!r} is no number") from error
        if answers.setdefault(image, {}).setdefault(names[label], present) != present:
            raise builder.error(number, f"{names[label]!r} of {image} has two answers")
        lines.setdefault(image, number)
    seen = dict.fromkeys(name for of_image in answers.values() for name in of_image)
    classes = chosen or ClassList(seen, path)
    every = set(range(len(classes.names)))
    for image, of_image in answers.items():
        verified = {classes.column(name): present for name, present in of_image.items()}
        positive = [one for one, present in verified.items() if present and one is not None]
        builder.add(image, positive, lines[image], sorted(every - set(verified)))
    notes = (*classes.notes, "only labels that people have verified are counted")
    return builder.build(classes.names, notes=notes)


def _descriptions(path: Path) -> dict[str, str]:
    patterns = ("*class-descriptions*.csv", "class_descriptions*.csv")
    files = [file for one in patterns for file in sorted(path.parent.glob(one))]
    if not files:
        raise AnnotationError(
            f"{display_path(path)}: no *class-descriptions*.csv is beside it, which gives the "
            "labels (such as /m/01yrx) their names; download it from the Open Images page"
        )
    pairs = (line.partition(",") for line in open_text(files[0]).splitlines())
    return {label: name.strip('" ') for label, comma, name in pairs if comma}


def read_source(path: Path, tags: Path | None = None, kind: str = "auto") -> Annotations:
    """Whatever `anytag.data.sources.open_source` reads, its tags as the classes.

    Raises:
        AnnotationError: a row is broken, or no photo has a tag
        UsageError: the kind is not known
    """
    source = open_source(path, kind)
    records = list(source)
    _refuse(source.problems)
    seen: Iterable[str] = dict.fromkeys(tag for record in records for tag in record.tags)
    classes = ClassList(seen, path) if tags is None else read_class_list(tags)
    builder = TruthBuilder(path)
    for record in records:
        columns = []
        for tag in record.tags:
            column = classes.column(tag)
            if column is None:
                raise builder.error(
                    None,
                    f"{display_path(record.image)}: the tag {tag!r} is not in "
                    f"{display_path(classes.where)}",
                )
            columns.append(column)
        builder.add(record.image, columns, None)
    return builder.build(classes.names, notes=classes.notes)


def _refuse(problems: Problems) -> None:
    """Stop at the first finding that makes the set another one."""
    for problem in problems.examples:
        if problem.kind in _FATAL:
            raise AnnotationError(str(problem))
