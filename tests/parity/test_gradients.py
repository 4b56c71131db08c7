"""Losses and gradients of the golden models, in evaluation mode.

The losses are written out here from the papers and do not use the library's own.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from anytag.checkpoints.key_map import TABLES, TIED, translate
from anytag.models.released import read_tags

pytestmark = pytest.mark.parity

STAGE, WHOLE = 1e-5, 1e-4


def asymmetric_loss(logits: Tensor, targets: Tensor, gamma_negative: float) -> Tensor:
    """ASL (arXiv 2009.14119), positives not focused, margin 0.05; the focus has no gradient."""
    present = logits.sigmoid()
    absent = (1 - present + 0.05).clamp(max=1)
    likelihood = targets * present.clamp(min=1e-8).log()
    likelihood = likelihood + (1 - targets) * absent.clamp(min=1e-8).log()
    focus = torch.where(targets > 0, 1.0, (1 - absent.detach()) ** gamma_negative)
    return -(likelihood * focus).sum()


def losses(golden: Any, network: Any, labels: Tensor | None) -> dict[str, Tensor]:
    """Each loss and the total, as the family trains."""
    inputs, found = golden.inputs, {}
    tokens = network.encoder(inputs["image"])
    if golden.family == "ram_plus":
        logits = network.tag(tokens, network.prepare(labels))
        queries = network.queries(inputs["batch_text_embed"])
        alignment = network.decoder(network.decoder.prepare(queries), tokens)
        found["alignment"] = asymmetric_loss(alignment, torch.eye(2), 4)
    else:
        state = network.prepare() if labels is None else network.prepare(labels)
        logits = network.decoder(state, tokens)
        memory = read_tags(network, tokens, inputs["tag_ids"], inputs["tag_mask"])
        text = network.captioner.decoder(inputs["caption_ids"], memory, inputs["caption_mask"])
        found["t2t"] = F.cross_entropy(
            text[:, :-1].flatten(0, 1),
            inputs["caption_targets"][:, 1:].flatten(),
            label_smoothing=0.1,
        )
    present = inputs["parse_tag" if golden.family == "tag2text" else "image_tag"].float()
    found["tag"] = asymmetric_loss(logits, present, 7)
    if labels is not None:
        found["dis"] = (tokens[:, 0] - inputs["clip_image_feature"]).abs().mean()
    total = sum(found.values(), torch.zeros(()))
    if "t2t" in found:
        scale = (found["tag"] / found["t2t"]).detach()
        total = total - found["tag"] + found["tag"] / scale
    return {**found, "total": total}


@pytest.fixture(scope="module", params=["ram", "ram_plus", "tag2text"])
def trained(request: pytest.FixtureRequest, goldens: dict[str, Any]) -> Any:
    """A golden family, its losses, and gradients under released names."""
    golden = goldens[request.param]
    network = copy.deepcopy(golden.network)
    labels = golden.converted.label_embeddings
    labels = None if labels is None else labels.clone().requires_grad_(True)
    found = losses(golden, network, labels)
    found["total"].backward()
    table = TABLES[golden.family]
    gradients = {
        translate(name, table, back=True): parameter.grad
        for name, parameter in network.named_parameters()
    }
    if labels is not None:
        gradients["label_embed"] = labels.grad
    for second, kept, _ in TIED:
        gradients[second] = gradients.get(kept)
    return golden, found, gradients


def test_losses(trained: Any) -> None:
    golden, found, _ = trained
    for name, loss in found.items():
        torch.testing.assert_close(
            loss.detach(), golden.outputs[f"loss_{name}"], rtol=STAGE, atol=0
        )


def gradient_of(name: str, gradients: dict[str, Tensor]) -> Tensor:
    """Tag encoder layers that borrow from the tagging head share its gradient."""
    if name not in gradients:
        name = name.replace("tag_encoder.", "tagging_head.")
    return gradients[name]


def test_gradients(trained: Any) -> None:
    golden, _, gradients = trained
    names = [key for key in golden.outputs if key.startswith("grad.")]
    assert names
    for name in names:
        actual = gradient_of(name.removeprefix("grad."), gradients)
        expected = golden.outputs[name]
        error = (actual.reshape(expected.shape) - expected).abs().max() / expected.abs().max()
        assert error < WHOLE, name


def test_norm_of_every_gradient(trained: Any) -> None:
    golden, _, gradients = trained
    expected = golden.expected["grad_norms"]
    assert len(expected) > 100
    for name, norm in expected.items():
        actual = float(gradient_of(name, gradients).norm())
        assert actual == pytest.approx(norm, rel=WHOLE, abs=1e-6), name
