"""Networks without numbers, for weights that are loaded: nothing is drawn, filled or copied."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


@contextmanager
def without_numbers() -> Iterator[None]:
    """Inside, networks are built on the meta device: their weights have shapes and no memory.

    ``load_state_dict(..., assign=True)`` then gives them weights. Tables that no file holds need
    ``device="cpu"`` where they are made, as our networks have it and timm's have not.
    """
    with torch.device("meta"), _Uninitialised():
        yield


class _Uninitialised(TorchFunctionMode):
    """Leaves out normal random numbers, which the weights would replace.

    Without memory behind the weights they cost nothing, but torch imports 800 modules for them:
    1.5 s and 70 MB.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # Any: whatever torch calls
        kwargs = kwargs or {}
        if func is nn.init.normal_:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)
