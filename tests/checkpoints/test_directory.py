"""Model directories: round trip, and every way in which one can be wrong."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from anytag.checkpoints.directory import find_model, load_directory, save_directory
from anytag.errors import AnytagError, LabelError, ModelError
from anytag.models.config import nano_captioner
from anytag.models.tagging import TaggingNetwork


def test_round_trip(tiny_model: Path, tmp_path: Path) -> None:
    first = load_directory(tiny_model)
    save_directory(
        tmp_path / "copy",
        first.card,
        first.network,
        first.labels,
        first.label_embeddings,
        torch.float32,
    )
    second = load_directory(tmp_path / "copy")
    assert second.card == first.card
    assert second.labels == first.labels
    assert torch.equal(second.label_embeddings, first.label_embeddings)
    for key, value in first.network.state_dict().items():
        assert torch.equal(second.network.state_dict()[key], value), key
    assert not second.network.training


def test_half_precision_on_disk_is_float32_in_memory(tiny_model: Path, tmp_path: Path) -> None:
    loaded = load_directory(tiny_model)
    save_directory(tmp_path, loaded.card, loaded.network, loaded.labels, loaded.label_embeddings)
    assert all(v.dtype == torch.float16 for v in load_file(tmp_path / "model.safetensors").values())
    assert all(p.dtype == torch.float32 for p in load_directory(tmp_path).network.parameters())


@pytest.fixture
def captioning(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model with a captioner."""
    plain = load_directory(tiny_model)
    captioner = nano_captioner(9, hidden=64, tagger=plain.card.network)
    card = replace(plain.card, network=replace(plain.card.network, captioner=captioner))
    network = TaggingNetwork(card.network)
    words = tmp_path / "words.txt"
    words.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "##s"]))
    folder = tmp_path / "captioning"
    save_directory(folder, card, network, plain.labels, plain.label_embeddings, vocabulary=words)
    return folder


def test_a_captioner_is_saved_with_its_vocabulary(captioning: Path) -> None:
    loaded = load_directory(captioning)
    assert loaded.vocabulary == captioning / "vocab.txt"
    assert loaded.vocabulary.read_text().startswith("[PAD]\n[UNK]")
    assert loaded.network.captioner is not None
    assert loaded.network.captioner.config == loaded.card.network.captioner
    stored = load_file(captioning / "model.safetensors")
    assert sum(key.startswith("captioner.") for key in stored) == len(
        loaded.network.captioner.state_dict()
    )


def test_captioners_without_a_vocabulary(captioning: Path, tmp_path: Path) -> None:
    loaded = load_directory(captioning)
    parts = (loaded.card, loaded.network, loaded.labels, loaded.label_embeddings)
    with pytest.raises(ModelError, match="save its vocabulary with it"):
        save_directory(tmp_path / "other", *parts)
    assert not (tmp_path / "other").exists()
    (captioning / "vocab.txt").unlink()
    with pytest.raises(ModelError, match=r"vocab\.txt: missing; config\.json says"):
        load_directory(captioning)


def test_selected_tags_csv_is_what_other_taggers_read(tiny_model: Path) -> None:
    with (tiny_model / "selected_tags.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"tag_id": "0", "name": "cat", "category": "object", "count": "0"}
    assert [row["name"] for row in rows] == load_directory(tiny_model).labels.names


def edit_config(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        values = json.loads((folder / "config.json").read_text())
        change(values)
        (folder / "config.json").write_text(json.dumps(values))

    return edit


def edit_tensors(name: str, change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        tensors = load_file(folder / name)
        tensors = {key: value.clone() for key, value in tensors.items()}
        change(tensors)
        save_file(tensors, folder / name)

    return edit


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda f: (f / "config.json").unlink(), ModelError, "no config.json; not a model"),
        (lambda f: (f / "config.json").write_text("{"), ModelError, "config.json: cannot be read"),
        (edit_config(lambda c: c.update(format=2)), ModelError, "format 2 is not known"),
        (edit_config(lambda c: c.update(nam="x")), ModelError, "unknown key 'nam'"),
        (lambda f: (f / "model.safetensors").unlink(), ModelError, "model.safetensors: missing"),
        (
            lambda f: (f / "model.safetensors").write_bytes(b"\x80\x02}q\x00."),
            ModelError,
            "damaged or no safetensors",
        ),
        (
            edit_tensors("model.safetensors", lambda t: t.pop("decoder.logit.bias")),
            ModelError,
            "1 weights missing \\(decoder.logit.bias\\)",
        ),
        (
            edit_tensors("model.safetensors", lambda t: t.update(extra=torch.zeros(1))),
            ModelError,
            "1 not known \\(extra\\)",
        ),
        (
            edit_tensors(
                "model.safetensors", lambda t: t.update({"decoder.logit.bias": torch.zeros(2)})
            ),
            ModelError,
            "decoder.logit.bias has shape \\(2,\\), config.json says \\(1,\\)",
        ),
        (lambda f: (f / "labels.json").write_text("[]"), ModelError, "for 0 labels"),
        (lambda f: (f / "labels.json").write_text("nonsense"), LabelError, "not valid JSON"),
        (
            edit_tensors(
                "label_embeddings.safetensors", lambda t: t["label_embeddings"][2].zero_()
            ),
            ModelError,
            "all zeros",
        ),
    ],
)
def test_wrong_directories(
    tiny_model: Path,
    tmp_path: Path,
    spoil: Callable[[Path], Any],
    error: type[AnytagError],
    message: str,
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    spoil(folder)
    with pytest.raises(error, match=message):
        load_directory(folder)


def test_find_model(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_model(tiny_model) == tiny_model
    assert find_model("nano").name == "nano"
    (tmp_path / "file.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match="is a file; expected a model directory"):
        find_model(tmp_path / "file.bin")
    (tmp_path / "ram.pth").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"anytag convert .*ram\.pth --tag-list"):
        find_model(tmp_path / "ram.pth")
    with pytest.raises(ModelError, match="no model 'nanno': expected one of nano"):
        find_model("nanno")


def test_a_hub_model_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    # Offline mode answers at once, as a machine without a network should.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="'someone/no-such-model' could not be down") as caught:
        find_model("someone/no-such-model")
    assert "\n" not in str(caught.value)


def test_hub_models_are_snapshots(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def download(repository: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repository, revision, allow_patterns))
        return str(tiny_model)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert find_model("org/ram@v2") == tiny_model
    ((repository, revision, patterns),) = asked
    assert (repository, revision) == ("org/ram", "v2")
    needed = [*(path.name for path in tiny_model.iterdir() if path.is_file()), "vocab.txt"]
    assert all(any(fnmatch(name, pattern) for pattern in patterns) for name in needed)
    assert not any(fnmatch("ram.pth", pattern) for pattern in patterns)


def test_a_hub_repository_of_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **k: str(tmp_path))
    with pytest.raises(ModelError, match=r"no anytag model.*anytag convert"):
        find_model("xinyu1205/recognize_anything_model")
