"""benchmarks/floor.py, full_model.py, tags_cost.py and cascade.py: what they count and compare."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

BenchmarkScript = Callable[[str], ModuleType]


def test_multiplications_are_those_counted_elsewhere(benchmark_script: BenchmarkScript) -> None:
    """Swin-L: 103.9 (a counter on timm's model); RAM's head: 58.28 with torch's, all layers."""
    floor = benchmark_script("floor")
    assert sum(floor.swin_macs(floor.swin_large(384)).values()) == pytest.approx(103.9, abs=0.1)
    sizes = (4585, 145, 512)
    head = floor.head_macs(floor.ram().decoder, *sizes, 512)
    assert sum(head.values()) == pytest.approx(58.2, abs=0.15)
    assert head["feed-forward"] / sum(head.values()) == pytest.approx(0.74, abs=0.01)
    folded = floor.folded_macs(floor.ram().decoder, *sizes)
    saved = sum(head.values()) - sum(folded.values()) - head["label projection"]
    # the first layer's queries, and three times what folding saves less its own cost
    tags, tokens, hidden = 4585, 145, 768
    once = tags * (hidden**2 + tokens * hidden - 4 * tokens * hidden) - tokens * hidden**2
    assert saved == pytest.approx((3 * once + tags * hidden**2) / 1e9, rel=1e-6)


def test_agreement_looks_at_the_best_tags_that_were_asked(
    benchmark_script: BenchmarkScript,
) -> None:
    full = benchmark_script("full_model")
    expected = np.arange(200, dtype=np.float32)
    assert full.agreement(expected + 1, expected) == {"max_difference": 1.0, "equal_tags": 1.0}
    assert full.agreement(-expected, expected)["equal_tags"] == 0.0
    partial = expected.copy()
    partial[150:] = np.nan
    assert full.agreement(partial, expected) == {"max_difference": 0.0, "equal_tags": 1.0}


def test_cost_of_tags_is_measured_either_way(benchmark_script: BenchmarkScript) -> None:
    cost = benchmark_script("tags_cost")
    for parts in (True, False):
        row = cost.measure(50, "float32", parts=parts, batch_size=2)
        assert (row["tags"], row["parts"], row["batch_size"]) == (50, parts, 2)
        assert row["seconds_per_image"] > 0
        # queries and projected queries, 768 wide, 4 bytes
        assert row["label_state_mb"] == round(2 * 50 * 768 * 4 / 1e6, 1)


def test_other_engines_are_programs_that_stand_behind_our_own_ways(
    benchmark_script: BenchmarkScript,
) -> None:
    full = benchmark_script("full_model")
    listed = full.ways(100, reference=True, others=["engine, f16=./worker=1"])
    assert listed[0].name == "public code, float32"  # the ratios are to it
    assert (listed[-1].name, listed[-1].program) == ("engine, f16", "./worker=1")
    assert [one.program for one in listed[:-1]] == [None] * 6
