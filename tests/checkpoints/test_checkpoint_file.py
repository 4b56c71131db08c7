"""Checkpoint files: what is read, and that no code of theirs runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from anytag.checkpoints.checkpoint_file import read_checkpoint
from anytag.errors import ModelError

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        {"model": WEIGHTS, "optimizer": {"state": {}}, "config": {"lr": 1e-4}, "epoch": 3},
        {"state_dict": {f"module.{key}": value for key, value in WEIGHTS.items()}},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_weights_are_found(content: Any, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    state = read_checkpoint(path)
    assert state.keys() == WEIGHTS.keys()
    assert all(torch.equal(state[key], WEIGHTS[key]) for key in WEIGHTS)


def test_safetensors(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "model.safetensors")
    state = read_checkpoint(tmp_path / "model.safetensors")
    assert torch.equal(state["a.weight"], WEIGHTS["a.weight"])


class Trap:
    """Unpickling it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_sparse_tensor_is_refused(zipped: bool, tmp_path: Path) -> None:
    """It would be read with the indices that the file gives."""
    path = tmp_path / "model.pth"
    content = {**WEIGHTS, "b.weight": torch.eye(3).to_sparse()}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match=r"model\.pth: refused: b\.weight is a sparse tensor"):
        read_checkpoint(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_refused_and_does_not_run(zipped: bool, tmp_path: Path) -> None:
    trap = tmp_path / "it-ran"
    path = tmp_path / "model.pth"
    for extra in (Trap(trap), argparse.Namespace(lr=1)):
        torch.save({"model": WEIGHTS, "x": extra}, path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(ModelError, match="would run code") as caught:
            read_checkpoint(path)
        assert "\n" not in str(caught.value)
        assert not trap.exists()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("a.pth", cut, "the end of the file is missing"),
        ("b.pth", lambda path: path.write_bytes(b"<html>404"), "not a torch checkpoint"),
        ("c.pth", lambda path: path.write_bytes(b""), "not a torch checkpoint"),
        ("d.pth", lambda path: path.unlink(), "no such file"),
        ("e.pth", lambda path: path.write_bytes(b"\x80\x02junk"), "damaged"),
        ("f.pth", lambda path: torch.save([1], path), "holds a list"),
        ("g.pth", lambda path: torch.save({"lr": 1}, path), "found other things"),
        ("h.safetensors", lambda path: path.write_bytes(b"junk"), "damaged or no safetensors"),
    ],
)
def test_damaged_files_are_refused(name: str, damage: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    torch.save(WEIGHTS, path)
    damage(path)
    with pytest.raises(ModelError, match=message) as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)
