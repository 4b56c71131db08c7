"""Scores -> tags: thresholds, the best K, tags that are left out and tags that always come."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import numpy as np
import numpy.typing as npt

from anytag.errors import LabelError, UsageError
from anytag.inference.results import Tag
from anytag.labels.labelset import Label, LabelSet


class TagSelector:
    """Takes the tags of an image from its scores.

    Names are found whatever their case, ``_`` or spaces, and by synonym.

    Args:
        labels: gives the names and the thresholds; muted ones never come by themselves
        threshold: one for all tags, in [0, 1]; ``"auto"`` for each tag's own; None: each tag's own
            too, but none at all where ``top_k`` is given
        top_k: most tags, >= 1, besides those of ``always``. Without a threshold these are the best
            K however low their scores are.
        exclude: tags that never come, not even those of ``always``; names that are not in
            ``labels`` do no harm
        always: tags that come first, in this order, with the score they have
        language: of the names, where a tag is translated into it

    Raises:
        UsageError: threshold or top_k is out of range
        LabelError: a name of ``always`` is not in ``labels``, or none is translated to ``language``

    Example:
        >>> labels = LabelSet.from_names(["cat", "dog", "tree"], threshold=0.5)
        >>> select = TagSelector(labels, exclude=["Tree"])
        >>> [tag.name for tag in select(np.array([0.6, 0.2, 0.9], np.float32))]
        ['cat']
    """

    def __init__(
        self,
        labels: LabelSet,
        *,
        threshold: float | Literal["auto"] | None = None,
        top_k: int | None = None,
        exclude: Collection[str] = (),
        always: Collection[str] = (),
        language: str | None = None,
    ) -> None:
        if top_k is not None and top_k < 1:
            raise UsageError(f"top_k must be at least 1, found {top_k}")
        if language and language != "en":
            _check_language(labels, language)
        self._labels = labels
        self._top_k = top_k
        self._language = language
        self._threshold = threshold if isinstance(threshold, float | int) else None
        self._limits = _limits(labels, threshold, top_k)
        excluded = {label.id for name in exclude for label in labels.find_all(name)}
        first = dict.fromkeys(_known(labels, name).id for name in always)
        self._always = [index for index in first if index not in excluded]
        self._hidden = np.array([label.muted for label in labels], bool)
        # From the ranking: those of ``always`` come first anyway.
        self._hidden[[*excluded, *self._always]] = True

    def __call__(self, scores: npt.NDArray[np.float32]) -> tuple[Tag, ...]:
        """The tags of one image, best first.

        Args:
            scores: [num_tags] in [0, 1], in id order
        """
        if scores.shape != (len(self._labels),):
            raise ValueError(
                f"expected scores of shape [{len(self._labels)}], found {scores.shape}"
            )
        chosen = np.flatnonzero((scores >= self._limits) & ~self._hidden)
        if self._top_k is not None and chosen.size > self._top_k:
            least = np.partition(scores[chosen], -self._top_k)[-self._top_k]
            chosen = chosen[scores[chosen] >= least]
        # A stable sort: equal scores come in id order, on every machine.
        ranked = chosen[np.argsort(-scores[chosen], kind="stable")][: self._top_k]
        return tuple(self._tag(index, scores[index]) for index in (*self._always, *ranked.tolist()))

    def _tag(self, index: int, score: np.float32) -> Tag:
        label: Label = self._labels[index]
        return Tag(
            name=label.display_name(self._language),
            score=float(score),
            threshold=label.threshold if self._threshold is None else self._threshold,
            id=index,
            kind=label.kind,
            parents=tuple(self._translated(name) for name in label.parents),
        )

    def _translated(self, name: str) -> str:
        label = self._labels.find(name) if self._language else None
        return name if label is None else label.display_name(self._language)


def _limits(
    labels: LabelSet, threshold: float | Literal["auto"] | None, top_k: int | None
) -> npt.NDArray[np.float32]:
    """The least score of each tag, [num_tags]; infinite where it can never fire."""
    if threshold is None and top_k is not None:
        return np.full(len(labels), -np.inf, np.float32)
    if threshold is None or threshold == "auto":
        limits = np.array([label.threshold for label in labels], np.float32)
    elif 0.0 <= threshold <= 1.0:
        limits = np.full(len(labels), threshold, np.float32)
    else:
        raise UsageError(f"threshold must lie in [0, 1], found {threshold}")
    # RAM's list hides tags with a threshold of 1.0, yet a float32 sigmoid can reach exactly 1.
    limits[limits >= 1.0] = np.inf
    return limits


def _known(labels: LabelSet, name: str) -> Label:
    label = labels.find(name)
    if label is None:
        raise LabelError(
            f"no tag named {name!r} among the {len(labels)} of this model; "
            "a tag that always comes must be one of them, or one of your own"
        )
    return label


def _check_language(labels: LabelSet, language: str) -> None:
    known = sorted({code for label in labels for code in label.translations})
    if language not in known:
        raise LabelError(
            f"no tag is translated into {language!r}; languages of this model: "
            + ", ".join(["en", *known])
        )
