"""Validation: mean average precision over the validation sets, on all processes together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anytag.errors import TrainingError
from anytag.evaluation.metrics import (
    MeanAveragePrecision,
    best_f1_threshold,
    mean_average_precision,
)
from anytag.training.batch import Batch

#: of one batch: positions, scores, truth, known
Arrays = list[npt.NDArray[np.generic]]


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Scores of the validation pictures and what was measured on them."""

    #: place of each picture in the validation set [N]
    positions: npt.NDArray[np.int64]
    #: probabilities [N, T]
    scores: npt.NDArray[np.float32]
    #: [N, T]
    truth: npt.NDArray[np.bool_]
    #: [N, T], False where nobody knows the truth; these answers do not count
    known: npt.NDArray[np.bool_]
    average_precision: MeanAveragePrecision

    @property
    def mean(self) -> float | None:
        """mAP in [0, 1] over the tags that occur; None where none does."""
        value = self.average_precision.value
        return None if np.isnan(value) else float(value)

    @property
    def num_tags(self) -> int:
        """Tags that occur among the pictures."""
        return int((self.truth & self.known).any(axis=0).sum())

    @property
    def best_threshold(self) -> float | None:
        """The one threshold for all tags with the best overall F1."""
        counted = self.known & (self.truth & self.known).any(axis=0)
        if not counted.any():
            return None
        return float(best_f1_threshold(self.scores[counted], self.truth[counted]).threshold)


def validate(
    predict: Callable[[Batch], Tensor],
    batches: Iterable[Batch],
    device: torch.device,
    gather: Callable[[list[Arrays]], list[list[Arrays]]],
) -> Validation:
    """Score pictures.

    Args:
        predict: a batch -> logits [B, T]
        batches: this process's share of the pictures
        device: where ``predict`` runs
        gather: this process's findings -> those of every process

    Raises:
        TrainingError: there is no picture
    """
    found: list[Arrays] = []
    with torch.inference_mode():
        for batch in batches:
            scores = predict(batch.to(device)).float().sigmoid().cpu()
            weights = batch.weights
            known = torch.ones_like(batch.targets) if weights is None else weights
            found.append(
                [
                    part.numpy()
                    for part in (batch.positions, scores, batch.targets >= 0.5, known > 0)
                ]
            )
    shares = [part for share in gather(found) for part in share]
    if not shares:
        raise TrainingError("the validation sets hold no picture that can be read")
    order = np.argsort(np.concatenate([part[0] for part in shares]), kind="stable")
    positions, scored, truth, told = (
        np.concatenate([part[i] for part in shares])[order] for i in range(4)
    )
    return Validation(
        positions=positions.astype(np.int64),
        scores=scored.astype(np.float32),
        truth=truth.astype(bool),
        known=told.astype(bool),
        average_precision=mean_average_precision(
            scored.astype(np.float32), truth.astype(bool), known=told.astype(bool)
        ),
    )
