"""Model directories of released networks (RAM, RAM++, Tag2Text).

config.json                     format, name, sizes under "network" with its "family"
model.safetensors               weights of `anytag.models.released`
labels.json                     `anytag.labels.labelset.LabelSet`
label_embeddings.safetensors    "label_embeddings": RAM [T, E], RAM++ [T, K, E]; none for Tag2Text
vocab.txt                       WordPiece vocabulary of the captioner, if it was given

Weights are mapped from the file and not copied, so that loading takes no second copy in memory.
"""

from __future__ import annotations

import json
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from anytag.checkpoints.checkpoint_file import read_checkpoint
from anytag.checkpoints.convert import ConvertedCheckpoint, build_network
from anytag.checkpoints.find import check_format, read_card
from anytag.config import to_plain
from anytag.errors import ModelError, OutputError
from anytag.files import atomic_write
from anytag.labels.labelset import LabelSet
from anytag.models.released import ReleasedConfig, ReleasedNetwork

#: all that `save_released` writes
FILES = (
    "config.json",
    "model.safetensors",
    "labels.json",
    "label_embeddings.safetensors",
    "vocab.txt",
)


@dataclass(frozen=True, kw_only=True)
class ReleasedCard:
    """``config.json``."""

    format: int
    name: str
    #: part of every result, so that results of other weights are recognised
    version: str
    network: ReleasedConfig
    #: threshold of tags that are not in labels.json
    open_threshold: float = 0.5

    def __post_init__(self) -> None:
        check_format(self.format)


@dataclass(frozen=True, kw_only=True)
class LoadedReleased:
    """A model directory in memory; the network is in evaluation mode, in the stored type."""

    path: Path
    card: ReleasedCard
    network: ReleasedNetwork
    labels: LabelSet
    #: RAM [T, E], RAM++ [T, K, E], Tag2Text None
    label_embeddings: Tensor | None
    #: WordPiece vocabulary of the captioner
    vocabulary: Path | None


def save_released(
    path: Path,
    card: ReleasedCard,
    converted: ConvertedCheckpoint,
    labels: LabelSet,
    *,
    vocabulary: Path | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a model directory, config.json last; each file is written atomically.

    Raises:
        OutputError: it cannot be written
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be made ({error.strerror})") from error
    _write_tensors(path / "model.safetensors", converted.state, dtype)
    if converted.label_embeddings is not None:
        embeddings = {"label_embeddings": converted.label_embeddings}
        _write_tensors(path / "label_embeddings.safetensors", embeddings, dtype)
    texts = {"labels.json": labels.to_json().encode()}
    if vocabulary is not None:
        texts["vocab.txt"] = vocabulary.read_bytes()
    texts["config.json"] = json.dumps(to_plain(card), indent=2).encode() + b"\n"
    for name, data in texts.items():
        with atomic_write(path / name) as file:
            file.write(data)


def is_released(path: Path) -> bool:
    """Whether a model directory holds a released network; False where it cannot be read."""
    try:
        values = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    network = values.get("network") if isinstance(values, dict) else None
    return isinstance(network, dict) and "family" in network


def load_released(path: Path) -> LoadedReleased:
    """Read a model directory.

    Raises:
        ModelError: a file is missing or damaged, or sizes do not fit together
        LabelError: labels.json is wrong
    """
    card = read_card(path / "config.json", ReleasedCard)
    labels = LabelSet.load(path / "labels.json", repeated_names=True)
    embeddings = None
    if card.network.family != "tag2text":
        stored = read_checkpoint(path / "label_embeddings.safetensors")
        embeddings = stored.get("label_embeddings")
        if embeddings is None or embeddings.shape[-1] != card.network.tagger.text_width:
            found = None if embeddings is None else list(embeddings.shape)
            raise ModelError(
                f"{path / 'label_embeddings.safetensors'}: expected 'label_embeddings' of width "
                f"{card.network.tagger.text_width}, found {found}"
            )
    converted = ConvertedCheckpoint(
        config=card.network,
        state=read_checkpoint(path / "model.safetensors"),
        label_embeddings=embeddings,
        excused={},
    )
    if converted.num_tags != len(labels):
        raise ModelError(
            f"{path}: {converted.num_tags} tags in the weights, {len(labels)} in labels.json"
        )
    try:
        network = build_network(converted)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    vocabulary = path / "vocab.txt"
    return LoadedReleased(
        path=path,
        card=card,
        network=network,
        labels=labels,
        label_embeddings=embeddings,
        vocabulary=vocabulary if vocabulary.is_file() else None,
    )


def _write_tensors(path: Path, tensors: Mapping[str, Tensor], dtype: torch.dtype | None) -> None:
    """Write a safetensors file straight from the tensors, without building it in memory."""
    kept = {
        key: value.to(dtype if dtype and value.is_floating_point() else value.dtype).contiguous()
        for key, value in tensors.items()
    }
    temporary = path.with_name(f".anytag-{secrets.token_hex(8)}.tmp")
    try:
        temporary.touch(exist_ok=False)
        mode = stat.S_IMODE(temporary.stat().st_mode)  # as the umask has it
        save_file(kept, temporary, metadata={"format": "pt"})  # makes a file for the owner alone
        temporary.chmod(mode)
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"{path}: cannot be written ({error})") from error
    finally:
        temporary.unlink(missing_ok=True)
