"""Validation pictures with what a model says about them, for a run's report.

Shapes: N validation pictures, T tags.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anytag.data.images import open_image
from anytag.errors import ImageError
from anytag.evaluation.report import Picture
from anytag.files import display_path
from anytag.labels.labelset import LabelSet
from anytag.training.examples import Examples

#: pictures of each kind: best, worst, evenly spread
_NUM_EACH = 8
#: longer side in the report, in pixels
_SIDE = 320
#: tags of a line
_MAX_TAGS = 12


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a model says about validation pictures, and what is true."""

    labels: LabelSet
    #: numbers of the validation examples, int64 [N]
    positions: npt.NDArray[np.int64]
    #: probabilities [N, T]
    scores: npt.NDArray[np.float32]
    #: [N, T], False where it is not known
    truth: npt.NDArray[np.bool_]
    #: [N, T]
    known: npt.NDArray[np.bool_]

    @property
    def given(self) -> npt.NDArray[np.bool_]:
        """Tags that are given with the model's thresholds [N, T]."""
        thresholds = np.array([label.threshold for label in self.labels], np.float32)
        on = np.array([label.threshold < 1.0 and not label.muted for label in self.labels])
        given: npt.NDArray[np.bool_] = (self.scores >= thresholds) & on
        return given


def f1_of_pictures(answers: Answers) -> npt.NDArray[np.float64]:
    """F1 of the tags of each picture, among those whose truth is known, [N].

    A picture without tags that gets none is right: 1.
    """
    given = answers.given & answers.known
    right = (given & answers.truth).sum(axis=1)
    named = given.sum(axis=1) + answers.truth.sum(axis=1)
    f1: npt.NDArray[np.float64] = np.where(named > 0, 2 * right / np.maximum(named, 1), 1.0)
    return f1


def choose(f1: npt.NDArray[np.float64], num_each: int = _NUM_EACH) -> list[int]:
    """Places of the best, of some in between at equal steps, and of the worst, in this order.

    >>> choose(np.array([0.1, 0.9, 0.5, 0.3, 0.7]), num_each=1)
    [1, 2, 0]
    """
    order = np.argsort(-f1, kind="stable").tolist()
    if len(order) <= 3 * num_each:
        return list(order)
    between = order[num_each:-num_each]
    middle = [between[(2 * i + 1) * len(between) // (2 * num_each)] for i in range(num_each)]
    return [*order[:num_each], *middle, *order[-num_each:]]


def sample_pictures(answers: Answers, examples: Examples) -> tuple[list[Picture], str]:
    """Pictures for the report, and the rule by which they were chosen.

    Args:
        answers: of the validation pictures
        examples: those pictures
    """
    f1 = f1_of_pictures(answers)
    chosen = choose(f1)
    rule = "All validation pictures, best F1 first. "
    if len(chosen) < len(f1):
        rule = (
            f"Of {len(f1):,} validation pictures the {_NUM_EACH} with the best F1 of their tags, "
            f"{_NUM_EACH} evenly spread in between, and the {_NUM_EACH} with the worst. "
        )
    pictures, num_lost = [], 0
    for place in chosen:
        try:
            pictures.append(_picture(answers, place, float(f1[place]), examples))
        except (ImageError, IndexError):
            num_lost += 1
    lost = f" {num_lost} of them cannot be read any more." if num_lost else ""
    return pictures, (
        f"{rule}✓ right, ✗ given but not there, ○ there but not given, ? given and nobody knows; "
        f"with the model's thresholds, and its scores.{lost}"
    )


def _picture(answers: Answers, place: int, f1: float, examples: Examples) -> Picture:
    example = examples[int(answers.positions[place])]
    image = open_image(example.picture, target_size=_SIDE).convert("RGB")
    image.thumbnail((_SIDE, _SIDE))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=85)
    given, truth, known = (a[place] for a in (answers.given, answers.truth, answers.known))
    kinds = (
        ("✓", "good", given & truth),
        ("✗", "bad", given & known & ~truth),
        ("○", "missed", truth & ~given),
        ("?", "", given & ~known),
    )
    lines = [
        (f"{mark} {_names(answers, place, which)}", tone)
        for mark, tone, which in kinds
        if which.any()
    ]
    return Picture(
        data=data.getvalue(),
        title=f"F1 {f1:.2f}",
        lines=[*(text for text, _ in lines), _short_name(example.record.image)],
        line_tones=[*(tone for _, tone in lines), ""],
    )


def _names(answers: Answers, place: int, which: npt.NDArray[np.bool_]) -> str:
    scores = answers.scores[place]
    ids = sorted(np.flatnonzero(which).tolist(), key=lambda i: (-scores[i], i))
    text = ", ".join(f"{answers.labels[i].name} {scores[i]:.2f}" for i in ids[:_MAX_TAGS])
    more = len(ids) - _MAX_TAGS
    return f"{text} and {more} more" if more > 0 else text


def _short_name(image: str) -> str:
    return display_path(image.replace("\\", "/").rsplit("/", 1)[-1])
