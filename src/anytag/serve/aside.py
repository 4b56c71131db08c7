"""Computing outside a model's own thread, without slowing that one down for ever.

OpenMP keeps helper threads for every thread that has computed something. Once there are more of
them than processors, they sleep between loops instead of staying awake: measured on 2 processors,
a pass of the nano model took 26 ms before and 36 ms after. They go with the thread they belong to.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def aside(make: Callable[[], T]) -> T:
    """What ``make`` gives, made in a thread that ends before this returns."""
    with ThreadPoolExecutor(1, thread_name_prefix="anytag-aside") as pool:
        return pool.submit(make).result()
