"""`RayPool` with a Ray that only says what its nodes have."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from anytag.cli import ray_options
from anytag.cli.options import RunOn
from anytag.distributed.job import open_job
from anytag.distributed.on_ray import RayPool
from anytag.errors import MissingExtraError, UsageError


class FakeRay(SimpleNamespace):
    """Nodes and what was asked for."""

    def __init__(self, *nodes: dict[str, float], fails: str = "") -> None:
        super().__init__(data=SimpleNamespace(ActorPoolStrategy=lambda **sizes: sizes))
        self._nodes = nodes
        self._fails = fails
        self.starts: list[dict[str, Any]] = []

    def nodes(self) -> list[dict[str, Any]]:
        found = [(True, node) for node in self._nodes] + [(False, {"CPU": 1000.0})]
        return [
            {"Alive": alive, "NodeID": f"id{n}", "NodeManagerHostname": f"h{n}", "Resources": node}
            for n, (alive, node) in enumerate(found)
        ]

    def init(self, **options: Any) -> None:
        self.starts.append(options)
        if self._fails:
            raise ConnectionError(self._fails)

    def shutdown(self) -> None:
        pass


def pool(monkeypatch: pytest.MonkeyPatch, ray: FakeRay, **options: Any) -> RayPool:
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.data", ray.data)
    return RayPool(**options)


TWO_CORES = {"CPU": 2.0, "memory": 1e9}
GPU_NODE = {"CPU": 32.0, "GPU": 4.0}


@pytest.mark.parametrize(
    ("nodes", "workers", "use_gpu", "num_shards", "expected"),
    [
        ([TWO_CORES], None, True, 99, (1, 0, {"size": 2})),
        ([TWO_CORES], 1, True, 99, (2, 0, {"size": 1})),
        ([TWO_CORES], 2, True, 1, (1, 0, {"size": 1})),
        # a head without processors, as Kubernetes has it
        ([{}, {"CPU": 4.0}, {"CPU": 4.0}], 4, True, 99, (2, 0, {"size": 4})),
        # two actors of six processors would fit on no node
        ([{"CPU": 4.0}] * 3, 2, True, 99, (4, 0, {"size": 2})),
        # three of three processors each, a node has room for one
        ([{"CPU": 4.0}] * 3, 4, True, 99, (3, 0, {"min_size": 1, "max_size": 4})),
        ([GPU_NODE, GPU_NODE], None, True, 99, (8, 1, {"size": 8})),
        ([GPU_NODE], None, False, 99, (1, 0, {"size": 32})),
        ([{"CPU": 64.0, "GPU": 1.0}], None, True, 99, (16, 1, {"size": 1})),
    ],
)
def test_processors_are_shared_out(
    monkeypatch: pytest.MonkeyPatch,
    nodes: list[dict[str, float]],
    workers: int | None,
    use_gpu: bool,
    num_shards: int,
    expected: tuple[int, int, dict[str, int]],
) -> None:
    made = pool(monkeypatch, FakeRay(*nodes), num_workers=workers, use_gpu=use_gpu)
    cpus, gpus, sizes = made._resources(num_shards)
    sizes.pop("max_tasks_in_flight_per_actor")
    assert (cpus, gpus, sizes) == expected


@pytest.mark.parametrize(
    ("given", "environment", "expected"),
    [(None, None, "local"), (None, "10.0.0.1:6379", "10.0.0.1:6379"), ("auto", "x:1", "auto")],
)
def test_which_cluster(
    monkeypatch: pytest.MonkeyPatch, given: str | None, environment: str | None, expected: str
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if environment is not None:
        monkeypatch.setenv("RAY_ADDRESS", environment)
    ray = FakeRay(TWO_CORES, fails="nobody is there\n")
    with pytest.raises(UsageError, match=f"no Ray at {expected}: nobody is there$"):
        pool(monkeypatch, ray, address=given).__enter__()
    assert {one["address"] for one in ray.starts} == {expected}
    # of a running cluster these cannot be chosen
    assert ("object_store_memory" in ray.starts[0]) == (expected == "local")


def test_a_slow_start_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ray = FakeRay(TWO_CORES, fails="The current node timed out during startup.")
    with pytest.raises(UsageError, match="timed out"):
        pool(monkeypatch, ray).__enter__()
    assert len(ray.starts) == 3


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"anytag\[ray\]"):
        RayPool()
    monkeypatch.setattr(ray_options, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"anytag\[ray\]"):
        ray_options.check_ray(RunOn.RAY)
    ray_options.check_ray(RunOn.LOCAL, None, None)


@pytest.mark.parametrize("is_done", [False, True])
def test_a_job_without_a_cluster_is_forgotten_if_new(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, is_done: bool
) -> None:
    job = open_job(
        tmp_path / "out", {}, lambda: [({}, 1)], suffix=".jsonl", mode="new", in_parts=False
    )
    if is_done:
        job.step.finish_shard(0, {})
    pool(monkeypatch, FakeRay(TWO_CORES, fails="nobody"))
    with (
        pytest.raises(UsageError, match="nobody"),
        ray_options.job_pool(job, None, "auto", None),
    ):
        pass
    assert job.folder.exists() == is_done
