"""Where and how exactly a model runs."""

from __future__ import annotations

import torch

from anytag.errors import UsageError


def choose_device(device: str) -> torch.device:
    """ "auto" is CUDA, then Apple's GPU, then the CPU.

    Raises:
        UsageError: torch does not know it, or this machine has none
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise UsageError(
            f"unknown device {device!r}: expected auto, cpu, cuda, cuda:1 or mps"
        ) from error
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"device {device!r}: this machine has {torch.cuda.device_count()} CUDA GPUs"
        )
    return chosen


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """ "auto" is bfloat16 on CUDA and float32 elsewhere.

    Raises:
        UsageError: no such type
    """
    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if dtype not in kinds:
        raise UsageError(f"unknown dtype {dtype!r}: expected auto, {', '.join(kinds)}")
    return kinds[dtype]
