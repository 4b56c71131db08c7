"""Reading checkpoint files of others: tensors only, never code.

A ``.pth`` file is a pickle and can run anything when opened carelessly. torch's restricted reader
(``weights_only=True``) is always used; a file that needs more is refused.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from anytag.errors import ModelError

#: names under which training scripts keep the weights
WRAPPERS = ("model", "state_dict", "model_state_dict")


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The weights of a ``.pth``, ``.pt`` or ``.safetensors`` file, mapped into memory, not copied.

    Optimizer state and settings beside the weights are ignored; ``module.`` in front of every
    key (from distributed training) is removed.

    Raises:
        ModelError: the file is missing, damaged, not a checkpoint, or needs pickle code; or a
            tensor is sparse
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    if path.suffix == ".safetensors":
        return _strip_module(_read_safetensors(path))
    content = _read_torch(path)
    for name in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
            break
    if not isinstance(content, Mapping):
        raise ModelError(f"{path}: holds a {type(content).__name__}, expected named weights")
    state = {key: value for key, value in content.items() if isinstance(value, Tensor)}
    if not state or len(state) != len(content):
        strange = [str(key) for key in content if key not in state]
        raise ModelError(
            f"{path}: expected named weights, found other things ({', '.join(strange[:3])})"
        )
    for key, value in state.items():
        # torch before 2.14 does not check their indices, and reads past their end
        if value.layout is not torch.strided:
            raise ModelError(f"{path}: refused: {key} is a sparse tensor, expected a plain one")
    return _strip_module(state)


def _strip_module(state: dict[str, Tensor]) -> dict[str, Tensor]:
    if not all(key.startswith("module.") for key in state):
        return state
    return {key.removeprefix("module."): value for key, value in state.items()}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: damaged or no safetensors file ({error})") from error


def _read_torch(path: Path) -> Any:  # Any: a pickle can hold anything; the caller looks
    archive = zipfile.is_zipfile(path)
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(b"PK") and not archive:
        raise ModelError(
            f"{path}: the end of the file is missing ({path.stat().st_size} bytes); "
            "download it again"
        )
    if not archive and not start.startswith(b"\x80"):
        raise ModelError(f"{path}: not a torch checkpoint (it starts with {start[:8]!r})")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        if found:
            raise ModelError(
                f"{path}: refused: opening it would run code ({found[1]}). Save its weights alone, "
                "with torch.save(model.state_dict(), ...), where you trust it"
            ) from error
        raise ModelError(f"{path}: damaged: {_first_line(error)}") from error
    except Exception as error:  # a damaged pickle can raise anything
        raise ModelError(f"{path}: damaged: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]
