"""benchmarks/floor.py, full_model.py, tags_cost.py, cascade.py and eval_scale.py: what they count
and compare.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from anytag import Tagger
from anytag.inference.cascade import Cascade, CascadeConfig

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


def test_intervals_of_the_part_that_is_kept(benchmark_script: BenchmarkScript) -> None:
    """R's binom.test(5, 10): 0.1870860 to 0.8129140; none lost: the rule of three."""
    interval = benchmark_script("cascade").clopper_pearson
    assert interval(5, 10) == pytest.approx([0.1870860, 0.8129140], abs=1e-6)
    assert interval(0, 4000) == pytest.approx([0.025 ** (1 / 4000), 1.0])
    assert interval(4000, 4000) == pytest.approx([0.0, 1 - 0.025 ** (1 / 4000)])
    low, high = interval(3, 8159)
    assert low < 1 - 3 / 8159 < high


def test_a_replayed_cascade_asks_as_the_real_one(
    benchmark_script: BenchmarkScript, seeing_model: Path, tmp_path: Path
) -> None:
    script = benchmark_script("cascade")
    tagger = Tagger.from_pretrained(seeing_model, device="cpu")
    random = np.random.default_rng(0)
    for number in range(200):
        pixels = random.integers(0, 256, (2, 2, 3), np.uint8)
        Image.fromarray(pixels).resize((32, 32)).save(tmp_path / f"{number:03}.png")
    photos = script.photos_in([tmp_path])
    replay = script.look(tagger, photos)
    config = CascadeConfig(num_kept=1, warm_up=128, audit_every=5, slack=1.0)
    order = random.permutation(200)
    played = Cascade(replay, script.Tags(slice(None)), tagger.labels, config)
    real = tagger.with_cascade(config)
    pixels = np.stack([tagger.load(photo).pixels for photo in photos])[order]
    expected = real.score(pixels)
    np.testing.assert_allclose(played.score(order), expected, atol=1e-5)
    assert np.isnan(expected).any()
    assert played.report == real.cascade_report
    finals = script.final_tags(tagger, replay)
    seen, watched = script.watch(tagger, replay, finals, order, config)
    assert watched.report == real.cascade_report
    found = script.figures_of(seen, len(tagger.labels), config, config.slack)
    audited = np.arange(200) < 128  # the warm-up
    audited[128::5] = True
    given = tagger.score(pixels) >= np.array([label.threshold for label in tagger.labels])
    asked = np.isfinite(expected)
    assert len(seen) == (~audited).sum()
    assert found["tags"] == given[~audited].sum()
    assert found["lost"] == (given & ~asked)[~audited].sum()
    assert found["mean_kept"] == pytest.approx(asked[~audited].sum(axis=1).mean())
    assert script.figures_of(seen, len(tagger.labels), config, 99.0)["lost"] == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no resource module")
def test_evaluations_are_measured_in_a_process_of_their_own(
    benchmark_script: BenchmarkScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    script = benchmark_script("eval_scale")
    monkeypatch.setattr(script, "FORMATS", ("csv",))
    figures = script.measure(300, 1)
    assert figures["images"] == 300
    assert figures["rows"][0]["format"] == "csv"
    assert figures["rows"][0]["map"] > 0.2
    assert figures["rows"][0]["cpu_seconds"]["median"] > 0
    assert 50 < figures["rows"][0]["peak_memory_mb"]["median"] < 4000
    section = "\n\n".join(benchmark_script("report_speed").SECTIONS["eval-scale"][1](figures))
    assert "| `.csv` |" in section
    assert "300 images and 214 classes" in section
