"""Asking a model about photos with a bar: what ``anytag eval`` and ``calibrate`` share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from anytag.cli.progress import progress_bar
from anytag.evaluation.asking import Asked, score_images
from anytag.evaluation.score_files import SystemScores
from anytag.evaluation.score_store import ScoreStore


def score_with_bar(
    asked: Asked,
    images: Sequence[str],
    paths: Sequence[Path],
    store: ScoreStore,
    *,
    batch_size: int,
    workers: int | None,
    quiet: bool,
) -> tuple[SystemScores, dict[str, str]]:
    """`score_images` with a bar on a terminal; the store is closed whatever happens."""
    shown = sys.stderr.isatty() and not quiet
    try:
        with progress_bar(shown=shown, count=lambda: len(images)) as advance:
            return score_images(
                asked,
                images,
                paths,
                store,
                batch_size=batch_size,
                workers=workers,
                advance=lambda failed: advance(failed=failed),
            )
    finally:
        store.close()
