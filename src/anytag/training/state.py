"""The state of a run on disk: everything that a killed run needs to go on as if nothing happened.

    state/step-000120/weights.safetensors   the objective's weights: network, and adapter if any
    state/step-000120/average.safetensors   moving average of the weights, where there is one
    state/step-000120/optimizer.pt          optimizer state (tensors and numbers, no code)
    state/step-000120/progress.json         where the run stands

A folder is written under another name and renamed when complete; the one before stays until then.
Randomness needs no state: augmentation, dropout and order are functions of seed and step.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from anytag.config import from_plain, to_plain
from anytag.errors import ConfigError, TrainingError

#: kept beside the newest one: a state in which the loss had already gone wrong is no use
NUM_KEPT = 2


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run stands."""

    #: steps done
    step: int = 0
    #: of the configuration with which the run began
    config: str = ""
    best_map: float | None = None
    best_step: int | None = None
    #: pictures that could not be read so far, on this and all other processes
    num_skipped: int = 0
    #: seconds of training, interruptions left out
    seconds: float = 0.0
    #: of the weights' moving average
    num_averaged: int = 0


@dataclass(frozen=True, kw_only=True)
class SavedState:
    """What `load_state` gives."""

    progress: Progress
    weights: dict[str, Tensor]
    optimizer: dict[str, Any] = field(repr=False)
    average: dict[str, Tensor] | None


def save_state(
    folder: Path,
    progress: Progress,
    weights: Mapping[str, Tensor],
    optimizer: Mapping[str, Any],
    average: Mapping[str, Tensor] | None,
) -> Path:
    """Write a state and remove all but the newest ones."""
    final = folder / f"step-{progress.step:06d}"
    part = folder / f".part-{os.getpid()}"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    _save_tensors(weights, part / "weights.safetensors")
    if average is not None:
        _save_tensors(average, part / "average.safetensors")
    torch.save(dict(optimizer), part / "optimizer.pt")
    (part / "progress.json").write_text(json.dumps(to_plain(progress)), encoding="utf-8")
    for file in part.iterdir():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    shutil.rmtree(final, ignore_errors=True)
    part.rename(final)
    for old in _states(folder)[:-NUM_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    for left in folder.glob(".part-*"):
        shutil.rmtree(left, ignore_errors=True)
    return final


def newest_state(folder: Path) -> Path | None:
    """The newest complete state, or None."""
    found = _states(folder)
    return found[-1] if found else None


def load_state(path: Path) -> SavedState:
    """Read a state.

    Raises:
        TrainingError: it is damaged
    """
    try:
        values = json.loads((path / "progress.json").read_text(encoding="utf-8"))
        average = path / "average.safetensors"
        return SavedState(
            progress=from_plain(Progress, values),
            weights=load_file(path / "weights.safetensors"),
            optimizer=torch.load(path / "optimizer.pt", weights_only=True),
            average=load_file(average) if average.is_file() else None,
        )
    except (OSError, ValueError, RuntimeError, ConfigError) as error:
        raise TrainingError(
            f"{path}: the saved state cannot be read ({error}); delete this folder to go on from "
            "the one before"
        ) from error


def _states(folder: Path) -> list[Path]:
    return sorted(
        (one for one in folder.glob("step-*") if (one / "progress.json").is_file()),
        key=lambda one: int(one.name.removeprefix("step-")),
    )


def _save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    # clones: tied weights share memory, which safetensors refuses
    save_file(
        {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}, path
    )
