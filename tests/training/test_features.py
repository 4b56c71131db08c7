"""A backbone that is cut gives what it gives whole: scores, losses and gradients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from anytag.data.transforms import HALF
from anytag.errors import ConfigError
from anytag.models.config import CaptionerConfig, DecoderConfig, EncoderConfig, TaggerConfig
from anytag.models.mobilenet import MobileNetV2
from anytag.models.swin import Swin, SwinConfig
from anytag.models.tagging import TaggingNetwork
from anytag.training.batch import Batch, Texts
from anytag.training.blocks import set_trainable
from anytag.training.config import LossConfig
from anytag.training.features import Cut, cut_backbone
from anytag.training.objective import Objective

SIZE, NUM, TAGS = 64, 11, 5
SWIN = SwinConfig(
    image_size=SIZE, embed_dim=8, depths=(2, 2), num_heads=(1, 2), window_size=4, drop_path_rate=0.4
)
CAPTIONER = CaptionerConfig(
    hidden=8, num_layers=1, num_heads=2, ffn=16, vocab_size=11, max_positions=9, token_width=12,
    num_shared_layers=1,
)  # fmt: skip


def build(num_trainable_blocks: int | None, backbone: str = "mobilenet") -> TaggingNetwork:
    torch.manual_seed(0)
    config = TaggerConfig(
        encoder=EncoderConfig(backbone="mobilenet_v2", image_size=SIZE, token_width=12),
        decoder=DecoderConfig(hidden=8, num_layers=1, num_heads=2, ffn=16),
        text_width=6,
        captioner=CAPTIONER,
    )
    network = TaggingNetwork(config, Swin(SWIN) if backbone == "swin" else MobileNetV2())
    for name, parameter in network.named_parameters():  # so that every part has a say
        if "backbone" in name and parameter.ndim == 4:
            torch.nn.init.kaiming_normal_(parameter)
        elif parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    set_trainable(network, num_trainable_blocks)
    return network


def objective_of(network: TaggingNetwork) -> Objective:
    torch.manual_seed(1)
    config = LossConfig(captioning=True)
    return Objective(network, torch.randn(TAGS, 6), config, normalization=HALF).train()


def make_batch() -> Batch:
    torch.manual_seed(2)
    images = torch.nn.functional.interpolate(torch.rand(NUM, 3, 4, 4), SIZE, mode="bicubic")
    texts = Texts(
        caption_ids=torch.randint(1, 11, (NUM, 9)),
        caption_mask=torch.ones(NUM, 9, dtype=torch.bool),
        tag_ids=torch.randint(1, 11, (NUM, 4)),
        tag_mask=torch.ones(NUM, 4, dtype=torch.bool),
    )
    return Batch(
        images=(255 * images).clamp(0, 255).to(torch.uint8),
        targets=torch.randint(0, 2, (NUM, TAGS)).float(),
        weights=None,
        texts=texts,
        captions=("",) * NUM,
        positions=torch.arange(NUM),
    )


def kept(objective: Objective, batch: Batch, kind: type = np.float16) -> Batch:
    """The batch as it comes from a cache."""
    assert batch.images is not None
    cut = cut_backbone(objective.network.encoder.backbone)
    with torch.inference_mode():
        features = cut.lower(objective.normalize(batch.images)).numpy().astype(kind)
    return replace(batch, images=None, features=torch.from_numpy(features))


def gradients(objective: Objective, batch: Batch) -> dict[str, Tensor]:
    objective.zero_grad(set_to_none=True)
    torch.manual_seed(3)  # of dropout
    objective(batch)["total"].backward()
    return {n: p.grad for n, p in objective.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("num_trainable_blocks", [0, 1, 4, 17])
def test_scores_and_gradients_are_those_of_pictures(num_trainable_blocks: int) -> None:
    objective, batch = objective_of(build(num_trainable_blocks)), make_batch()
    plain = gradients(objective, batch)
    exact = gradients(objective, kept(objective, batch, np.float32))
    assert plain.keys() == exact.keys()
    assert any("backbone" in name for name in plain) == (num_trainable_blocks > 0)
    for name, gradient in plain.items():
        torch.testing.assert_close(exact[name], gradient, rtol=1e-3, atol=1e-5)
    # rounding to float16 moves some values over the bends of ReLU6
    cached = kept(objective, batch)
    found = gradients(objective, cached)
    one, other = (torch.cat([g.flatten() for g in all_.values()]) for all_ in (plain, found))
    assert torch.cosine_similarity(one, other, dim=0) > 0.98
    objective.eval()
    with torch.inference_mode():
        logits = objective.predict(batch)
        torch.testing.assert_close(objective.predict(cached), logits, rtol=0, atol=0.03)
    assert logits.std(dim=0).min() > 0.1  # so pictures that are mixed up would be noticed
    parts = [objective.predict(part) for part in cached.split(2)]
    torch.testing.assert_close(torch.cat(parts), logits, rtol=0, atol=0.03)


@pytest.mark.parametrize(
    ("num_trainable_blocks", "num_below", "shape"),
    [(0, None, (4, 1280)), (1, 16, (160, 2, 2)), (4, 13, (96, 4, 4)), (17, 0, (32, 32, 32))],
)
def test_where_a_mobilenet_is_cut(
    num_trainable_blocks: int, num_below: int | None, shape: tuple[int, ...]
) -> None:
    cut = cut_backbone(build(num_trainable_blocks).encoder.backbone)
    assert cut.num_blocks == num_below
    assert cut.shape(SIZE) == shape


def test_halves_make_the_whole() -> None:
    backbone, images = MobileNetV2().eval(), torch.randn(2, 3, SIZE, SIZE)
    whole = backbone(images)
    for num_blocks in (0, 5, 17):
        halves = backbone.upper(backbone.lower(images, num_blocks), num_blocks)
        assert torch.equal(halves, whole)


def test_any_backbone_can_be_kept_whole() -> None:
    objective, batch = objective_of(build(0, "swin")).eval(), make_batch()
    found, plain = (objective(one)["tagging"] for one in (kept(objective, batch), batch))
    torch.testing.assert_close(found, plain, rtol=0.01, atol=0)


def test_what_cannot_be_cut_is_said() -> None:
    with pytest.raises(ConfigError, match=r"Swin is frozen in part.*num_trainable_blocks to 0"):
        cut_backbone(build(1, "swin").encoder.backbone)
    with pytest.raises(ConfigError, match="trained from its beginning on"):
        cut_backbone(build(None).encoder.backbone)


def test_the_hash_is_of_the_frozen_weights_alone() -> None:
    def hash_with(changed: str, num_trainable_blocks: int = 4) -> str:
        backbone = build(num_trainable_blocks).encoder.backbone
        with torch.no_grad():
            backbone.get_parameter(changed)[0] += 1
        return Cut(backbone=backbone, num_blocks=13).hash()

    plain = cut_backbone(build(4).encoder.backbone).hash()
    assert hash_with("head.weight") == plain
    assert hash_with("blocks.13.project.weight") == plain
    assert hash_with("blocks.12.project.weight") != plain
    assert hash_with("stem.bias") != plain
