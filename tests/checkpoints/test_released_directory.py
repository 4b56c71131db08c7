"""Released checkpoints to model directories and back."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from anytag.checkpoints.released_directory import is_released, load_released
from anytag.errors import ModelError
from anytag.labels.labelset import LabelSet

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("family", ["ram", "ram_plus", "tag2text"])
def test_directory_gives_the_golden_logits(family: str, released_models: dict[str, Path]) -> None:
    path = released_models[family]
    assert is_released(path)
    loaded = load_released(path)
    settings = json.loads((GOLDEN / family / "config.json").read_text())
    assert loaded.labels.names == settings["tag_list"]
    assert loaded.card.network.family == family
    network, labels = loaded.network, loaded.label_embeddings
    images = load_file(GOLDEN / family / "inputs.safetensors")["image"]
    with torch.no_grad():
        state = network.prepare() if labels is None else network.prepare(labels)
        logits = network(images, state)
    expected = load_file(GOLDEN / family / "outputs.safetensors")["tag_logits"]
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    assert (network.captioner is None) == (family == "ram_plus")


def test_weights_are_mapped_from_the_file(released_models: dict[str, Path]) -> None:
    """No copy in memory: all weights lie in one mapped region."""
    network = load_released(released_models["ram"]).network
    places = [p.untyped_storage().data_ptr() for p in network.parameters()]
    assert (
        max(places) - min(places) <= (released_models["ram"] / "model.safetensors").stat().st_size
    )


@pytest.mark.skipif(os.name == "nt", reason="permissions are those of POSIX")
@pytest.mark.parametrize("umask", [0o022, 0o027])
def test_permissions_follow_the_umask(umask: int, released_files: Any, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        released_files["ram"].convert(tmp_path / "model")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "model").iterdir()}
    assert modes == dict.fromkeys(modes, 0o666 & ~umask)


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
        (lambda path: (path / "config.json").write_text("[]"), "expected a mapping, found list"),
        (drop_weight, r"1 weights missing \(decoder.logit.bias\)"),
        (
            lambda path: (path / "labels.json").write_text(LabelSet.from_names(["a"]).to_json()),
            "20 tags in the weights, 1 in labels.json",
        ),
        (lambda path: edit_config(path, lambda c: c.update(format=2)), "update anytag"),
        (lambda path: edit_config(path, lambda c: c["network"].update(x=1)), "unknown key 'x'"),
        (
            lambda path: edit_config(path, lambda c: c["network"]["captioner"].update(ffn=3)),
            r"\(hidden 40, ffn 3\) cannot borrow layers",
        ),
        (
            lambda path: edit_config(
                path, lambda c: c["network"]["captioner"].update(vocab_size=60)
            ),
            "has shape",
        ),
    ],
)
def test_damaged_directories_are_refused(
    damage: Any, message: str, released_models: dict[str, Path], tmp_path: Path
) -> None:
    path = shutil.copytree(released_models["ram"], tmp_path / "model")
    damage(path)
    with pytest.raises(ModelError, match=message) as caught:
        load_released(path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_other_directories_are_not_taken_for_released(tmp_path: Path) -> None:
    assert not is_released(tmp_path)
    (tmp_path / "config.json").write_text('{"network": {"encoder": {}}}')
    assert not is_released(tmp_path)
