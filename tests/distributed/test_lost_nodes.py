"""What is said when a cluster shrinks."""

from __future__ import annotations

import threading

from anytag.distributed.lost_nodes import Capacity, tell_lost_nodes

THREE = Capacity(nodes={"a": "one", "b": "two", "c": "three"}, room=6)
ONE = Capacity(nodes={"b": "two"}, room=2)
NONE = Capacity(nodes={}, room=0)


def told(*looks: Capacity | Exception) -> list[str]:
    """What is said while the nodes are these, one look after the other."""
    texts: list[str] = []
    num = 0
    seen_all = threading.Event()

    def look() -> Capacity:
        nonlocal num
        now = looks[min(num, len(looks) - 1)]
        num += 1
        if num == len(looks):
            seen_all.set()
        if isinstance(now, Exception):
            raise now
        return now

    with tell_lost_nodes(look, texts.append, every=0.001):
        assert seen_all.wait(60)
    return texts


def test_lost_nodes_are_told_once() -> None:
    other = Capacity(nodes={"d": "four"}, room=2)
    assert told(THREE, THREE, ONE, ONE, NONE, other, other) == [
        "the cluster has lost one, three; workers that have room: 2; they make its shards again",
        "the cluster has lost two; workers that have room: 0; waiting for a node (Ctrl-C twice, "
        "and --resume goes on later)",
    ]


def test_a_lost_connection_is_no_lost_node() -> None:
    assert told(THREE, ConnectionError("the head is gone")) == []
