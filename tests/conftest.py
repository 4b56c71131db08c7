"""A tiny real model directory, written in the real formats, for every test that needs a model."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import load_file
from safetensors.torch import save_file as save_tensors
from torch import nn

from anytag.checkpoints.directory import ModelCard, find_model, load_directory, save_directory
from anytag.checkpoints.released_conversion import Conversion, TagLists, convert_released
from anytag.checkpoints.sizes import ConvertOptions
from anytag.inference.static_text import StaticTextEncoder
from anytag.labels.labelset import Label, LabelSet
from anytag.models.config import DecoderConfig, EncoderConfig, TaggerConfig
from anytag.models.tagging import TaggingNetwork

TEXT_WIDTH = 16
WORDS = ["cat", "dog", "tree", "animal", "red panda", "of", "beach", "tabby"]


def write_text_encoder(folder: Path) -> None:
    """Random rows in the files of `anytag.inference.static_text`."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    tensors = {}
    pieces = [*"abcdefghijklmnopqrstuvwxyz", *("##" + c for c in "abcdefghijklmnopqrstuvwxyz")]
    for part, names in (("vocabulary", WORDS), ("pieces", pieces)):
        tensors[f"{part}.values"] = random.integers(-127, 128, (len(names), TEXT_WIDTH), np.int8)
        tensors[f"{part}.scales"] = np.full(len(names), 0.001, np.float32)
        tensors[f"{part}.weights"] = np.ones(len(names), np.float16)
        (folder / f"{part}.txt").write_text("\n".join(names) + "\n")
    save_file(tensors, folder / "encoder.safetensors")
    config = {"format": 1, "dim": TEXT_WIDTH, "head_weight": 1.5, "unknown_weight": 1.0}
    (folder / "config.json").write_text(json.dumps(config))


def write_model(folder: Path) -> Path:
    """A model directory with random weights and five labels."""
    config = TaggerConfig(
        encoder=EncoderConfig(backbone="mobilenet_v2", image_size=64, token_width=24),
        decoder=DecoderConfig(hidden=32, num_layers=2, num_heads=4, ffn=48),
        text_width=TEXT_WIDTH,
    )
    torch.manual_seed(0)
    network = TaggingNetwork(config)
    for part in (network.queries, network.decoder):  # so that scores differ from tag to tag
        for parameter in part.parameters():
            nn.init.normal_(parameter, std=0.4)
    labels = LabelSet(
        [
            Label(id=0, name="cat", threshold=0.3, kind="object", parents=("animal",)),
            Label(id=1, name="dog", synonyms=("puppy",), translations={"de": "Hund"}),
            Label(id=2, name="tree", threshold=1.0),
            Label(id=3, name="animal", threshold=0.0),
            Label(id=4, name="beach", kind="scene"),
        ]
    )
    write_text_encoder(folder / "text_encoder")
    embeddings = StaticTextEncoder.load(folder / "text_encoder").encode(labels.names)
    card = ModelCard(
        format=1,
        name="tiny",
        version="tiny-1",
        network=config,
        open_threshold=0.4,
        text_encoder="static",
    )
    save_directory(folder, card, network, labels, torch.from_numpy(embeddings), torch.float32)
    return folder


GOLDEN = Path(__file__).parent / "golden"


@dataclass(frozen=True)
class ReleasedFiles:
    """A golden model as it would be published: a pickle and the lists beside it."""

    family: str
    settings: dict[str, Any]
    checkpoint: Path
    lists: TagLists
    options: ConvertOptions
    vocabulary: Path | None

    def convert(self, output: Path, **arguments: Any) -> Conversion:
        """To a model directory, with all of it."""
        known = {"options": self.options, "vocabulary": self.vocabulary}
        return convert_released(self.checkpoint, self.lists, output, **(known | arguments))


def write_released_files(family: str, folder: Path) -> ReleasedFiles:
    source = GOLDEN / family
    settings = json.loads((source / "config.json").read_text(encoding="utf-8"))
    weights = {
        **load_file(GOLDEN / "visual_encoder.safetensors"),
        **load_file(source / "weights.safetensors"),
    }
    torch.save({"model": weights, "epoch": 4}, folder / f"{family}.pth")
    texts = {
        "tags.txt": settings["tag_list"],
        "thresholds.txt": map(str, settings["class_threshold"]),
        "zh.txt": settings.get("tag_list_chinese", settings["tag_list"]),
    }
    for name, lines in texts.items():
        (folder / name).write_text("\n".join(lines), encoding="utf-8")
    vocabulary = source / "vocab.txt"
    return ReleasedFiles(
        family=family,
        settings=settings,
        checkpoint=folder / f"{family}.pth",
        lists=TagLists(
            tags=folder / "tags.txt",
            thresholds=folder / "thresholds.txt",
            translations={"zh": folder / "zh.txt"},
            muted=[settings["tag_list"][number] for number in settings["delete_tag_index"]],
        ),
        options=ConvertOptions(
            num_heads=settings["q2l_config"]["num_attention_heads"],
            num_caption_heads=settings.get("med_config", {}).get("num_attention_heads", 12),
        ),
        vocabulary=vocabulary if vocabulary.exists() else None,
    )


@pytest.fixture(scope="session")
def released_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ReleasedFiles]:
    """The golden model of each family, as files."""
    families = ("ram", "ram_plus", "tag2text")
    return {name: write_released_files(name, tmp_path_factory.mktemp(name)) for name in families}


@pytest.fixture(scope="session")
def released_models(
    released_files: dict[str, ReleasedFiles], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The golden model of each family, converted."""
    folder = tmp_path_factory.mktemp("released")
    for name, files in released_files.items():
        files.convert(folder / name)
    return {name: folder / name for name in released_files}


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of a tiny model directory; tests copy it before they change it."""
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def seeing_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny_model` with scores that differ from photo to photo.

    Of tiny_model's they differ by 1e-7: biases outweigh the picture in a backbone of torch's own
    random numbers. Where the order of scores matters, rounding would decide it.
    """
    folder = tmp_path_factory.mktemp("models") / "seeing"
    shutil.copytree(tiny_model, folder)
    torch.manual_seed(1)
    weights = load_file(folder / "model.safetensors")
    for name, weight in weights.items():
        if name.startswith("encoder.backbone."):
            if weight.ndim == 1:
                nn.init.zeros_(weight)
            else:
                nn.init.kaiming_normal_(weight, nonlinearity="relu")
        elif name == "encoder.projection.weight":
            nn.init.normal_(weight, std=0.02)
    weights["decoder.logit.bias"] -= 1.3  # scores on both sides of the thresholds
    save_tensors(weights, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="session")
def silent_nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model without its captioner."""
    loaded = load_directory(find_model("nano"))
    loaded.network.captioner = None
    folder = tmp_path_factory.mktemp("models") / "silent-nano"
    shutil.copytree(loaded.path / "text_encoder", folder / "text_encoder")
    save_directory(
        folder,
        replace(loaded.card, network=replace(loaded.card.network, captioner=None)),
        loaded.network,
        loaded.labels,
        loaded.label_embeddings,
    )
    return folder


@pytest.fixture
def benchmark_script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """``benchmark_script(name)``: a script of benchmarks/, which finds its neighbours."""
    folder = Path(__file__).parents[1] / "benchmarks"
    if not folder.is_dir():
        pytest.skip("benchmarks/ is not part of a wheel")
    monkeypatch.syspath_prepend(folder)
    return importlib.import_module


@pytest.fixture
def fake_tagger(monkeypatch: pytest.MonkeyPatch) -> None:
    """`anytag.inference.tagger` is tests/cli/fake_anytag.py: a model that is fast."""
    path = Path(__file__).parent / "cli" / "fake_anytag.py"
    spec = spec_from_file_location("anytag.inference.tagger", path)
    assert spec is not None
    assert spec.loader is not None
    fake = module_from_spec(spec)
    spec.loader.exec_module(fake)
    monkeypatch.setitem(sys.modules, "anytag.inference.tagger", fake)
