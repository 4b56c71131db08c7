"""One training run from its configuration to a model directory and a report.

runs/pets/config.yaml     the configuration, every value in it
runs/pets/metrics.jsonl   see `journal`
runs/pets/state/          see `state`
runs/pets/cache/          records of the data sets, and features of views (`cached_views`)
runs/pets/model/          the best model so far (`Tagger.from_pretrained`)
runs/pets/validation.npz  its scores on the validation pictures
runs/pets/report.html     curves, average precision of each tag, predictions on pictures
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from anytag.errors import UsageError
from anytag.files import atomic_write
from anytag.labels.labelset import LabelSet
from anytag.training.config import TrainConfig
from anytag.training.config_file import write_config
from anytag.training.model_io import save_trained
from anytag.training.session import Session, open_session
from anytag.training.state import Progress, newest_state
from anytag.training.trainer import Listener, Trainer
from anytag.training.validation import Validation

#: a threshold outside of these says more of few pictures than of the tag
LOWEST, HIGHEST = 0.05, 0.95


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What a run came to."""

    folder: Path
    #: the model directory
    model: Path
    progress: Progress
    num_images: int


def train(config: TrainConfig, listener: Listener, *, resume: bool = False) -> Finished:
    """Train a model, or go on with a run that was interrupted.

    Args:
        config: the run
        listener: is told how it goes on
        resume: go on where the newest saved state stands

    Raises:
        UsageError: the folder holds a run, and ``resume`` was not asked for
        TrainingError: the loss became NaN, or the saved state is another run's
        ConfigError, ModelError, OutputError: see `open_session`
    """
    folder = Path(config.output)
    if not resume and newest_state(folder / "state") is not None:
        raise UsageError(
            f"{folder}: holds a run already; go on with --resume, or give another output"
        )
    session = open_session(config, listener.caching)
    for note in session.notes:
        listener.noted(note)
    if session.accelerator.is_main_process:
        write_config(config, folder / "config.yaml")

    def save_model(weights: Mapping[str, Tensor], validation: Validation | None) -> None:
        _save_model(session, weights, validation)

    progress = Trainer(session, listener, save_model).run()
    return Finished(
        folder=folder,
        model=folder / "model",
        progress=progress,
        num_images=len(session.examples),
    )


def _save_model(
    session: Session, weights: Mapping[str, Tensor], validation: Validation | None
) -> None:
    trainable = session.trainable
    if validation is not None:
        threshold = validation.best_threshold
        if threshold is not None:
            threshold = round(float(np.clip(threshold, LOWEST, HIGHEST)), 3)
            trainable = replace(
                trainable,
                labels=_with_threshold(trainable.labels, threshold),
                open_threshold=threshold,
            )
        with atomic_write(session.folder / "validation.npz") as file:
            np.savez_compressed(
                file,
                positions=validation.positions,
                scores=validation.scores.astype(np.float16),
                truth=validation.truth,
                known=validation.known,
            )
    save_trained(
        trainable,
        weights,
        session.folder / "model",
        name=session.folder.name,
        card=_card(session, validation),
    )


def _with_threshold(labels: LabelSet, threshold: float) -> LabelSet:
    """Tags that were off stay off."""
    return LabelSet(
        (x if x.threshold == 1.0 else replace(x, threshold=threshold) for x in labels),
        repeated_names=True,
    )


def _card(session: Session, validation: Validation | None) -> str:
    config = session.config
    sources = "\n".join(f"* {one.path} ({one.kind})" for one in config.data.train)
    measured = "No pictures were kept for validation."
    if validation is not None and validation.mean is not None:
        measured = (
            f"mAP {100 * validation.mean:.1f} % over {validation.num_tags} tags on "
            f"{len(validation.positions)} validation pictures. The thresholds are the one with "
            "the best F1 on them; `anytag calibrate` gives each tag its own."
        )
    start = config.model.start or f"a new {config.model.network}"
    silent = "" if config.loss.captioning else " It writes no captions."
    return (
        f"# {session.folder.name}\n\nA tagging model with {len(session.trainable.labels)} tags, "
        f"trained by anytag from {start}.{silent}\n\n## Data\n\n{sources}\n\n"
        f"{len(session.examples)} pictures, {config.run.epochs} epochs at "
        f"{session.trainable.image_size} pixels.\n\n"
        f"## Measured\n\n{measured}\n"
    )
