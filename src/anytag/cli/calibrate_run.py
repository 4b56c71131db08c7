"""What ``anytag calibrate`` does; apart from its options, because this imports the heavy parts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import typer

import anytag
from anytag.checkpoints.find import EMBEDDED, find_model
from anytag.cli.scoring import ScoringOptions, score_with_bar
from anytag.errors import AnnotationError, MissingExtraError
from anytag.evaluation.annotation_kinds import read_annotations
from anytag.evaluation.annotations import Annotations
from anytag.evaluation.asking import ask_tagger, find_all
from anytag.evaluation.benchmarks import match_classes
from anytag.evaluation.calibrate import Aim, Calibration, calibrate, merge_columns
from anytag.evaluation.calibration_files import (
    FOLDER,
    HEADER,
    calibration_page,
    check_target,
    copy_model,
    rows,
    write_calibration,
)
from anytag.evaluation.comparison_files import text_table
from anytag.evaluation.reliability import reliability
from anytag.evaluation.score_files import SystemScores
from anytag.evaluation.score_store import ScoreStore
from anytag.files import display_path
from anytag.inference.tagger import Tagger
from anytag.labels.labelset import LabelSet

#: names of what is left out that are shown
_NUM_NAMES = 10


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions(ScoringOptions):
    """The options of ``anytag calibrate``, by the names of its parameters.

    Raises:
        UsageError: they do not fit together
    """

    model: str
    data: Path
    weak: bool
    target_precision: float | None
    best_f1: bool
    in_place: bool

    def mistakes(self) -> dict[str, bool]:
        """See `ScoringOptions`."""
        target = self.target_precision
        in_package = self.in_place and self.model in EMBEDDED
        return {
            "say what for: --target-precision P or --best-f1": (
                (target is not None) == self.best_f1
            ),
            f"--target-precision {target}: expected a fraction in (0, 1]": (
                target is not None and not 0.0 < target <= 1.0
            ),
            "say where to: -o DIR for a copy of the model, or --in-place": (
                (self.out is not None) == self.in_place
            ),
            f"--in-place: {self.model} is part of the package; make a copy with -o DIR": in_package,
            f"--in-place: {self.model} is no folder of yours; use -o DIR": (
                self.in_place and not in_package and not Path(self.model).is_dir()
            ),
        }

    @property
    def aim(self) -> Aim:
        """What the thresholds are for."""
        return Aim(target_precision=self.target_precision, weak=self.weak)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Data:
    """Photos with the tags of the model that they were looked at for."""

    annotations: Annotations
    #: of the model
    tags: list[str]
    #: thresholds so far
    before: list[float]
    notes: list[str]


def run(options: CalibrateOptions) -> int:
    """Calibrate; the exit code."""
    if find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "eval")  # now, and not after an hour
    source = find_model(options.model)
    target = options.out or source
    if options.out is not None:
        check_target(source, options.out)
    tagger = Tagger.from_pretrained(options.model, device=options.device, dtype=options.dtype)
    found = read_annotations(options.data, options.kind, tags=options.tags)
    data = _match(options, tagger, found)
    system, num_failed = _score(options, tagger, data, target / FOLDER / "scores")
    kept = np.flatnonzero(system.scored)
    if len(kept) < 2:
        raise AnnotationError(f"{display_path(options.data)}: fewer than two photos can be read")
    part = data.annotations.take_images(kept)
    scores = system.scores[kept]
    calibration = calibrate(
        scores, part.truth, np.array(data.before, np.float32), options.aim, known=part.known
    )
    typer.echo(text_table(HEADER, rows(calibration)))
    labels = _labels(tagger.labels, data.tags, calibration)
    bins = reliability(scores, part.truth, part.known)
    full = [] if bins is None else np.flatnonzero(bins.count).tolist()
    page = calibration_page(
        f"Calibration of {tagger.model_name}",
        data.tags,
        data.before,
        calibration,
        notes=data.notes,
        curve=None if bins is None else (bins.score[full].tolist(), bins.true[full].tolist()),
    )
    about = {
        "model": tagger.model_name,
        "anytag": anytag.__version__,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "data": options.data.name,
        "photos": len(kept),
        "notes": data.notes,
    }
    if options.out is not None:
        copy_model(source, options.out)
    write_calibration(target, labels, data.tags, data.before, calibration, about, page)
    _report(options, data, calibration, target)
    return 1 if num_failed else 0


def _match(options: CalibrateOptions, tagger: Tagger, found: Annotations) -> _Data:
    """The classes that are tags of the model; several may be one."""
    match = match_classes(found.classes, tagger.labels, {})
    unknown = set(match.new)
    groups: dict[str, list[int]] = {}
    for column, (one, tag) in enumerate(zip(found.classes, match.names, strict=True)):
        if one not in unknown:
            groups.setdefault(tag, []).append(column)
    if not groups:
        raise AnnotationError(
            f"{display_path(options.data)}: none of its {len(found.classes)} tags is a tag of "
            f"{options.model}; it has {', '.join(found.classes[:5])}"
        )
    truth, known = merge_columns(found.truth, list(groups.values()), found.known)
    notes = [*found.notes]
    if unknown:
        names = sorted(unknown)
        shown = ", ".join(names[:_NUM_NAMES]) + (", ..." if len(names) > _NUM_NAMES else "")
        notes.append(f"of the data's tags, {len(names)} are not the model's: {shown}")
    rest = len(tagger.labels) - len(groups)
    if rest:
        notes.append(f"{rest:,} tags of the model are not in the data and keep their threshold")
    annotations = Annotations(
        images=found.images,
        classes=tuple(groups),
        truth=truth,
        known=known,
        folder=found.folder,
        notes=tuple(notes),
    )
    before = [label.threshold for tag in groups if (label := tagger.labels.find(tag))]
    return _Data(annotations=annotations, tags=list(groups), before=before, notes=notes)


def _score(
    options: CalibrateOptions, tagger: Tagger, data: _Data, folder: Path
) -> tuple[SystemScores, int]:
    annotations = data.annotations
    asked = ask_tagger(options.model, tagger, annotations.classes)
    places = [annotations.folder, options.data.parent, Path()]
    paths = find_all(annotations.images, options.images, places)
    name = Path(options.model).name
    store = ScoreStore(folder, name, asked.settings, annotations.images, asked.num_columns)
    system, failed = score_with_bar(asked, annotations.images, paths, store, options)
    if failed and not options.quiet:
        image, message = next(iter(failed.items()))
        typer.echo(
            f"{len(failed):,} photos failed and are left out; the first is "
            f"{display_path(image)}: {message}",
            err=True,
        )
    return system, len(failed)


def _labels(labels: LabelSet, tags: list[str], calibration: Calibration) -> LabelSet:
    values = calibration.thresholds.values.tolist()
    return labels.with_thresholds(dict(zip(tags, values, strict=True)))


def _report(options: CalibrateOptions, data: _Data, calibration: Calibration, target: Path) -> None:
    if options.quiet:
        return
    reasons = calibration.thresholds.reasons
    counts = ", ".join(f"{reasons.count(one)} {one}" for one in dict.fromkeys(reasons))
    lines = [
        "",
        f"thresholds for {calibration.aim}; {len(data.tags):,} tags: {counts}; "
        f"global {calibration.thresholds.overall:g}",
        *(f"note: {note}" for note in data.notes),
    ]
    if options.weak:
        lines.append("note: weak labels: every precision is a lower bound")
    lines.append(f"written: {display_path(target / 'labels.json')}, {target / FOLDER}")
    typer.echo("\n".join(lines), err=True)
