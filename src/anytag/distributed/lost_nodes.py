"""Tells when a cluster has lost nodes while a job runs on it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

#: seconds between two looks
_LOOK_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What a cluster has."""

    #: id of each node, and its name
    nodes: Mapping[str, str]
    #: workers for which the nodes have processors and GPUs, at most
    room: int


@contextmanager
def tell_lost_nodes(
    look: Callable[[], Capacity], tell: Callable[[str], None], every: float = _LOOK_S
) -> Iterator[None]:
    """While in the block, say each loss of nodes, and what is left."""
    stop = threading.Event()
    arguments = (look(), look, tell, every, stop)
    watch = threading.Thread(target=_watch, args=arguments, daemon=True)
    watch.start()
    try:
        yield
    finally:
        stop.set()
        watch.join()


def _watch(
    last: Capacity,
    look: Callable[[], Capacity],
    tell: Callable[[str], None],
    every: float,
    stop: threading.Event,
) -> None:
    while not stop.wait(every):
        try:
            now = look()
        except Exception:  # the connection itself is lost: the job says so
            return
        lost = [name for node, name in last.nodes.items() if node not in now.nodes]
        if lost:
            tell(
                f"the cluster has lost {', '.join(lost)}; workers that have room: {now.room}; "
                + (
                    "they make its shards again"
                    if now.room
                    else "waiting for a node (Ctrl-C twice, and --resume goes on later)"
                )
            )
        last = now
