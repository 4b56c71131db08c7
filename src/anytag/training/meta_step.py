"""What one training step computes and holds, counted on tensors without contents.

The step is the run's own `Objective`, forward and backward, on torch's "meta" device: every
operation is there with its shapes, and none is computed. Operations are counted by torch's
`FlopCounterMode`, memory by following when storages come and go.

Two things that a GPU does are put in their place, since the meta device would do otherwise:
attention without a stored matrix (torch's memory-efficient kernel), and autocast's choice of types
(which the meta device does not know): products in the low precision, norms and losses in float32.

Shapes: B images, S side in pixels, T tags, L tokens of a text.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from anytag.training.batch import Batch, Texts
from anytag.training.objective import Objective

#: functions whose floats autocast makes low, and those that it makes float32
_LOW = frozenset({"linear", "conv2d", "matmul", "__matmul__", "__rmatmul__", "bmm", "einsum"})
_HIGH = frozenset({"layer_norm", "softmax", "cross_entropy"})


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """One step of one process: all its pictures forward and backward."""

    num_images: int
    #: floating point operations, a multiplication and an addition being two
    forward_flops: int
    backward_flops: int
    #: most bytes that the pass holds at once: activations, temporary results, gradients so far
    peak_bytes: int


def measure_step(
    objective: Objective,
    *,
    image_size: int,
    num_tags: int,
    batch_size: int,
    num_tokens: int,
    precision: str,
    features: Sequence[int] | None = None,
) -> StepCost:
    """Count a step.

    Args:
        objective: on the meta device, in training mode
        image_size: S
        num_tags: T
        batch_size: B
        num_tokens: L of a caption and of the tag text, taken as full
        precision: as `RunConfig.precision`
        features: shape of those of a picture that stand in for its pixels (`features.Cut`)
    """
    tokens = num_tokens if objective.config.captioning else None
    batch = make_batch(image_size, num_tags, batch_size, tokens)
    if features is not None:
        kept = torch.empty(batch_size, *features, dtype=torch.float16, device="meta")
        batch = replace(batch, images=None, features=kept)
    low = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(precision)
    counter, memory = _flop_counter(), MemoryPeak()
    with _GpuFunctions(low), counter, memory:
        loss = objective(batch)["total"]
        forward = counter.get_total_flops()
        _backward(loss)
    objective.zero_grad(set_to_none=True)
    return StepCost(
        num_images=batch_size,
        forward_flops=forward,
        backward_flops=counter.get_total_flops() - forward,
        peak_bytes=memory.peak,
    )


def _backward(loss: Tensor) -> None:
    """As ``loss.backward()``, which would leave the functions' mode: what checkpointed blocks
    compute again must be what they computed before.
    """
    engine: Any = torch.autograd.Variable._execution_engine
    engine.run_backward(
        (loss,), (torch.ones_like(loss),), False, False, (), allow_unreachable=True,
        accumulate_grad=True,
    )  # fmt: skip


def measure_parts(
    objective: Objective, *, image_size: int, num_tags: int, num_tokens: int
) -> dict[str, int]:
    """Operations of one picture's forward pass by part: encoder, tagging and what else is on."""
    tokens = num_tokens if objective.config.captioning else None
    batch = make_batch(image_size, num_tags, 1, tokens)
    images = torch.empty(1, 3, image_size, image_size, device="meta")
    encoder = objective.network.encoder
    features: list[Tensor] = []
    parts: dict[str, Callable[[], Any]] = {
        "backbone": lambda: features.append(encoder.backbone(images)),
        "projection": lambda: features.append(encoder.project(features[0])),
        "tagging": lambda: objective.tagging(features[1], batch),
    }
    if batch.texts is not None:
        texts = batch.texts
        parts["captioner"] = lambda: objective.captioning(features[1], texts)
    if objective.config.alignment:
        parts["alignment"] = lambda: objective.alignment(features[1], batch.captions)
    with _GpuFunctions(None):
        return {name: count_flops(run) for name, run in parts.items()}


def count_flops(run: Callable[[], Any]) -> int:
    """Floating point operations of a call, on any device."""
    with _flop_counter() as counter:
        run()
    return int(counter.get_total_flops())


def _flop_counter() -> FlopCounterMode:
    # Any: the keys are operators, which have no public type
    own: dict[Any, Any] = {torch.ops.aten.convolution_backward: _convolution_backward}
    return FlopCounterMode(display=False, custom_mapping=own)


def _convolution_backward(
    grad: Sequence[int], images: Sequence[int], weight: Sequence[int], *rest: Any, **_: Any
) -> int:
    """Each of the two gradients costs what the forward pass does. Torch's own formula counts the
    weights' gradient of a depthwise convolution as if every channel were joined to every other.
    """
    wanted = rest[-1]  # of input, weight, bias
    forward = 2 * math.prod(grad[2:]) * grad[0] * math.prod(weight)
    return int(forward * (wanted[0] + wanted[1]))


def make_batch(image_size: int, num_tags: int, batch_size: int, tokens: int | None) -> Batch:
    """A batch on the meta device, texts of full length."""
    texts = None
    if tokens is not None:
        ids, mask = (
            torch.empty(batch_size, tokens, dtype=kind, device="meta")
            for kind in (torch.int64, torch.bool)
        )
        texts = Texts(caption_ids=ids, caption_mask=mask, tag_ids=ids, tag_mask=mask)
    size = (batch_size, 3, image_size, image_size)
    return Batch(
        images=torch.empty(size, dtype=torch.uint8, device="meta"),
        targets=torch.empty(batch_size, num_tags, device="meta"),
        weights=None,
        texts=texts,
        captions=tuple(f"caption {number}" for number in range(batch_size)),
        positions=torch.arange(batch_size),
    )


class _GpuFunctions(TorchFunctionMode):
    """Functions as a GPU runs them.

    Args:
        low: autocast's type; None = no autocast
    """

    def __init__(self, low: torch.dtype | None) -> None:
        super().__init__()
        self._low = low
        #: weights in the low type, which autocast makes once a step
        self._weights: dict[int, Tensor] = {}

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: tuple[type, ...],
        arguments: tuple[Any, ...] = (),
        keywords: Mapping[str, Any] | None = None,
    ) -> Any:
        keywords = dict(keywords or {})
        name = getattr(function, "__name__", "")
        if name == "scaled_dot_product_attention":
            return self._attention(*arguments, **keywords)
        if name == "dropout":
            return _dropout(*arguments, **keywords)
        if self._low is not None and name in _LOW:
            arguments = tuple(self._cast(one, self._low) for one in arguments)
            keywords = {key: self._cast(one, self._low) for key, one in keywords.items()}
        elif self._low is not None and name in _HIGH:
            arguments = tuple(self._cast(one, torch.float32) for one in arguments)
        return function(*arguments, **keywords)

    def _cast(self, value: Any, kind: torch.dtype) -> Any:
        if not isinstance(value, Tensor) or not value.is_floating_point() or value.dtype == kind:
            return value
        if not isinstance(value, nn.Parameter):
            return value.to(kind)
        return self._weights.setdefault(id(value), value.to(kind))

    def _attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
    ) -> Tensor:
        kind = self._low or query.dtype
        query, key, value = (self._cast(one, kind) for one in (query, key, value))
        if attn_mask is not None:
            shape = (*query.shape[:-1], key.shape[-2])
            attn_mask = attn_mask.to(kind).expand(shape)
        mixed: Tensor = torch.ops.aten._scaled_dot_product_efficient_attention(
            query, key, value, attn_mask, True, dropout_p
        )[0]
        return mixed


def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """A GPU keeps a byte an element, not a copy."""
    return torch.native_dropout(input, p, True)[0] if training and p > 0 else input


class MemoryPeak(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the bytes of the storages that operations make, while it is a context.

    >>> with MemoryPeak() as memory:
    ...     a = torch.empty(1000, device="meta") * 2
    >>> memory.peak
    8000
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        #: most bytes at once
        self.peak = 0
        self._now = 0
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self,
        function: Callable[..., Any],
        types: Any,
        arguments: tuple[Any, ...] = (),
        keywords: Mapping[str, Any] | None = None,
    ) -> Any:
        known = {id(one.untyped_storage()) for one in _tensors(arguments)}
        results = function(*arguments, **dict(keywords or {}))
        for result in _tensors(results):
            storage = result.untyped_storage()
            if id(storage) not in known and storage not in self._seen:
                self._add(storage)
        return results

    def _add(self, storage: torch.UntypedStorage) -> None:
        size = storage.nbytes()
        self._seen.add(storage)
        self._now += size
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._remove, size)

    def _remove(self, size: int) -> None:
        self._now -= size


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, tuple | list):
        return [tensor for value in values for tensor in _tensors(value)]
    return []
