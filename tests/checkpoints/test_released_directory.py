"""Released checkpoints to model directories and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from anytag.checkpoints.released_directory import convert_file, is_released, load_released
from anytag.checkpoints.sizes import ConvertOptions
from anytag.errors import ModelError
from anytag.labels.labelset import LabelSet

GOLDEN = Path(__file__).parents[1] / "golden"
OPTIONS = ConvertOptions(num_heads=2, num_caption_heads=4)
NAMES = [f"tag {number}" for number in range(20)]


def checkpoint(family: str, folder: Path) -> Path:
    """The golden weights as they are released: a pickle of a dict."""
    weights: dict[str, Tensor] = {
        **load_file(GOLDEN / "visual_encoder.safetensors"),
        **load_file(GOLDEN / family / "weights.safetensors"),
    }
    path = folder / f"{family}.pth"
    torch.save({"model": weights, "epoch": 4}, path)
    return path


def convert(family: str, folder: Path, **options: Any) -> Path:
    output = folder / "model"
    labels = LabelSet.from_names(NAMES)
    convert_file(
        checkpoint(family, folder), output, labels, name=family, options=OPTIONS, **options
    )
    return output


@pytest.mark.parametrize("family", ["ram", "ram_plus", "tag2text"])
def test_directory_gives_the_golden_logits(family: str, tmp_path: Path) -> None:
    path = convert(family, tmp_path)
    assert is_released(path)
    loaded = load_released(path)
    assert loaded.labels.names == NAMES
    assert loaded.card.network.family == family
    network, labels = loaded.network, loaded.label_embeddings
    images = load_file(GOLDEN / family / "inputs.safetensors")["image"]
    with torch.no_grad():
        state = network.prepare() if labels is None else network.prepare(labels)
        logits = network(images, state)
    expected = load_file(GOLDEN / family / "outputs.safetensors")["tag_logits"]
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    assert (network.captioner is None) == (family == "ram_plus")


def test_half_precision_on_disk(tmp_path: Path) -> None:
    path = convert("ram", tmp_path, dtype=torch.bfloat16)
    loaded = load_released(path)
    assert {p.dtype for p in loaded.network.parameters()} == {torch.bfloat16}
    assert loaded.label_embeddings is not None
    assert loaded.label_embeddings.dtype == torch.bfloat16


def test_vocabulary_travels_with_the_model(tmp_path: Path) -> None:
    vocabulary = GOLDEN / "tag2text/vocab.txt"
    loaded = load_released(convert("tag2text", tmp_path, vocabulary=vocabulary))
    assert loaded.vocabulary is not None
    assert loaded.vocabulary.read_bytes() == vocabulary.read_bytes()


def test_no_temporary_file_stays(tmp_path: Path) -> None:
    path = convert("ram", tmp_path)
    assert sorted(file.name for file in path.iterdir()) == [
        "config.json",
        "label_embeddings.safetensors",
        "labels.json",
        "model.safetensors",
    ]


def edit_config(path: Path, edit: Any) -> None:
    config = json.loads((path / "config.json").read_text())
    edit(config)
    (path / "config.json").write_text(json.dumps(config))


def drop_weight(path: Path) -> None:
    state = load_file(path / "model.safetensors")
    del state["decoder.logit.bias"]
    save_file(state, path / "model.safetensors")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: (path / "model.safetensors").unlink(), "no such file"),
        (lambda path: (path / "config.json").unlink(), "not a model directory"),
        (lambda path: (path / "config.json").write_text("[]"), "not the config.json"),
        (drop_weight, r"1 weights missing \(decoder.logit.bias\)"),
        (
            lambda path: (path / "labels.json").write_text(LabelSet.from_names(["a"]).to_json()),
            "20 tags in the weights, 1 in labels.json",
        ),
        (lambda path: edit_config(path, lambda c: c.update(format=2)), "update anytag"),
        (lambda path: edit_config(path, lambda c: c["network"].update(x=1)), "unknown key 'x'"),
        (
            lambda path: edit_config(path, lambda c: c["network"]["captioner"].update(ffn=3)),
            "has shape",
        ),
    ],
)
def test_damaged_directories_are_refused(damage: Any, message: str, tmp_path: Path) -> None:
    path = convert("ram", tmp_path)
    damage(path)
    with pytest.raises(ModelError, match=message) as caught:
        load_released(path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_wrong_tag_list_is_refused(tmp_path: Path) -> None:
    labels = LabelSet.from_names(NAMES[:19])
    source = checkpoint("ram", tmp_path)
    with pytest.raises(ModelError, match="has 20 tags, the tag list has 19"):
        convert_file(source, tmp_path / "model", labels, name="ram", options=OPTIONS)
    assert not (tmp_path / "model").exists()


def test_other_directories_are_not_taken_for_released(tmp_path: Path) -> None:
    assert not is_released(tmp_path)
    (tmp_path / "config.json").write_text('{"network": {"encoder": {}}}')
    assert not is_released(tmp_path)
