"""``anytag eval --engine ray``: photos are scored in shards, by a pool of workers.

Scores go into the same store as without Ray as soon as a shard is done, and what the store holds is
not planned again; so the job's own folder is only scratch.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from anytag.cli.eval_options import EvalOptions
from anytag.cli.interrupts import interrupts_drain
from anytag.cli.progress import progress_bar
from anytag.cli.ray_options import SHARD_SIZE
from anytag.data.discover import path_from_text, path_text
from anytag.distributed.job import Job, PlannedShard, locked, open_job
from anytag.distributed.pool import Pool, request_stop, run_shards_on
from anytag.distributed.storage import STORAGE_ERRORS, check_storage, witnesses
from anytag.distributed.worker import Answer
from anytag.engine.steps import Counts, write_json
from anytag.evaluation.asking import Asked, system_scores
from anytag.evaluation.score_files import SystemScores
from anytag.evaluation.score_store import ScoreStore, fingerprint
from anytag.files import atomic_write
from anytag.inference.stream import stream

_ERRORS = ".errors.json"


def plan_scoring(
    rows: Sequence[int], paths: Sequence[Path], size: int = SHARD_SIZE
) -> Iterator[PlannedShard]:
    """Shards of photos, by their rows in the store."""
    for start in range(0, len(rows), size):
        own = rows[start : start + size]
        files = [paths[row] for row in own]
        known = [path_text(path) for path in witnesses(files)]
        plan = {"rows": list(own), "paths": [path_text(path) for path in files], "known": known}
        yield plan, len(own)


class ScoreShards:
    """A `anytag.distributed.worker.Make`: parts are float32 [n, C], NaN where a photo failed.

    Args:
        options: of the command
        name: of the model, as the report calls it
        source: of the model
        classes: of the test set
        names_of: what a class may be called
        job: its shards
    """

    def __init__(
        self,
        options: EvalOptions,
        name: str,
        source: str,
        classes: Sequence[str],
        names_of: Mapping[str, Sequence[str]],
        job: Job,
    ) -> None:
        self._question = (options, name, source, list(classes), dict(names_of))
        self._job = job
        self._asked: Asked | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_asked": None}  # each process loads its own

    def __call__(self, shard: int) -> Counts:
        """See `anytag.distributed.worker.Make`."""
        asked, plan = self._model(), self._job.shard(shard)
        paths = [path_from_text(text) for text in plan["paths"]]
        found = np.full((len(paths), asked.num_columns), np.nan, np.float32)
        errors: dict[int, str] = {}
        away: list[Path] = []
        options = self._question[0]
        results = stream(
            range(len(paths)),
            load=lambda place: asked.load(paths[place]),
            score=asked.score,
            batch_size=options.batch_size,
            workers=options.workers or 1,
            pad_to=asked.pad_to,
        )
        with closing(results):
            for one in results:
                if one.scores is not None:
                    found[one.item] = one.scores
                elif one.error is not None:
                    errors[plan["rows"][one.item]] = one.error.message
                    away += [paths[one.item]] if one.error.type in STORAGE_ERRORS else []
        check_storage([path_from_text(text) for text in plan["known"]], away)
        with atomic_write(self._job.part(shard)) as file:
            np.save(file, found, allow_pickle=False)
        write_json(self._job.step.path(shard, _ERRORS), errors)
        return Counter(images=len(paths), failed=len(errors))

    def _model(self) -> Asked:
        if self._asked is None:
            from anytag.cli.eval_run import ask

            self._asked = ask(*self._question)
        return self._asked


def score_on(
    pool: Pool,
    make: Any,
    asked: Asked,
    images: Sequence[str],
    paths: Sequence[Path],
    store: ScoreStore,
    out: Path,
    *,
    quiet: bool,
) -> tuple[SystemScores, dict[str, str]]:
    """As `anytag.evaluation.asking.score_images`, by a pool.

    Args:
        pool: who scores
        make: job -> its `ScoreShards`
        asked: the model
        images: N ids
        paths: their files
        store: keeps the scores; is closed in the end
        out: folder of the scratch folder
        quiet: no bar
    """
    marks = [fingerprint(path) for path in paths]
    pending = store.pending(marks)
    failed: dict[str, str] = {}
    plan = partial(plan_scoring, pending, paths)
    job = open_job(out, {}, plan, suffix=".npy", mode="overwrite", in_parts=False)
    shown = sys.stderr.isatty() and not quiet
    try:
        with (
            locked(job),
            progress_bar(shown=shown, count=lambda: len(pending)) as advance,
            interrupts_drain(partial(request_stop, job.step)),
        ):

            def report(answer: Answer) -> None:
                rows = job.shard(answer.shard)["rows"]
                text = job.step.path(answer.shard, _ERRORS).read_text(encoding="utf-8")
                errors: dict[str, str] = json.loads(text)
                for row, scores in zip(rows, np.load(job.part(answer.shard)), strict=True):
                    store.put(row, None if str(row) in errors else scores, marks[row])
                failed.update({images[int(row)]: why for row, why in errors.items()})
                advance(num=len(rows), failed=len(errors))

            run_shards_on(pool, job.step, job.num_shards, make(job), report=report)
        job.remove()
    finally:
        store.close()
    return system_scores(asked, store.scores()), failed
