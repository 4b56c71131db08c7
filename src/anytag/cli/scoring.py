"""What ``anytag eval`` and ``calibrate`` share: labelled photos that a model is asked about."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from anytag.cli.progress import progress_bar
from anytag.errors import UsageError
from anytag.evaluation.asking import Asked, score_images
from anytag.evaluation.score_files import SystemScores
from anytag.evaluation.score_store import ScoreStore


@dataclass(frozen=True, kw_only=True)
class ScoringOptions:
    """Options of both commands, by the names of their parameters.

    Raises:
        UsageError: they do not fit together
    """

    kind: str
    tags: Path | None
    images: Path | None
    out: Path | None
    quiet: bool
    device: str
    dtype: str
    batch_size: int
    workers: int | None

    def __post_init__(self) -> None:
        wrong = self.mistakes() | {
            f"--images {self.images}: is no folder": (
                self.images is not None and not self.images.is_dir()
            ),
            f"-o {self.out}: is a file; expected a folder": (
                self.out is not None and self.out.is_file()
            ),
        }
        for message, is_wrong in wrong.items():
            if is_wrong:
                raise UsageError(message)

    def mistakes(self) -> dict[str, bool]:
        """What can be wrong with a command's own options: message -> whether it is."""
        return {}


def score_with_bar(
    asked: Asked,
    images: Sequence[str],
    paths: Sequence[Path],
    store: ScoreStore,
    options: ScoringOptions,
) -> tuple[SystemScores, dict[str, str]]:
    """`score_images` with a bar on a terminal; the store is closed whatever happens."""
    shown = sys.stderr.isatty() and not options.quiet
    try:
        with progress_bar(shown=shown, count=lambda: len(images)) as advance:
            return score_images(
                asked,
                images,
                paths,
                store,
                batch_size=options.batch_size,
                workers=options.workers,
                advance=lambda failed: advance(failed=failed),
            )
    finally:
        store.close()
