"""`nn.Linear` that is faster in inference on a CPU: its weight lies as oneDNN reads it.

Parameters, their names and all results of training stay those of `nn.Linear`. Under
`torch.inference_mode` on an x86 CPU the weight is put in order once ("packed") and used again until
it changes, and a GELU behind the layer is computed while its input is still in the cache. With
gradients, while a graph is exported or compiled, and everywhere else, `nn.Linear` runs: that path
is what tests compare with.

Packed weights are copies. They cost their size in memory, and are neither copied nor pickled with
the module.

Shapes: I inputs, O outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class Packed:
    """A weight in oneDNN's order, and of which state of the weight it was made."""

    weight: Tensor
    key: tuple[object, ...]

    def __deepcopy__(self, memo: object) -> None:
        """A copied module packs anew: oneDNN's tensors cannot be copied."""

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()


class Linear(nn.Linear):
    """[..., I] -> [..., O]."""

    _packed: Packed | None = None

    def forward(self, input: Tensor) -> Tensor:
        """As `nn.Linear`."""
        weight = self._pack(input)
        if weight is None:
            return F.linear(input, self.weight, self.bias)
        return _multiply(input, weight, self.bias, "none")

    def gelu(self, input: Tensor) -> Tensor:
        """``F.gelu(self(input))``, the exact GELU."""
        weight = self._pack(input)
        if weight is None:
            return F.gelu(F.linear(input, self.weight, self.bias))
        return _multiply(input, weight, self.bias, "gelu")

    def _pack(self, input: Tensor) -> Tensor | None:
        """The packed weight; None where `nn.Linear` shall run."""
        kept = self.weight
        usable = (
            in_inference()
            and kept.device.type == "cpu"
            and input.dtype == kept.dtype
            and not torch.is_autocast_enabled("cpu")
            and can_pack(kept.dtype)
        )
        if not usable:
            return None
        key = (0 if kept.is_inference() else kept._version, kept.data_ptr(), kept.dtype)
        if self._packed is None or self._packed.key != key:
            ordered = torch.ops.mkldnn._reorder_linear_weight(kept.detach().contiguous())
            self._packed = Packed(ordered, key)
        return self._packed.weight


def in_inference() -> bool:
    """Whether to run what is for plain inference alone: no gradients, and no graph is traced.

    `torch.compile` stops a graph at the question for inference mode, so that one comes second.
    """
    return not torch.compiler.is_compiling() and torch.is_inference_mode_enabled()


@cache
def can_pack(dtype: torch.dtype) -> bool:
    """Whether this torch and this CPU pack weights of a type."""
    vectors = torch.backends.cpu.get_cpu_capability()
    if not torch.backends.mkldnn.enabled or not vectors.startswith("AVX"):
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


def _multiply(input: Tensor, weight: Tensor, bias: Tensor | None, behind: str) -> Tensor:
    exact = "none"  # of GELU's two forms, the one without tanh
    output: Tensor = torch.ops.mkldnn._linear_pointwise(input, weight, bias, behind, [], exact)
    return output
