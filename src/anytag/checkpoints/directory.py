"""Model directories: a network, its labels and their text embeddings on disk.

config.json                     format, name, network sizes, thresholds for new tags
model.safetensors               weights of `anytag.models.tagging.TaggingNetwork`
labels.json                     `anytag.labels.labelset.LabelSet`
label_embeddings.safetensors    "label_embeddings" [T, E]
text_encoder/                   so that open vocabulary works offline
vocab.txt                       WordPiece vocabulary, where the network has a captioner
selected_tags.csv               the tag list in the form other taggers' tools read
README.md                       model card
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from anytag.checkpoints.empty import without_numbers
from anytag.checkpoints.find import CHECKPOINTS as CHECKPOINTS
from anytag.checkpoints.find import EMBEDDED as EMBEDDED
from anytag.checkpoints.find import FORMAT as FORMAT
from anytag.checkpoints.find import check_format as check_format
from anytag.checkpoints.find import find_model as find_model
from anytag.checkpoints.find import read_card
from anytag.config import to_plain
from anytag.errors import ModelError
from anytag.files import atomic_write
from anytag.labels.labelset import LabelSet
from anytag.models.config import TaggerConfig
from anytag.models.tagging import TaggingNetwork


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """``config.json``."""

    format: int
    name: str
    #: e.g. "nano-v0"; part of every result, so that results of other weights are recognised
    version: str
    network: TaggerConfig
    #: threshold of tags that are not in labels.json
    open_threshold: float
    #: kind of text encoder in text_encoder/; "static" is the one that needs numpy alone
    text_encoder: str

    def __post_init__(self) -> None:
        check_format(self.format)


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model directory in memory; the network is in eval mode, float32, on the CPU."""

    path: Path
    card: ModelCard
    network: TaggingNetwork
    labels: LabelSet
    #: float32 [T, E]
    label_embeddings: Tensor
    #: WordPiece vocabulary of the captioner
    vocabulary: Path | None


def load_directory(path: Path) -> LoadedModel:
    """Read a model directory.

    Raises:
        ModelError: a file is missing or damaged, or sizes do not fit together
        LabelError: labels.json is wrong
    """
    card = read_card(path / "config.json", ModelCard)
    network = _unfilled(card.network)
    state = _read_tensors(path / "model.safetensors")
    expected = network.state_dict()
    missing = sorted(expected.keys() - state.keys())
    unknown = sorted(state.keys() - expected.keys())
    if missing or unknown:
        raise ModelError(
            f"{path / 'model.safetensors'}: {len(missing)} weights missing "
            f"({', '.join(missing[:3])}), {len(unknown)} not known ({', '.join(unknown[:3])})"
        )
    for key, value in expected.items():
        if state[key].shape != value.shape:
            raise ModelError(
                f"{path / 'model.safetensors'}: {key} has shape {tuple(state[key].shape)}, "
                f"config.json says {tuple(value.shape)}"
            )
    network.load_state_dict({key: value.float() for key, value in state.items()}, assign=True)
    labels = LabelSet.load(path / "labels.json")
    embeddings = _read_tensors(path / "label_embeddings.safetensors").get("label_embeddings")
    if embeddings is None or embeddings.shape != (len(labels), card.network.text_width):
        found = None if embeddings is None else tuple(embeddings.shape)
        raise ModelError(
            f"{path / 'label_embeddings.safetensors'}: expected 'label_embeddings' of shape "
            f"{(len(labels), card.network.text_width)} for {len(labels)} labels, found {found}"
        )
    if not torch.any(embeddings != 0, dim=1).all():
        raise ModelError(f"{path}: some label embeddings are all zeros; compute them anew")
    return LoadedModel(
        path=path,
        card=card,
        network=network.eval(),
        labels=labels,
        label_embeddings=embeddings.float(),
        vocabulary=_find_vocabulary(path, card.network),
    )


def save_directory(
    path: Path,
    card: ModelCard,
    network: TaggingNetwork,
    labels: LabelSet,
    label_embeddings: Tensor,
    dtype: torch.dtype = torch.float16,
    *,
    vocabulary: Path | None = None,
) -> None:
    """Write everything but text_encoder/ and README.md; each file is written atomically.

    Args:
        path: the directory, made if need be
        card: contents of config.json
        network: weights to store
        labels: T labels
        label_embeddings: [T, E]
        dtype: floating type on disk
        vocabulary: WordPiece vocabulary of the captioner; needed where the network has one

    Raises:
        ModelError: a captioner without a vocabulary
    """
    if network.captioner is not None and vocabulary is None:
        raise ModelError(f"{path}: the network has a captioner; save its vocabulary with it")
    words = None if vocabulary is None else vocabulary.read_bytes()
    path.mkdir(parents=True, exist_ok=True)
    weights = {key: value.to(dtype).contiguous() for key, value in network.state_dict().items()}
    contents = {
        "config.json": json.dumps(to_plain(card), indent=2).encode() + b"\n",
        "model.safetensors": save(weights),
        "labels.json": labels.to_json().encode(),
        "label_embeddings.safetensors": save(
            {"label_embeddings": label_embeddings.to(dtype).contiguous()}
        ),
        "selected_tags.csv": _selected_tags(labels).encode(),
    }
    if words is not None:
        contents["vocab.txt"] = words
    for name, data in contents.items():
        with atomic_write(path / name) as file:
            file.write(data)


def _unfilled(config: TaggerConfig) -> TaggingNetwork:
    if config.encoder.backbone.startswith("timm:"):
        return TaggingNetwork(config)
    with without_numbers():
        return TaggingNetwork(config)


def _find_vocabulary(path: Path, network: TaggerConfig) -> Path | None:
    if network.captioner is None:
        return None
    vocabulary = path / "vocab.txt"
    if not vocabulary.is_file():
        raise ModelError(f"{vocabulary}: missing; config.json says that the model has a captioner")
    return vocabulary


def _selected_tags(labels: LabelSet) -> str:
    """tag_id,name,category,count as WD14 tools read it; count is unknown here and stays 0."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["tag_id", "name", "category", "count"])
    writer.writerows([label.id, label.name, label.kind or "", 0] for label in labels)
    return text.getvalue()


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: missing from the model directory") from error
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: damaged or no safetensors file ({error})") from error
