"""A Ray cluster of several nodes on this machine, as a program of its own.

    python ray_cluster.py

A head without processors, and nodes of one processor each: a line of standard input is "add", and
is answered with the process id of the new node. The first line of standard output is the address.
Where a busy machine is too slow for Ray, which waits 30 seconds for a node, the answer is `SLOW`.
"""

from __future__ import annotations

import sys

MEMORY = 100_000_000
SLOW = "slow"


def main() -> None:
    from ray._private.ray_constants import PROCESS_TYPE_RAYLET
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "object_store_memory": MEMORY, "include_dashboard": False}
    try:
        cluster = Cluster(initialize_head=True, head_node_args=head)
        say(cluster.address)
        for line in sys.stdin:
            assert line == "add\n"
            node = cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
            say(node.all_processes[PROCESS_TYPE_RAYLET][0].process.pid)
    except Exception as error:  # a plain one
        if "timed out" not in str(error):
            raise
        say(SLOW)


def say(value: object) -> None:
    sys.stdout.write(f"{value}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
