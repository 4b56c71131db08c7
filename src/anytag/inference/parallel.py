"""Several small batches on the CPU at a time, each on one thread.

A network as small as nano's has too little to do in each layer to share it between threads: on two
cores, four images by two threads together take longer than two times four images by one thread
each, and threads that wait for one another take processors from those that decode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import nn

#: above so many bytes of weights, one batch keeps all processors busy, and several need much memory
MAX_BYTES = 200_000_000

In = TypeVar("In")
Out = TypeVar("Out")


def runs_apart(network: nn.Module, device: str) -> bool:
    """Whether `map_batches` is the faster way on this device."""
    weights = sum(weight.nbytes for weight in network.parameters())
    return device == "cpu" and weights <= MAX_BYTES


def map_batches(work: Callable[[In], Out], batches: Sequence[In]) -> list[Out]:
    """``work`` of each batch, in order; as many at a time as torch has threads.

    Each runs on one thread even where there is one batch alone: the last bits of a result depend on
    the number of threads, and so they do not depend on how images fall into batches.

    Torch's number of threads is what it was when this returns. Meanwhile other threads of the
    program may find it to be one.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        return [work(batch) for batch in batches]

    def on_one_thread(batch: In) -> Out:
        torch.set_num_threads(1)  # of this thread alone, but for matrix products of MKL
        return work(batch)

    try:
        with ThreadPoolExecutor(min(threads, max(1, len(batches)))) as pool:
            return list(pool.map(on_one_thread, batches))
    finally:
        torch.set_num_threads(threads)
