"""A released checkpoint and the lists published beside it, to a model directory."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from anytag.checkpoints.checkpoint_file import read_checkpoint
from anytag.checkpoints.convert import (
    ConvertedCheckpoint,
    check_complete,
    convert_checkpoint,
    detect_family,
)
from anytag.checkpoints.directory import FORMAT
from anytag.checkpoints.released_directory import FILES, ReleasedCard, save_released
from anytag.checkpoints.sizes import ConvertOptions
from anytag.errors import ModelError, UsageError
from anytag.labels.labelset import LabelSet
from anytag.labels.tag_files import read_released_labels
from anytag.models.released import FAMILIES

#: as people write them
TITLES = {"ram": "RAM", "ram_plus": "RAM++", "tag2text": "Tag2Text"}

Statistics = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class TagLists:
    """The files beside a checkpoint; see `read_released_labels`."""

    tags: Path
    thresholds: Path | None = None
    #: language -> file
    translations: Mapping[str, Path] | None = None
    #: names of tags that are never given; None = those of the published code
    muted: Collection[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What was converted, and what was left out."""

    path: Path
    card: ReleasedCard
    labels: LabelSet
    num_parameters: int
    #: RAM++: of each tag
    num_descriptions: int | None
    #: reason -> number of keys of the checkpoint that were not used
    excused: Mapping[str, int]
    #: whether captions can be written at once
    has_vocabulary: bool

    @property
    def never_fire(self) -> list[str]:
        """Tags whose threshold is 1.0."""
        return [label.name for label in self.labels if label.threshold >= 1.0]

    @property
    def muted(self) -> list[str]:
        """Tags that are scored and not given."""
        return [label.name for label in self.labels if label.muted]


def convert_released(
    checkpoint: Path,
    lists: TagLists,
    output: Path,
    *,
    family: str = "auto",
    name: str | None = None,
    options: ConvertOptions | None = None,
    normalization: tuple[Statistics, Statistics] | None = None,
    vocabulary: Path | None = None,
    dtype: torch.dtype | None = None,
    overwrite: bool = False,
) -> Conversion:
    """Convert a checkpoint.

    Args:
        checkpoint: ``.pth`` or ``.safetensors`` file
        lists: its tags
        output: the directory, made if need be
        family: what it must be, one of `FAMILIES`; "auto" takes what it is
        name: of the model; None = that of the directory
        options: what the checkpoint does not say
        normalization: mean and standard deviation of the pixels; None = ImageNet's, with which
            the published code runs
        vocabulary: ``vocab.txt`` of bert-base-uncased; needed for captions alone
        dtype: floating type on disk; None keeps that of the checkpoint
        overwrite: replace a model in ``output``

    Raises:
        ModelError: the checkpoint cannot be read, or has another architecture or size
        LabelError: a list is wrong
        UsageError: unknown family, or ``output`` holds a model already
        OutputError: the directory cannot be written
    """
    if family not in ("auto", *FAMILIES):
        raise UsageError(f"unknown family {family!r}: expected auto, {', '.join(FAMILIES)}")
    if (output / "config.json").exists() and not overwrite:
        raise UsageError(f"{output}: holds a model already; choose another directory or overwrite")
    converted, labels = _read(checkpoint, lists, family, options or ConvertOptions())
    if normalization is not None:
        converted = _with_normalization(converted, *normalization)
    if vocabulary is not None:
        _check_vocabulary(vocabulary, converted)
    card = _card(name or output.resolve().name, converted, dtype)
    if overwrite:
        for file in FILES:
            (output / file).unlink(missing_ok=True)
    save_released(output, card, converted, labels, vocabulary=vocabulary, dtype=dtype)
    rows = converted.label_embeddings
    return Conversion(
        path=output,
        card=card,
        labels=labels,
        num_parameters=sum(value.numel() for value in converted.state.values()),
        num_descriptions=rows.shape[1] if rows is not None and rows.ndim == 3 else None,
        excused=Counter(converted.excused.values()),
        has_vocabulary=vocabulary is not None,
    )


def checkpoint_family(checkpoint: Path) -> str:
    """The family of a checkpoint file, one of `FAMILIES`.

    Raises:
        ModelError: it cannot be read, or is of no family
    """
    state = read_checkpoint(checkpoint)
    try:
        return detect_family(state)
    except ModelError as error:
        raise ModelError(f"{checkpoint}: {error}") from error


def _read(
    checkpoint: Path, lists: TagLists, family: str, options: ConvertOptions
) -> tuple[ConvertedCheckpoint, LabelSet]:
    """A checkpoint that is whole, and its tags."""
    state = read_checkpoint(checkpoint)
    try:
        found = detect_family(state)
        if family not in ("auto", found):
            raise ModelError(
                f"is a {TITLES[found]} checkpoint, not {TITLES[family]}: ask for {found} or auto, "
                "with its own tag list"
            )
        labels = read_released_labels(
            lists.tags,
            family=found,
            thresholds=lists.thresholds,
            translations=lists.translations,
            muted=lists.muted,
        )
        converted = convert_checkpoint(state, replace(options, num_tags=len(labels)))
        check_complete(converted)
        _check_embeddings(converted.label_embeddings)
    except ModelError as error:
        raise ModelError(f"{checkpoint}: {error}") from error
    return converted, labels


def _check_embeddings(rows: Tensor | None) -> None:
    """The published loader fills what a checkpoint lacks with zeros, and so may have saved them."""
    if rows is not None and not rows.any(-1).all():
        tag = int((~rows.any(-1)).reshape(len(rows), -1).any(1).nonzero()[0, 0])
        raise ModelError(
            f"label_embed is all zeros for tag {tag}; it was saved without its text embeddings"
        )


def _card(name: str, converted: ConvertedCheckpoint, dtype: torch.dtype | None) -> ReleasedCard:
    version = f"{name}-{_fingerprint(converted, dtype)}"
    return ReleasedCard(format=FORMAT, name=name, version=version, network=converted.config)


def _with_normalization(
    converted: ConvertedCheckpoint, mean: Statistics, std: Statistics
) -> ConvertedCheckpoint:
    tagger = converted.config.tagger
    encoder = replace(tagger.encoder, mean=mean, std=std)
    config = replace(converted.config, tagger=replace(tagger, encoder=encoder))
    return replace(converted, config=config)


def _check_vocabulary(path: Path, converted: ConvertedCheckpoint) -> None:
    captioner = converted.config.captioner
    if captioner is None:
        raise UsageError(f"{path}: this model has no captioner, so it needs no vocabulary")
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from error
    num_pieces = len(lines) - (lines[-1] == b"")
    if num_pieces + 2 != captioner.vocab_size:
        raise ModelError(
            f"{path}: {num_pieces} lines, the captioner was trained with "
            f"{captioner.vocab_size - 2}; released models need vocab.txt of bert-base-uncased"
        )


def _fingerprint(converted: ConvertedCheckpoint, dtype: torch.dtype | None) -> str:
    """Eight digits that differ for other weights, from the small ones: norms, biases, tables."""
    digest = hashlib.sha256(f"{converted.config.tagger.encoder}{dtype}".encode())
    for key, value in sorted(converted.state.items()):
        if value.ndim <= 1 or value.numel() < 2**13:
            digest.update(key.encode())
            digest.update(value.to(torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]
