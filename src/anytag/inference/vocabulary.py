"""The tags a tagger asks for, and what the network needs to know of each.

The families differ in that alone, a tag's *row*:

    nano, RAM   a text embedding                     Tensor [T, E]
    RAM++       embeddings of its descriptions       `Descriptions`, each tag with any number
    Tag2Text    its number in the network            Tensor [T] int64; there are no other tags

Exported models run without torch and have the same rows as arrays (`ArrayRows`): float32 [T, E],
`DescriptionArrays`, int64 [T]. For them nothing here imports torch.

Shapes: T tags, K descriptions of a tag, E text width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from anytag.errors import LabelError, ModelError
from anytag.inference.description_arrays import DescriptionArrays, Grouped
from anytag.labels.labelset import Label, LabelSet, fold_name

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from anytag.models.reweight import Descriptions

#: texts that describe a tag (none at all: its name alone), or their embeddings [E] or [K, E]
Meaning = Sequence[str] | npt.NDArray[np.floating]
#: names, or names with their meaning
Tags = Sequence[str] | Mapping[str, Meaning]
Rows: TypeAlias = "Tensor | Descriptions"
ArrayRows: TypeAlias = "npt.NDArray[Any] | DescriptionArrays"

#: new tags that are embedded together: bounds the memory of a long list
CHUNK = 64


class TextEncoder(Protocol):
    """Texts to unit vectors."""

    @property
    def dim(self) -> int:
        """Width E of the vectors."""

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Unit vectors [len(texts), E]."""


#: new tags with their meaning -> their rows
Embed = Callable[[Mapping[str, Meaning]], Rows]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Labels and their rows, in the same order.

    An exported model's are `ArrayRows`: its own code alone looks into them (`Vocabulary.arrays`).
    """

    labels: LabelSet
    rows: Rows

    @classmethod
    def of_arrays(cls, labels: LabelSet, rows: ArrayRows) -> Vocabulary:
        """Those of an exported model."""
        return cls(labels, cast(Rows, rows))

    @property
    def arrays(self) -> ArrayRows:
        """The rows of an exported model."""
        return cast(ArrayRows, self.rows)

    def on(self, device: torch.device, dtype: torch.dtype) -> Rows:
        """The rows of torch as the network's ``prepare`` takes them."""
        if isinstance(self.rows, Grouped) or self.rows.is_floating_point():
            return self.rows.to(device, dtype)
        return self.rows.to(device)

    def with_tags(
        self, tags: Tags, *, extend: bool, embed: Embed, open_threshold: float
    ) -> Vocabulary:
        """Other tags; those of this vocabulary keep their rows, thresholds, kinds and parents.

        Args:
            tags: names, or names with their meaning
            extend: keep the present tags in front
            embed: makes the rows of the others
            open_threshold: threshold of the others

        Raises:
            LabelError: no tags, an empty name, or a meaning that does not fit
        """
        labels: list[Label] = list(self.labels) if extend else []
        seen = {fold_name(label.name) for label in labels}
        known_ids: list[int] = []
        new: dict[str, Meaning] = {}
        places: list[int] = []  # where each tag stands, in known tags followed by new ones
        meanings = tags if isinstance(tags, Mapping) else dict.fromkeys(tags, cast(Meaning, ()))
        for name, meaning in meanings.items():
            known = self.labels.find_all(name)
            own = len(meaning) > 0
            if fold_name(name) in seen or (extend and known and not own):
                continue
            seen.add(fold_name(name))
            if known and not own:
                places += range(len(known_ids), len(known_ids) + len(known))
                known_ids += [label.id for label in known]
            else:
                places.append(-1 - len(new))
                new[name] = [meaning] if isinstance(meaning, str) else meaning
            sources: list[Label | None] = [*known] if known and not own else [*known[:1]] or [None]
            for source in sources:
                labels.append(_label(len(labels), name, source, open_threshold))
        if not labels:
            raise LabelError("no tags given; name at least one")
        order = [place if place >= 0 else len(known_ids) - 1 - place for place in places]
        rows = self._gather(known_ids, embed(new) if new else None, order)
        if extend:
            rows = self.rows if rows is None else _join(self.rows, rows)
        assert rows is not None
        return Vocabulary(LabelSet(labels, repeated_names=True), rows)

    def take(self, ids: list[int]) -> Rows:
        """Rows of some tags by their places, in this order; a place may come more than once."""
        return _take(self.rows, ids)

    def _gather(self, known: list[int], new: Rows | None, order: list[int]) -> Rows | None:
        """Rows of this vocabulary and new ones, joined and then put into order."""
        if not known:
            return new
        rows = _take(self.rows, known)
        if new is not None:
            rows = _join(rows, new)
        return rows if order == sorted(order) else _take(rows, order)


def _label(position: int, name: str, known: Label | None, open_threshold: float) -> Label:
    name = " ".join(name.replace("_", " ").split())
    if known is None:
        return Label(id=position, name=name, threshold=open_threshold)
    synonyms = () if fold_name(name) == fold_name(known.name) else known.synonyms
    return replace(known, id=position, name=name, synonyms=synonyms, muted=False)


def _take(rows: Rows, ids: list[int]) -> Rows:
    return rows.take(ids) if isinstance(rows, Grouped) else rows[ids]


def _join(first: Rows, second: Rows) -> Rows:
    one, other = cast(Any, first), cast(Any, second)  # of the same kind: one model made both
    if isinstance(one, Grouped):
        return cast(Rows, one.join(other))
    if isinstance(one, np.ndarray):
        return cast(Rows, np.concatenate([one, other]))
    import torch

    return torch.cat([one, other.to(one.dtype)])


@dataclass(frozen=True, slots=True)
class TagEmbedder:
    """Rows of tags that a model was not trained with, from texts or given embeddings.

    Args:
        text_encoder: None where there is none; given embeddings then still work
        width: E
        describe: the texts that stand for a bare name
        separate: RAM++: keep each text's embedding; else they are averaged
        missing: what to say of a tag that needs a text encoder where there is none
        arrays: give arrays and not tensors, for models that run without torch
    """

    text_encoder: TextEncoder | None
    width: int
    describe: Callable[[str], Sequence[str]]
    separate: bool = False
    missing: str = "and it has no text encoder"
    arrays: bool = False

    def __call__(self, tags: Mapping[str, Meaning]) -> Rows:
        """Rows of these tags.

        Raises:
            LabelError: a name is empty, or an embedding has another shape
            ModelError: texts are given and there is no text encoder
        """
        found: list[npt.NDArray[np.float32]] = []
        names = list(tags)
        for start in range(0, len(names), CHUNK):
            found += self._embed({name: tags[name] for name in names[start : start + CHUNK]})
        if self.arrays:
            joined = DescriptionArrays.of(found) if self.separate else np.concatenate(found)
            return cast(Rows, joined)
        import torch

        from anytag.models.reweight import Descriptions

        rows = torch.from_numpy(np.concatenate(found))
        if not self.separate:
            return rows
        return Descriptions.from_rows(rows, [len(one) for one in found])

    def _embed(self, tags: Mapping[str, Meaning]) -> list[npt.NDArray[np.float32]]:
        """[1, E] of each tag, or [K, E] if separate; all texts go to the encoder at once."""
        texts: list[str] = []
        spans: dict[str, slice] = {}
        for name, meaning in tags.items():
            if not name.strip():
                raise LabelError("a tag has an empty name")
            if not isinstance(meaning, np.ndarray):
                own = list(meaning) or list(self.describe(" ".join(name.replace("_", " ").split())))
                spans[name] = slice(len(texts), len(texts) + len(own))
                texts += own
        vectors = self._encode(texts, next(iter(spans))) if texts else None
        rows = []
        for name, meaning in tags.items():
            if isinstance(meaning, np.ndarray):
                own_rows = self._check(name, meaning)
            else:
                assert vectors is not None
                own_rows = vectors[spans[name]]
            if not self.separate and (name in spans or len(own_rows) > 1):
                mean = own_rows.mean(axis=0, keepdims=True)
                own_rows = mean / np.linalg.norm(mean)
            rows.append(own_rows)
        return rows

    def _encode(self, texts: list[str], name: str) -> npt.NDArray[np.float32]:
        encoder = self.text_encoder
        if encoder is None:
            raise ModelError(f"{name!r} is not among this model's tags, {self.missing}")
        if encoder.dim != self.width:
            raise ModelError(
                f"the text encoder gives vectors of {encoder.dim} numbers, this model was trained "
                f"with {self.width}: it needs the encoder that it was trained with"
            )
        return encoder.encode(texts)

    def _check(self, name: str, vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """A given embedding as [K, E]."""
        rows = np.atleast_2d(vectors).astype(np.float32)
        fits = rows.ndim == 2 and rows.shape[1] == self.width
        if not fits or not np.isfinite(rows).all() or not rows.any(axis=1).all():
            raise LabelError(
                f"the embedding of {name!r} has shape {list(vectors.shape)}, expected "
                f"[{self.width}] or [descriptions, {self.width}] of finite numbers, no row all zero"
            )
        return rows


def closed_vocabulary(tags: Mapping[str, Meaning]) -> Rows:
    """Tag2Text's way with new tags.

    Raises:
        LabelError: always
    """
    raise LabelError(
        f"{', '.join(map(repr, tags))}: not among the tags of this model, and Tag2Text knows no "
        "others: each of its tags has weights of its own. Use RAM, RAM++ or nano for own tags"
    )
