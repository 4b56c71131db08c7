"""What ``anytag eval`` does; apart from its options, because this imports the heavy parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime, timezone
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

import anytag
from anytag.cli.eval_options import EvalOptions
from anytag.cli.options import RunOn
from anytag.cli.ray_options import make_pool
from anytag.cli.scoring import score_with_bar
from anytag.distributed.pool import Pool
from anytag.errors import MissingExtraError, UsageError
from anytag.evaluation.annotation_kinds import read_annotations
from anytag.evaluation.annotations import Annotations
from anytag.evaluation.asking import Asked, ask_tagger, find_all
from anytag.evaluation.benchmarks import Benchmark
from anytag.evaluation.compare import Comparison, compare
from anytag.evaluation.comparison_files import (
    HEADER,
    LEGEND,
    percent,
    published_row,
    table_rows,
    text_table,
    write_comparison,
)
from anytag.evaluation.comparison_page import comparison_page
from anytag.evaluation.published import PublishedFigure, published_figures, sources
from anytag.evaluation.score_files import SystemScores, read_scores
from anytag.evaluation.score_store import ScoreStore
from anytag.files import display_path

if TYPE_CHECKING:
    from anytag.evaluation.open_clip_models import OpenClip
    from anytag.evaluation.text_matching import ImageTextMatcher
    from anytag.evaluation.zero_shot import ZeroShot

#: what stands before the colon in --model for models of photos and sentences
IMAGE_TEXT = ("clip", "siglip", "open_clip", "blip")
#: failed photos that are named
NUM_SHOWN_ERRORS = 3


def run(options: EvalOptions) -> int:
    """Evaluate; the exit code."""
    rule = options.rule
    benchmark = options.benchmark
    if options.annotations is None:
        assert benchmark is not None
        return _explain(options, benchmark)
    if options.out is not None and find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "eval")  # now, and not after an hour
    annotations = _read(options, benchmark)
    names_of = {one: benchmark.names_of(one) for one in annotations.classes} if benchmark else {}
    systems, num_failed = _score(options, annotations, names_of)
    comparison = compare(annotations, systems, rule=rule)
    published = published_figures(benchmark.published) if benchmark else []
    typer.echo(text_table(HEADER, table_rows(comparison, published)))
    if not options.quiet:
        _remarks(comparison, published)
    if options.out is not None:
        _write(options, benchmark, comparison, published)
    return 1 if num_failed else 0


def _explain(options: EvalOptions, benchmark: Benchmark) -> int:
    """What a set is, where its files come from, and what others have measured on it."""
    if options.model or options.scores or options.out:
        raise UsageError(
            f"--set {benchmark.name} needs its files, --annotations FILE: {benchmark.files}"
        )
    typer.echo(
        f"{benchmark.title}: {benchmark.num_classes} classes, {benchmark.num_images:,} images\n"
        f"files: {benchmark.files}\n"
        f"rule: {benchmark.rule}\n"
    )
    rows = [published_row(one) for one in published_figures(benchmark.published)]
    typer.echo(text_table(HEADER, rows))
    return 0


def _read(options: EvalOptions, benchmark: Benchmark | None) -> Annotations:
    assert options.annotations is not None
    if benchmark is None:
        return read_annotations(options.annotations, options.kind, tags=options.tags)
    found = benchmark.read(options.annotations, options.tags)
    for note in benchmark.note_on_images(len(found.images)):
        _say(options, f"note: {note}")
    return found


def _score(
    options: EvalOptions, annotations: Annotations, names_of: Mapping[str, Sequence[str]]
) -> tuple[list[SystemScores], int]:
    """Scores of every system, and how many photos have failed."""
    systems = [read_scores(name, file, annotations, names_of) for name, file in options.score_files]
    failed: dict[str, str] = {}
    paths = _find(options, annotations) if options.models else []
    measured = []
    with _pool(options) as pool:
        for name, source in options.models:
            system, lost = _measure(options, name, source, annotations, names_of, paths, pool)
            measured.append(system)
            failed |= lost
    for image, message in list(failed.items())[:NUM_SHOWN_ERRORS]:
        _say(options, f"failed: {display_path(image)}: {message}")
    if len(failed) > NUM_SHOWN_ERRORS:
        _say(options, f"  and {len(failed) - NUM_SHOWN_ERRORS:,} more images")
    return [*measured, *systems], len(failed)


def _measure(
    options: EvalOptions,
    name: str,
    source: str,
    annotations: Annotations,
    names_of: Mapping[str, Sequence[str]],
    paths: Sequence[Path],
    pool: Pool | None,
) -> tuple[SystemScores, dict[str, str]]:
    """Scores of one model, and the photos that failed."""
    asked = ask(options, name, source, annotations.classes, names_of)
    folder = None if options.out is None else options.out / "scores"
    store = ScoreStore(folder, name, asked.settings, annotations.images, asked.num_columns)
    if pool is None:
        return score_with_bar(asked, annotations.images, paths, store, options)
    from anytag.cli.eval_shards import ScoreShards, score_on

    assert folder is not None
    make = partial(ScoreShards, options, name, source, annotations.classes, names_of)
    scratch = folder / "ray"
    return score_on(
        pool, make, asked, annotations.images, paths, store, scratch, quiet=options.quiet
    )


def _pool(options: EvalOptions) -> AbstractContextManager[Pool | None]:
    if options.engine is RunOn.LOCAL or not options.models:
        return nullcontext()
    return make_pool(options.ray_address, options.ray_workers, options.device)


def _find(options: EvalOptions, annotations: Annotations) -> list[Path]:
    assert options.annotations is not None
    places = [annotations.folder, options.annotations.parent, Path()]
    return find_all(annotations.images, options.images, places)


def ask(
    options: EvalOptions,
    name: str,
    source: str,
    classes: Sequence[str],
    names_of: Mapping[str, Sequence[str]],
) -> Asked:
    """The model, asked for the classes of a test set."""
    family, colon, rest = source.partition(":")
    if colon and family in IMAGE_TEXT:
        tags = [names_of[one][0] if one in names_of else one for one in classes]
        return _open_image_text(family, rest, options.device).ask(name, tags, options.prompt)
    from anytag.inference.descriptions import read_descriptions
    from anytag.inference.tagger import Tagger

    texts = None if options.descriptions is None else read_descriptions(options.descriptions)
    tagger = Tagger.from_pretrained(source, device=options.device, dtype=options.dtype)
    return ask_tagger(name, tagger, classes, names_of, texts)


def _open_image_text(
    family: str, source: str, device: str
) -> ZeroShot | ImageTextMatcher | OpenClip:
    """A model of photos and sentences, which is asked for tags in a sentence."""
    if family == "open_clip":
        from anytag.evaluation.open_clip_models import OpenClip

        return OpenClip(source, device)
    if family == "blip":
        from anytag.evaluation.text_matching import ImageTextMatcher

        return ImageTextMatcher(source, device)
    from anytag.evaluation.zero_shot import ZeroShot

    return ZeroShot(source, device)


def _remarks(comparison: Comparison, published: Sequence[PublishedFigure]) -> None:
    """What a reader of the table should know, on standard error."""
    typer.echo(f"\n{LEGEND}\nthreshold: {comparison.rule}", err=True)
    for source in sources(published):
        typer.echo(f"published, not measured here: {source}", err=True)
    if comparison.without_positives:
        names = comparison.without_positives
        shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        typer.echo(f"{len(names)} classes have no photo and are left out: {shown}", err=True)
        counted = ", ".join(
            f"{one.name} {percent(one.reference['map'])}" for one in comparison.figures
        )
        typer.echo(f"mAP as the public evaluation code counts, these as 0: {counted}", err=True)
    for one in comparison.figures:
        if one.unsupported:
            shown = ", ".join(one.unsupported[:10]) + (", ..." if len(one.unsupported) > 10 else "")
            typer.echo(
                f"† {one.name} does not support {len(one.unsupported)} classes: {shown}", err=True
            )
    for note in comparison.notes:
        typer.echo(f"note: {note}", err=True)


def _write(
    options: EvalOptions,
    benchmark: Benchmark | None,
    comparison: Comparison,
    published: Sequence[PublishedFigure],
) -> None:
    assert options.out is not None
    assert options.annotations is not None
    options.out.mkdir(parents=True, exist_ok=True)
    title = benchmark.title if benchmark else options.annotations.name
    about: dict[str, Any] = {
        "set": title,
        "rule": benchmark.rule if benchmark else "",
        "anytag": anytag.__version__,
        "date": datetime.now(timezone.utc).date().isoformat(),
    }
    write_comparison(options.out, comparison, about, published)
    find = None
    with suppress(UsageError):  # without the photos the page has none
        files = _find(options, comparison.annotations)
        find = dict(zip(comparison.annotations.images, files, strict=True)).__getitem__
    page = comparison_page(f"Evaluation: {title}", comparison, published, find)
    page.write(options.out / "report.html")
    _say(options, f"written: {display_path(options.out / 'report.html')}")


def _say(options: EvalOptions, message: str) -> None:
    if not options.quiet:
        typer.echo(message, err=True)
