"""benchmarks/train_step.py and its workers, on tiny networks and without the public code."""

from __future__ import annotations

import importlib
import io
import json
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

BenchmarkScript = Callable[[str], ModuleType]


@pytest.fixture
def train_step(benchmark_script: BenchmarkScript) -> ModuleType:
    return benchmark_script("train_step")


@pytest.fixture
def worker(benchmark_script: BenchmarkScript) -> ModuleType:
    return benchmark_script("step_worker")


def small_case(worker: ModuleType, family: str) -> Any:
    return worker.Case(
        family=family, batch_size=2, image_size=64, num_tags=20, num_descriptions=3, small=True
    )


@pytest.mark.parametrize("family", ["ram", "ram_plus"])
def test_inputs_are_the_same_each_time_and_fit_the_case(worker: ModuleType, family: str) -> None:
    case = small_case(worker, family)
    first, second = worker.make_inputs(case), worker.make_inputs(case)
    for name in ("images", "present", "teacher", "captions", "rows"):
        torch.testing.assert_close(getattr(first, name), getattr(second, name), rtol=0, atol=0)
    assert first.images.shape == (2, 3, 64, 64)
    assert first.present.sum(1).tolist() == [worker.NUM_PRESENT] * 2
    assert first.rows.shape == ((20 if family == "ram" else 60), 512)
    torch.testing.assert_close(first.rows.norm(dim=1), torch.ones(len(first.rows)))


@pytest.mark.parametrize(
    ("family", "term", "part"),
    [("ram", "captioning", "captioner"), ("ram_plus", "alignment", "reweighting")],
)
def test_a_step_trains_all_parts(worker: ModuleType, family: str, term: str, part: str) -> None:
    torch.manual_seed(0)
    step, objective = worker.make_anytag(small_case(worker, family))
    before = {name: value.detach().clone() for name, value in objective.named_parameters()}
    losses = [step("float32"), step("bfloat16"), *(step("float32") for _ in range(3))]
    assert losses[0].keys() == {"total", "tagging", "distillation", term}
    assert losses[-1]["total"] < losses[0]["total"]
    moved = {n for n, value in objective.named_parameters() if not torch.equal(value, before[n])}
    # network.PART. ...
    assert {name.split(".")[1] for name in moved} == {"encoder", "queries", "decoder", part}
    assert all(parameter.grad is None for parameter in objective.parameters())


def test_vocabulary_has_as_many_pieces_as_the_released_one(
    worker: ModuleType, tmp_path: Path
) -> None:
    from anytag.inference.wordpiece import WordPiece

    words = worker._write_vocabulary(tmp_path)
    pieces = (tmp_path / "vocab.txt").read_text().split()
    assert len(pieces) == len(set(pieces)) == worker.NUM_PIECES
    caption = " ".join(["a picture of", *words[: worker.CAPTION_LENGTH - 5]])
    # the start mark, and the end mark that the tokeniser adds
    ids = WordPiece.load(tmp_path / "vocab.txt").encode(caption)
    assert len(ids) in (worker.CAPTION_LENGTH, worker.CAPTION_LENGTH - 1)


def test_worker_answers_every_line_with_a_step(worker: ModuleType) -> None:
    asked = []

    def step(dtype: str) -> dict[str, float]:
        asked.append(dtype)
        return {"total": float(len(asked))}

    answers = io.StringIO()
    worker.serve(step, {"threads": 1}, io.StringIO("float32\nbfloat16\n"), answers)
    about, *steps = (json.loads(line) for line in answers.getvalue().splitlines())
    assert about == {"threads": 1}
    assert asked == ["float32", "bfloat16"]
    assert [one["losses"]["total"] for one in steps] == [1.0, 2.0]
    assert all(one["seconds"] > 0 and one["peak_memory_mb"] > 10 for one in steps)


def test_steps_alternate_and_ratios_are_of_one_round(train_step: ModuleType) -> None:
    ways = [("anytag", "float32"), ("reference", "float32"), ("anytag", "bfloat16")]
    order = []

    def take(way: tuple[str, str]) -> dict[str, Any]:
        order.append(way)
        seconds = {ways[0]: 2.0, ways[1]: 3.0, ways[2]: 1.0}[way]
        late = 2.0 if len(order) > 6 else 1.0  # the machine is slow in the second round
        return {
            "seconds": seconds * late,
            "cpu_seconds": seconds,
            "peak_memory_mb": 300.0,
            "losses": {"total": 1.0},
        }

    runs = train_step.alternate(ways, 2, take)
    assert order == [*ways, *ways, *reversed(ways)]
    first, reference, half = train_step.summarise(runs)
    assert first["seconds"]["runs"] == [2.0, 4.0]
    assert first["steps_per_second"]["runs"] == [0.5, 0.25]
    assert first["times_reference"]["runs"] == [1.5, 1.5]
    assert half["times_reference_cpu"]["runs"] == [3.0, 3.0]
    assert reference["times_reference"] is None


def test_anytag_alone(
    train_step: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And its section of RESULTS.md."""
    out = tmp_path / "new" / "step.json"
    arguments = ["--small", "--image-size", "32", "--rounds", "2", "--threads", "1"]
    train_step.main([*arguments, "--json", str(out)])
    figures = json.loads(out.read_text())
    assert figures["kind"] == "train_step"
    (case,) = figures["cases"]
    assert [(row["side"], row["dtype"]) for row in case["rows"]] == [
        ("anytag", "float32"),
        ("anytag", "bfloat16"),
    ]
    assert [row["times_reference"] for row in case["rows"]] == [None, None]
    assert case["sides"]["anytag"]["threads"] == 1
    assert case["sides"]["anytag"]["trained_parameters"] > 100_000
    assert "anytag    float32" in capsys.readouterr().out
    parts = importlib.import_module("report_parts")
    page = "\n".join(parts.SECTIONS["train_step"][1](figures))
    assert page.count("| RAM, swin_base at 32, batch 2, 20 tags: anytag, ") == 2
    assert f"| {case['rows'][0]['peak_memory_mb']:,.0f} |" in page
    assert figures["date"] in page


#: what the public code offers to a training script, on a network of two weights
PUBLIC = """
import torch
print("/encoder/layer/0 is tied")

class Network(torch.nn.Module):
    num_class = 20
    def __init__(self):
        super().__init__()
        self.label_embed = torch.nn.Parameter(torch.zeros(20, 512))
        self.scale = torch.nn.Parameter(torch.ones(2))
    def forward(self, image, caption, image_tag, parse_tag, clip_feature):
        assert image.shape == (2, 3, 64, 64) and image.min() < 0 < image.max()
        assert [len(text.split()) for text in caption] == [18, 18]
        assert image_tag.sum() == parse_tag.sum() == 30 and clip_feature.shape == (2, 512)
        assert self.label_embed.norm(dim=1).sub(1).abs().max() < 1e-5
        return self.scale[0], 3 * self.scale[1], 0.5 * self.scale.sum()

def ram(image_size, vit, text_encoder_type):
    assert (image_size, vit) == (64, "swin_b")
    with open(text_encoder_type + "/vocab.txt") as file:
        assert len(file.readlines()) == 30522
    return Network()
"""


def write_public(folder: Path) -> Path:
    (folder / "ram/models").mkdir(parents=True)
    (folder / "ram/__init__.py").write_text("from clip import clip\n")
    (folder / "ram/models/__init__.py").write_text(PUBLIC)
    return folder


def test_beside_the_public_code(train_step: ModuleType, worker: ModuleType, tmp_path: Path) -> None:
    options = Namespace(
        reference=write_public(tmp_path),
        reference_python=sys.executable,
        rounds=2,
        float32_alone=True,
    )
    found = train_step.measure(small_case(worker, "ram"), options)
    ours, public = found["rows"]
    assert (public["side"], public["dtype"]) == ("reference", "float32")
    # the tagging loss is scaled to the captioning loss, and two steps were taken before the last
    assert public["losses"]["total"] == pytest.approx(3.0, abs=0.01)
    assert public["losses"]["tagging"] == pytest.approx(3.0, abs=0.01)
    assert found["sides"]["reference"]["trained_parameters"] == 2
    expected = [
        b / a for a, b in zip(ours["seconds"]["runs"], public["seconds"]["runs"], strict=True)
    ]
    assert ours["times_reference"]["runs"] == expected
    assert "x the steps/s of the reference" in train_step.describe(found)


def test_a_side_that_cannot_start_ends_the_run(
    train_step: ModuleType, worker: ModuleType, tmp_path: Path
) -> None:
    case = small_case(worker, "ram")
    with (
        pytest.raises(SystemExit, match="ended without an answer"),
        train_step.open_side(case, sys.executable, "--reference", str(tmp_path)),
    ):
        pass
