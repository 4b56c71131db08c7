"""``--engine ray``: checked, and the pool that it asks for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from anytag.cli.options import RunOn
from anytag.errors import AnytagError, MissingExtraError, UsageError

if TYPE_CHECKING:
    from anytag.distributed.job import Job
    from anytag.distributed.on_ray import RayPool
    from anytag.distributed.pool import Pool

#: images of a shard
SHARD_SIZE = 500


def check_ray(engine: RunOn, *belonging: object) -> None:
    """Find out what is wrong before any work.

    Args:
        engine: value of ``--engine``
        belonging: values of the options that only belong to Ray

    Raises:
        UsageError: one of them is given, but Ray is not asked for
        MissingExtraError: Ray is asked for and is not installed
    """
    if engine is RunOn.LOCAL:
        if any(value is not None for value in belonging):
            raise UsageError("--ray-address, --ray-workers and --shard-size need --engine ray")
    elif find_spec("ray") is None:
        raise MissingExtraError("ray", "ray")


@contextmanager
def job_pool(
    job: Job, pool: Pool | None, address: str | None, workers: int | None, device: str = "cpu"
) -> Iterator[Pool]:
    """The pool of a job: the given one, or Ray; a new job is forgotten where there is no Ray."""
    if pool is not None:
        yield pool
        return
    with ExitStack() as stack:
        try:
            made = stack.enter_context(make_pool(address, workers, device))
        except AnytagError:
            if not job.has_begun:
                job.remove()
            raise
        yield made


def make_pool(address: str | None, workers: int | None, device: str = "cpu") -> RayPool:
    """The pool, for a ``with`` block."""
    from anytag.distributed.on_ray import RayPool

    return RayPool(
        address=address,
        num_workers=workers,
        use_gpu=device not in ("cpu", "mps"),
        tell=lambda text: print(text, file=sys.stderr),
    )
