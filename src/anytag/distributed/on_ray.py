"""A pool of Ray Data actors, each with its own model.

Shard numbers go in and counts come out, some bytes each: images and records never enter the object
store. An actor that dies is started again by Ray (`max_restarts`), and its shards are given to it
again (`max_task_retries`); Ray Data sets both to "without end". If its node is lost and no other
has room, it waits; the others make what is left, and when they have nothing more to do Ray Data
ends them, which makes room for it. Written against Ray 2.60.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import anytag
from anytag.distributed.lost_nodes import Capacity, tell_lost_nodes
from anytag.distributed.worker import Answer, Make, ShardWorker
from anytag.engine.steps import Step
from anytag.errors import MissingExtraError, UsageError

#: bytes of the object store that a Ray of our own gets; Ray takes 30 % of the memory otherwise
OBJECT_STORE = 200_000_000
#: shards that wait at an actor: the next one, so that it has not to ask
_IN_FLIGHT = 2
#: times that a Ray of our own is started
_STARTS = 3
#: Ray keeps an object for each block; longer jobs have several shards in one
_MAX_BLOCKS = 10_000
#: more processors than these do not decode faster than one model works
_MAX_CPUS = 16
#: seconds in which a cluster must take a connection
_KNOCK_S = 20.0


class ShardActor:
    """`ShardWorker` as a Ray Data actor."""

    def __init__(self, step: Step, make: Make, cwd: str, version: str) -> None:
        self._worker = ShardWorker(step, make, cwd=cwd)
        self._version = version

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Rows ``{"shard": n}`` -> rows ``{"answer": JSON of Answer}``."""
        return {"answer": [json.dumps(asdict(self._make(int(n)))) for n in batch["shard"]]}

    def _make(self, shard: int) -> Answer:
        if self._version != anytag.__version__:
            message = f"a node has anytag {anytag.__version__}, the job needs {self._version}"
            return Answer(shard=shard, error=("UsageError", message))
        return self._worker(shard)


def knock(address: str) -> None:
    """Ray 2.60 itself tries an address where nobody listens for minutes on end.

    Raises:
        UsageError: ``host:port`` or ``ray://host:port`` takes no connection
    """
    place = urlsplit(address if "://" in address else f"ray://{address}")
    try:
        if place.scheme != "ray" or place.hostname is None or place.port is None:
            return  # "local", "auto", or what only Ray knows
        socket.create_connection((place.hostname, place.port), _KNOCK_S).close()
    except (OSError, ValueError) as error:  # the second: a port that is none
        raise UsageError(f"no Ray at {address}: {error}; is it running there?") from error


class RayPool:
    """A cluster, connected while in the ``with`` block.

    Args:
        address: "local" starts Ray on this machine; "auto", "host:port" or "ray://host:10001" is a
            running cluster. None = the environment's RAY_ADDRESS, else "local"
        num_workers: actors; None = one for each GPU, or processor where there are no GPUs
        use_gpu: an actor takes a GPU if the cluster has some
        tell: is told in a sentence when nodes are lost

    Raises:
        MissingExtraError: Ray is not installed
        UsageError: there is no cluster at the address, or it has too little for one actor
    """

    def __init__(
        self,
        *,
        address: str | None = None,
        num_workers: int | None = None,
        use_gpu: bool = True,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise MissingExtraError("ray", "ray") from error
        self._ray: Any = ray  # Any: half of Ray's names have no types
        self._address = address or os.environ.get("RAY_ADDRESS") or "local"
        self._num_workers = num_workers
        self._use_gpu = use_gpu
        self._tell = tell
        # Ray prints what becomes of its workers; standard output is for data
        self._told = redirect_stdout(sys.stderr)

    def __enter__(self) -> RayPool:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # warns of every actor that its restart needs the driver, which has to live anyhow
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self._address == "local":
            options |= {
                "include_dashboard": False,
                "object_store_memory": OBJECT_STORE,
                # more actors than processors are the user's wish
                "num_cpus": max(os.cpu_count() or 1, self._num_workers or 1),
            }
        knock(self._address)
        self._connect(options)
        self._told.__enter__()
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = self._ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        # Ray ends a job that gives no answer for 30 minutes; a shard or a new node may take longer
        context.execution_no_progress_timeout_s = -1
        return self

    def _connect(self, options: dict[str, Any]) -> None:
        starts = _STARTS if self._address == "local" else 1
        for start in range(1, starts + 1):
            try:
                self._ray.init(address=self._address, **options)
                return
            # Ray raises a plain Exception where a busy machine was too slow for its 30 seconds
            except Exception as error:
                self._ray.shutdown()
                if start < starts and "timed out" in str(error):
                    continue
                why = " ".join(str(error).split())
                raise UsageError(f"no Ray at {self._address}: {why}") from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ray.shutdown()
        self._told.__exit__(kind, error, trace)

    def __call__(self, step: Step, make: Make, shards: Sequence[int]) -> Iterator[Answer]:
        """See `anytag.distributed.pool.Pool`."""
        num_cpus, num_gpus, compute = self._resources(len(shards))
        rows = [{"shard": shard} for shard in shards]
        data = self._ray.data.from_items(
            rows, override_num_blocks=min(len(rows), _MAX_BLOCKS)
        ).map_batches(
            ShardActor,
            batch_size=1,
            fn_constructor_args=(step, make, str(Path.cwd()), anytag.__version__),
            compute=compute,
            num_cpus=num_cpus,
            num_gpus=num_gpus,
            # PyTorch would take all processors of the machine in every actor
            runtime_env={"env_vars": {"OMP_NUM_THREADS": str(num_cpus)}},
        )
        with tell_lost_nodes(lambda: self._capacity(num_cpus, num_gpus), self._tell):
            for batch in data.iter_batches(batch_size=None, prefetch_batches=0):
                for text in batch["answer"]:
                    found = json.loads(text)
                    error = found.pop("error")
                    yield Answer(**found, error=None if error is None else tuple(error))

    def _resources(self, num_shards: int) -> tuple[int, int, Any]:
        """Processors and GPUs of an actor, and the pool's size."""
        nodes = [one["Resources"] for one in self._alive()]
        cpus = [int(one.get("CPU", 0)) for one in nodes]
        gpus = [int(one.get("GPU", 0)) for one in nodes]
        num_gpus = 1 if self._use_gpu and any(gpus) else 0
        wanted = self._num_workers or (sum(gpus) if num_gpus else sum(cpus)) or 1
        # of all actors, however few shards are left: threads can change the last bit of a score
        num_cpus = max(1, min(sum(cpus) // wanted, max(cpus, default=1), _MAX_CPUS))
        wanted = max(1, min(wanted, num_shards))
        room = self._capacity(num_cpus, num_gpus).room
        strategy = self._ray.data.ActorPoolStrategy
        # a pool of fixed size waits for all of its actors; one that grows begins with the first
        sizes = {"size": wanted} if wanted <= room else {"min_size": 1, "max_size": wanted}
        return num_cpus, num_gpus, strategy(max_tasks_in_flight_per_actor=_IN_FLIGHT, **sizes)

    def _capacity(self, num_cpus: int, num_gpus: int) -> Capacity:
        """What the nodes have now, for actors of that size."""
        alive = self._alive()
        room = 0
        for one in alive:
            cpus = int(one["Resources"].get("CPU", 0)) // num_cpus
            gpus = int(one["Resources"].get("GPU", 0)) if num_gpus else cpus
            room += min(cpus, gpus)
        names = {one["NodeID"]: str(one["NodeManagerHostname"]) for one in alive}
        return Capacity(nodes=names, room=room)

    def _alive(self) -> list[dict[str, Any]]:
        return [one for one in self._ray.nodes() if one["Alive"]]
