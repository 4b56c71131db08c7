"""Training's losses, gradients and schedules against those of the public code.

The golden networks are in evaluation mode. Whole paths go through `Objective`, with the golden
image, teacher feature and text feature put in where the public code read them.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from anytag.checkpoints.key_map import TABLES, TIED, translate
from anytag.data.transforms import CLIP
from anytag.training.batch import Batch, Texts
from anytag.training.config import LossConfig, OptimConfig
from anytag.training.losses import asymmetric_loss
from anytag.training.objective import Objective
from anytag.training.optim import learning_rate

pytestmark = pytest.mark.parity

GOLDEN = Path(__file__).parents[1] / "golden"
STAGE, WHOLE = 1e-5, 1e-4
CASES = json.loads((GOLDEN / "asl/config.json").read_text())["cases"]
SCHEDULES = json.loads((GOLDEN / "schedules.json").read_text())


@pytest.mark.parametrize("name", CASES)
def test_asymmetric_loss(name: str) -> None:
    inputs, outputs = (
        load_file(GOLDEN / f"asl/{part}.safetensors") for part in ("inputs", "outputs")
    )
    logits = inputs[f"{name}.logits"].requires_grad_(True)
    loss = asymmetric_loss(logits, inputs[f"{name}.targets"], **CASES[name])
    assert loss.shape == logits.shape[:1]
    loss.sum().backward()
    torch.testing.assert_close(
        loss.sum().detach(), outputs[f"{name}.detached.loss"], rtol=STAGE, atol=0
    )
    torch.testing.assert_close(logits.grad, outputs[f"{name}.detached.grad"], rtol=STAGE, atol=1e-7)


@dataclass(frozen=True)
class GoldenTeacher:
    feature: Tensor

    @property
    def width(self) -> int:
        return self.feature.shape[1]

    def __call__(self, images: Tensor) -> Tensor:
        return self.feature


@dataclass(frozen=True)
class GoldenTexts:
    rows: Tensor

    @property
    def dim(self) -> int:
        return self.rows.shape[1]

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return self.rows[: len(texts)].numpy()


def make_batch(golden: Any) -> Batch:
    inputs, captioned = golden.inputs, golden.family != "ram_plus"
    texts = None
    if captioned:
        texts = Texts(
            caption_ids=inputs["caption_ids"],
            caption_mask=inputs["caption_mask"].bool(),
            tag_ids=inputs["tag_ids"],
            tag_mask=inputs["tag_mask"].bool(),
        )
    key = "parse_tag" if golden.family == "tag2text" else "image_tag"
    return Batch(
        images=torch.zeros(len(inputs["image"]), 3, 128, 128, dtype=torch.uint8),
        targets=inputs[key].float(),
        weights=None,
        texts=texts,
        captions=("a dog", "two cats"),
        positions=torch.arange(len(inputs["image"])),
    )


def make_objective(golden: Any) -> Objective:
    inputs, family = golden.inputs, golden.family
    distilled, plus = family != "tag2text", family == "ram_plus"
    config = LossConfig(
        captioning=not plus,
        distillation=distilled,
        alignment=plus,
        teacher="given" if distilled else None,
        # The public code sums over its batch, of two images here; with captions it does not matter.
        tagging_weight=float(len(inputs["image"])),
    )
    objective = Objective(
        copy.deepcopy(golden.network),
        golden.converted.label_embeddings,
        config,
        normalization=CLIP,
        teacher=GoldenTeacher(inputs["clip_image_feature"]) if distilled else None,
        text_encoder=GoldenTexts(inputs["batch_text_embed"]) if plus else None,
    )
    objective.normalize = lambda images: inputs["image"]  # type: ignore[method-assign]
    return objective.eval()


@pytest.fixture(scope="module", params=["ram", "ram_plus", "tag2text"])
def trained(request: pytest.FixtureRequest, goldens: dict[str, Any]) -> Any:
    """A golden family, its losses, and gradients under released names."""
    golden = goldens[request.param]
    objective = make_objective(golden)
    found = objective(make_batch(golden))
    found["total"].backward()
    table = TABLES[golden.family]
    gradients = {
        translate(name, table, back=True): parameter.grad
        for name, parameter in objective.network.named_parameters()
    }
    for second, kept, _ in TIED:
        gradients[second] = gradients.get(kept)
    return golden, {name: value.detach() for name, value in found.items()}, gradients


def test_losses(trained: Any) -> None:
    golden, found, _ = trained
    outputs, images = golden.outputs, len(golden.inputs["image"])
    expected = {
        "total": outputs["loss_total"],
        "tagging": outputs["loss_tag"] / images,
        "captioning": outputs.get("loss_t2t"),
        "distillation": outputs.get("loss_dis"),
        "alignment": outputs.get("loss_alignment", torch.nan) / images,
    }
    assert len(found) == {"ram": 4, "ram_plus": 4, "tag2text": 3}[golden.family]
    for name, loss in found.items():
        torch.testing.assert_close(loss, expected[name], rtol=STAGE, atol=0)


def gradient_of(name: str, gradients: dict[str, Tensor]) -> Tensor:
    """Tag encoder layers that borrow from the tagging head share its gradient."""
    if name not in gradients:
        name = name.replace("tag_encoder.", "tagging_head.")
    return gradients[name]


def is_frozen_row(name: str, family: str) -> bool:
    """The golden run let the text embeddings learn; they are frozen in training."""
    return name == "label_embed" and family != "tag2text"


def test_gradients(trained: Any) -> None:
    golden, _, gradients = trained
    names = [key for key in golden.outputs if key.startswith("grad.")]
    assert len(names) > 10
    for name in names:
        actual = gradient_of(name.removeprefix("grad."), gradients)
        expected = golden.outputs[name]
        error = (actual.reshape(expected.shape) - expected).abs().max() / expected.abs().max()
        assert error < WHOLE, name


def test_norm_of_every_gradient(trained: Any) -> None:
    golden, _, gradients = trained
    expected = golden.expected["grad_norms"]
    checked = 0
    for name, norm in expected.items():
        if is_frozen_row(name, golden.family):
            continue
        actual = float(gradient_of(name, gradients).norm())
        assert actual == pytest.approx(norm, rel=1e-3, abs=1e-5 * max(expected.values())), name
        checked += 1
    assert checked >= len(expected) - 1 > 100


@pytest.mark.parametrize("case", SCHEDULES["cosine"])
def test_cosine_at_the_start_of_epochs(case: dict[str, float]) -> None:
    config = OptimConfig(lr=case["init_lr"], min_lr=case["min_lr"], schedule="cosine")
    epochs, steps = int(case["max_epoch"]), 7
    rate = learning_rate(
        int(case["epoch"]) * steps, config, steps_per_epoch=steps, num_steps=epochs * steps
    )
    assert rate == pytest.approx(case["lr"], rel=1e-12, abs=1e-18)


@pytest.mark.parametrize("case", SCHEDULES["step"])
@pytest.mark.parametrize("into_epoch", [0, 6])
def test_steps_down(case: dict[str, float], into_epoch: int) -> None:
    config = OptimConfig(
        lr=case["init_lr"], min_lr=case["min_lr"], decay=case["decay"], schedule="step"
    )
    step = int(case["epoch"]) * 7 + into_epoch
    assert learning_rate(step, config, steps_per_epoch=7, num_steps=500) == case["lr"]


@pytest.mark.parametrize("case", SCHEDULES["warmup"])
def test_warm_up(case: dict[str, float]) -> None:
    config = OptimConfig(
        lr=case["init_lr"],
        warmup_lr=case["warmup_lr"],
        warmup_steps=int(case["max_step"]),
        schedule="step",
    )
    rate = learning_rate(int(case["step"]), config, steps_per_epoch=100_000, num_steps=10**6)
    assert rate == pytest.approx(case["lr"], rel=1e-12)
