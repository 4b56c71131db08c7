"""``report.html`` of a run: how it went, tag by tag and picture by picture.

Made from what a run leaves in its folder (see `run`), so that it can be made of an interrupted run
too. What is missing leaves its section out, and the page says why.

Shapes: N validation pictures, T tags.
"""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import numpy as np

from anytag.config import from_plain
from anytag.errors import AnytagError, LabelError, TrainingError
from anytag.evaluation.metrics import mean_average_precision
from anytag.evaluation.report import Page, bar_plot, line_plot
from anytag.labels.labelset import LabelSet
from anytag.training.config import TrainConfig
from anytag.training.config_file import read_config
from anytag.training.examples import Examples
from anytag.training.journal import Line, read_journal
from anytag.training.run_pictures import Answers, sample_pictures
from anytag.training.session import open_pictures
from anytag.training.state import Progress, newest_state

T = TypeVar("T")

#: points of a curve; more of them are averaged
_MAX_POINTS = 400
#: tags on either side of the bar plot
_NUM_BARS = 15
#: what a line of the journal holds beside the terms of the loss
_NOT_LOSSES = ("kind", "step", "epoch", "lr", "gradient_norm")


@dataclass(frozen=True, kw_only=True)
class RunFiles:
    """What a run's folder holds; None where it is not there or cannot be read."""

    folder: Path
    config: TrainConfig
    journal: list[Line]
    progress: Progress | None
    answers: Answers | None
    #: training and validation pictures
    pictures: tuple[Examples, Examples | None] | None
    #: why something of it is None
    missing: tuple[str, ...]


def write_report(folder: Path) -> Path:
    """Make ``report.html`` in a run's folder, finished or not.

    Raises:
        ConfigError: the folder holds no config.yaml, so it is no run
        MissingExtraError: matplotlib is not installed
    """
    run = read_run(folder)
    page = Page(f"Run {folder.absolute().name}", subtitle=_subtitle(run))
    _add_summary(page, run)
    _add_losses(page, run)
    _add_validation(page, run)
    if run.answers is not None:
        _add_tags(page, run.answers)
    if run.answers is not None and run.pictures is not None and run.pictures[1] is not None:
        _add_pictures(page, run.answers, run.pictures[1])
    _add_skipped(page, run)
    if run.missing:
        page.section("Not in this report")
        for reason in run.missing:
            page.text(reason)
    path = folder / "report.html"
    page.write(path)
    return path


def read_run(folder: Path) -> RunFiles:
    """Read a run's folder.

    Raises:
        ConfigError: it holds no config.yaml
    """
    config = read_config(folder / "config.yaml")
    missing: list[str] = []
    try:
        journal = read_journal(folder)
    except (OSError, ValueError) as error:
        journal = []
        missing.append(f"Curves: metrics.jsonl cannot be read ({error}).")
    return RunFiles(
        folder=folder,
        config=config,
        journal=journal,
        progress=_try(lambda: _read_progress(folder), "Progress", missing),
        answers=_try(lambda: read_answers(folder), "Tags and pictures", missing),
        pictures=_try(lambda: _open_same(config, folder), "Pictures", missing),
        missing=tuple(missing),
    )


def read_answers(folder: Path) -> Answers:
    """The best model's scores on the validation pictures.

    Raises:
        TrainingError: there are none, or they cannot be read
        LabelError: the model's tags cannot be read, or are others
    """
    try:
        with (
            (folder / "validation.npz").open("rb") as file,  # numpy would leave a broken one open
            np.load(file, allow_pickle=False) as arrays,
        ):
            positions, scores, truth, known = (
                arrays[name] for name in ("positions", "scores", "truth", "known")
            )
    except FileNotFoundError as error:
        raise TrainingError("no validation was saved (validation.npz)") from error
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise TrainingError(f"validation.npz cannot be read ({error})") from error
    labels = LabelSet.load(folder / "model" / "labels.json", repeated_names=True)
    if scores.shape != (len(positions), len(labels)):
        raise LabelError(
            f"validation.npz holds {scores.shape[-1]} tags, model/labels.json {len(labels)}"
        )
    return Answers(
        labels=labels,
        positions=positions,
        scores=scores.astype(np.float32),
        truth=truth & known,
        known=known,
    )


def _try(read: Callable[[], T], what: str, missing: list[str]) -> T | None:
    try:
        return read()
    except (AnytagError, OSError, ValueError) as error:
        missing.append(f"{what}: {error}")
        return None


def _read_progress(folder: Path) -> Progress:
    state = newest_state(folder / "state")
    if state is None:
        raise TrainingError("no state was saved yet")
    return from_plain(Progress, json.loads((state / "progress.json").read_text(encoding="utf-8")))


def _open_same(config: TrainConfig, folder: Path) -> tuple[Examples, Examples | None]:
    """The pictures of the run; only those, because others would have the wrong scores."""
    cache = folder / "cache"
    before = set(cache.glob("*.json"))
    pictures = open_pictures(config, folder)
    if set(cache.glob("*.json")) - before:
        raise TrainingError("the data sets have changed since the run, or its cache was deleted")
    return pictures


def _num_steps(run: RunFiles) -> int | None:
    """Of the whole run."""
    if run.pictures is None:
        return None
    steps = len(run.pictures[0]) // run.config.run.batch_size * run.config.run.epochs
    return min(steps, run.config.run.max_steps or steps)


def _subtitle(run: RunFiles) -> str:
    start = run.config.model.start or f"a new {run.config.model.network}"
    sources = ", ".join(one.path for one in run.config.data.train)
    total = _num_steps(run)
    done = 0 if run.progress is None else run.progress.step
    standing = ""
    if total is not None and done < total:
        standing = f" Not finished: {done:,} of {total:,} steps are saved."
    return f"From {start}, with {sources}.{standing}"


def _add_summary(page: Page, run: RunFiles) -> None:
    page.section("The run")
    rows: list[tuple[str, str]] = []
    if run.pictures is not None:
        train, val = run.pictures
        rows.append(("training pictures", f"{len(train):,}"))
        rows.append(("validation pictures", f"{0 if val is None else len(val):,}"))
    if run.answers is not None:
        rows.append(("tags", f"{len(run.answers.labels):,}"))
    settings = run.config.run
    rows.append(("epochs", f"{settings.epochs:,}"))
    rows.append(("pictures a step", f"{settings.batch_size:,}"))
    progress = run.progress
    if progress is not None:
        rows.append(("steps", f"{progress.step:,}"))
        rows.append(("time", str(timedelta(seconds=round(progress.seconds)))))
        if progress.seconds > 0:
            rate = progress.step * settings.batch_size / progress.seconds
            rows.append(("pictures a second, validation included", f"{rate:,.1f}"))
    if progress is not None and progress.best_map is not None:
        rows.append(("best validation mAP", f"{100 * progress.best_map:.1f} %"))
        rows.append(("at step", f"{progress.best_step:,}"))
    values = [line["map"] for line in run.journal if line["kind"] == "val"]
    if values and values[-1] is not None:
        rows.append(("last validation mAP", f"{100 * values[-1]:.1f} %"))
    page.table(["", ""], rows)


def _add_losses(page: Page, run: RunFiles) -> None:
    lines = [line for line in run.journal if line["kind"] == "train"]
    page.section("Loss")
    if not lines:
        page.text(
            "No step was logged: metrics.jsonl gets a line every run.log_every "
            f"({run.config.run.log_every}) steps."
        )
        return
    steps = [line["step"] for line in lines]
    names = [name for name in lines[0] if name not in _NOT_LOSSES]
    if names[1:] and len(names) == 2:  # one term and the total, which is that term times a weight
        names = names[1:]
    for name in (*names, "lr", "gradient_norm"):
        values = [line.get(name, np.nan) for line in lines]
        title = {"lr": "learning rate", "gradient_norm": "gradient norm"}.get(name, f"{name} loss")
        page.plot(line_plot({name: thinned(steps, values)}, x_label="step", title=title))


def thinned(
    x: Iterable[float], y: Iterable[float], most: int = _MAX_POINTS
) -> tuple[list[float], list[float]]:
    """A curve with at most ``most`` points, each the mean of neighbours.

    >>> thinned([1, 2, 3, 4], [1.0, 3.0, 5.0, 7.0], most=2)
    ([1.5, 3.5], [2.0, 6.0])
    """
    curve = np.array([list(x), list(y)], dtype=float)
    parts = np.array_split(curve, min(most, max(1, curve.shape[1])), axis=1)
    means = np.array([part.mean(axis=1) for part in parts])
    return means[:, 0].tolist(), means[:, 1].tolist()


def _add_validation(page: Page, run: RunFiles) -> None:
    lines = [line for line in run.journal if line["kind"] == "val" and line["map"] is not None]
    if not lines:
        page.section("Validation", "No validation was made, or no tag occurs in its pictures.")
        return
    page.section("Validation")
    curve = ([line["step"] for line in lines], [100 * line["map"] for line in lines])
    page.plot(line_plot({"mAP": curve}, x_label="step", y_label="mAP in %"))
    page.note(f"Mean over the {lines[-1]['num_tags']:,} tags that occur in validation pictures.")


def _add_tags(page: Page, answers: Answers) -> None:
    found = mean_average_precision(answers.scores, answers.truth, known=answers.known)
    counts = answers.truth.sum(axis=0)
    ranked = sorted(np.flatnonzero(counts).tolist(), key=lambda i: (-found.per_class[i], i))
    page.section(
        "Average precision of each tag",
        f"The {len(ranked):,} tags that occur in the {len(answers.positions):,} validation "
        "pictures, measured with the best model. Of a tag with few pictures it says little.",
    )
    values = {i: float(found.per_class[i]) for i in ranked}
    names = _unique_names(answers.labels, ranked)
    if len(ranked) <= 2 * _NUM_BARS:
        page.plot(_bars("tags", ranked, names, values))
    else:
        page.plot(_bars(f"best {_NUM_BARS}", ranked[:_NUM_BARS], names, values))
        page.plot(_bars(f"worst {_NUM_BARS}", ranked[-_NUM_BARS:], names, values))
    rows = [(names[i], values[i], int(counts[i])) for i in ranked]
    page.table(["tag", "average precision", "pictures"], rows)


def _bars(title: str, ids: list[int], names: dict[int, str], values: dict[int, float]) -> str:
    bars = {names[i]: values[i] for i in ids}
    return bar_plot(bars, x_label="average precision", title=title)


def _unique_names(labels: LabelSet, ids: list[int]) -> dict[int, str]:
    """Names, with the id where several tags have the same."""
    times = Counter(labels[i].name for i in ids)
    return {
        i: labels[i].name if times[labels[i].name] == 1 else f"{labels[i].name} ({i})" for i in ids
    }


def _add_pictures(page: Page, answers: Answers, examples: Examples) -> None:
    page.section("Predictions on validation pictures")
    pictures, rule = sample_pictures(answers, examples)
    page.text(rule)
    page.pictures(pictures)


def _add_skipped(page: Page, run: RunFiles) -> None:
    page.section("Left out")
    if run.progress is not None:
        page.text(
            f"{run.progress.num_skipped:,} times a picture could not be read in training, and "
            "another one took its place (once an epoch for each)."
        )
    if run.pictures is None:
        return
    rows: list[tuple[str, str, int]] = []
    examples: list[str] = []
    for one in {s.key: s for part in run.pictures if part for s in part.spools}.values():
        rows += [(one.path, kind, num) for kind, num in sorted(one.problem_counts.items())]
        examples += one.problem_examples
    if rows:
        page.table(["data set", "problem", "rows"], rows)
        for text in examples:
            page.note(text)
    else:
        page.text("Nothing was wrong with the files of the data sets.")
