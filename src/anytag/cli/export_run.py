"""What ``anytag export`` does; apart from its options, because this imports the heavy parts."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import typer

from anytag.cli.progress import progress_bar
from anytag.data.discover import find_images
from anytag.errors import ImageError, UsageError
from anytag.evaluation.annotation_kinds import read_annotations
from anytag.evaluation.annotations import Annotations
from anytag.evaluation.asking import ask_tagger, find_all, score_images
from anytag.evaluation.metrics import mean_average_precision
from anytag.evaluation.score_store import ScoreStore
from anytag.files import display_path
from anytag.inference.export import ExportOptions, export_model, write_card
from anytag.inference.export_card import ExportCard
from anytag.inference.tagger import Tagger


@dataclass(frozen=True, kw_only=True)
class ExportRun:
    """The options of ``anytag export``.

    Raises:
        UsageError: they do not fit together
    """

    model: str
    to: str
    output: Path
    int8: bool
    max_changed: float
    overwrite: bool
    photos: Path | None
    num_photos: int
    data: Path | None
    images: Path | None
    quiet: bool

    def __post_init__(self) -> None:
        wrong = {
            "--int8 is calibrated on photos like those to be tagged: --photos FOLDER": self.int8
            and self.photos is None,
            f"--photos {self.photos}: is no folder": self.photos is not None
            and not self.photos.is_dir(),
            "--images is the folder of the photos of --data": self.images is not None
            and self.data is None,
        }
        for message, is_wrong in wrong.items():
            if is_wrong:
                raise UsageError(message)


def run(options: ExportRun) -> None:
    """Export, compare and report."""
    exporting = ExportOptions(
        backend=options.to,
        int8=options.int8,
        overwrite=options.overwrite,
        max_changed=options.max_changed,
    )
    exporting.check_output(options.output)  # now, and not after minutes
    annotations = None if options.data is None else read_annotations(options.data)
    tagger = Tagger.from_pretrained(options.model, device="cpu", dtype="float32", backend="torch")
    photos = None if options.photos is None else load_photos(options, tagger)
    card = export_model(tagger, options.output, exporting, photos)
    if annotations is not None:
        card = _compare_map(options, tagger, annotations, card)
        write_card(options.output, card)
    if not options.quiet:
        typer.echo("\n".join(report(card, options.output)), err=True)
        if tagger.writes_captions:
            typer.echo(f"{tagger.model_name} writes captions, its export does not", err=True)
    typer.echo(display_path(options.output))


def load_photos(options: ExportRun, tagger: Tagger) -> npt.NDArray[np.uint8]:
    """Photos from all over a folder, uint8 [N, S, S, 3].

    Raises:
        UsageError: there are none that can be read
    """
    assert options.photos is not None
    found = [one for one in find_images([options.photos], recursive=True) if isinstance(one, Path)]
    places = np.linspace(0, len(found) - 1, min(options.num_photos, len(found))).astype(int)
    loaded, errors = [], []
    shown = sys.stderr.isatty() and not options.quiet
    with progress_bar(shown=shown, count=lambda: len(places)) as advance:
        for place in places:
            try:
                loaded.append(tagger.load(found[place]).pixels)
                advance(failed=False)
            except ImageError as error:
                errors.append(str(error))
                advance(failed=True)
    for message in errors[:3]:
        typer.echo(f"not used: {message}", err=True)
    if not loaded:
        raise UsageError(f"--photos {display_path(options.photos)}: no photo that can be read")
    return np.stack(loaded)


def _compare_map(
    options: ExportRun, tagger: Tagger, annotations: Annotations, card: ExportCard
) -> ExportCard:
    """The card with the mean average precision of both."""
    assert options.data is not None
    assert card.parity is not None
    places = [annotations.folder, options.data.parent, Path()]
    paths = find_all(annotations.images, options.images, places)
    exported = Tagger.from_pretrained(options.output, backend=options.to)
    figures = []
    for one in (tagger, exported):
        asked = ask_tagger(one.model_name, one, annotations.classes)
        store = ScoreStore(None, asked.name, asked.settings, annotations.images, asked.num_columns)
        system, failed = score_images(asked, annotations.images, paths, store)
        if len(failed) == len(paths):
            raise UsageError(f"--data: no photo can be read ({next(iter(failed.values()))})")
        rows, columns = system.scored, system.supported
        figures.append(
            mean_average_precision(
                system.scores[rows][:, columns],
                annotations.truth[rows][:, columns],
                known=None if annotations.known is None else annotations.known[rows][:, columns],
            ).value
        )
    return replace(card, parity=replace(card.parity, map_torch=figures[0], map_exported=figures[1]))


def report(card: ExportCard, output: Path) -> list[str]:
    """What a person should know of an export, line by line."""
    parity = card.parity
    assert parity is not None
    size = sum(file.stat().st_size for file in output.rglob("*") if file.is_file())
    what = "photos" if parity.images == "photos" else "made pictures"
    lines = [
        f"{card.version} for {card.backend}: {parity.num_tags:,} tags, "
        f"{card.image_size} x {card.image_size} pixels, {size / 1e6:.1f} MB",
        f"compared with torch on {parity.num_images:,} {what}: logits differ by up to "
        f"{parity.max_logit_difference:.2g}, probabilities by {parity.max_score_difference:.2g}",
        f"{parity.num_tags_changed:,} of {parity.num_given:,} tags changed, on "
        f"{parity.num_images_changed:,} of {parity.num_images:,} {what}",
    ]
    if parity.map_torch is not None and parity.map_exported is not None:
        change = 100 * (parity.map_exported - parity.map_torch)
        lines.append(
            f"mAP {100 * parity.map_torch:.2f} in torch, {100 * parity.map_exported:.2f} exported "
            f"({change:+.2f})"
        )
    return lines
