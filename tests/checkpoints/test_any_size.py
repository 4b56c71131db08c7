"""Checkpoints of any size: converted, written, read, and compared with a plain computation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from tests.checkpoints import plain_released as plain
from tests.checkpoints.plain_released import Sizes
from torch import Tensor

from anytag.checkpoints.convert import check_complete, convert_checkpoint
from anytag.checkpoints.released_conversion import TagLists, convert_released
from anytag.checkpoints.released_directory import LoadedReleased, load_released
from anytag.checkpoints.sizes import ConvertOptions
from anytag.errors import ModelError
from anytag.models.released import read_tags

THREE = {"depths": (2, 1, 2), "swin_heads": (1, 2, 3)}
TWO: dict[str, Any] = {"depths": (2, 3), "swin_heads": (3, 4), "size": 32}
CASES = {
    "three decoder layers, four caption layers": Sizes(layers=3, captioner=4),
    "captioner shallower than the decoder": Sizes(layers=4, captioner=2),
    "7 descriptions": Sizes(family="ram_plus", layers=3),
    "1 description": Sizes(family="ram_plus", descriptions=1, tags=5, layers=1),
    "1 tag": Sizes(family="ram_plus", descriptions=51, tags=1),
    "narrow text": Sizes(family="ram_plus", descriptions=2, text=33),
    "tag2text": Sizes(family="tag2text", tags=11, ffn=17, captioner=1, window=4),
    "tag2text, 1 tag": Sizes(family="tag2text", tags=1, captioner=3, caption_heads=12),
    "1 head": Sizes(hidden=25, heads=1, caption_heads=5, captioner=1),
    "window of the last stages clamped": Sizes(window=8, **THREE),
    "window larger than the picture": Sizes(window=32, **THREE),
    "odd window, two stages clamped": Sizes(size=160, window=10, **THREE),
    "224": Sizes(size=224, window=7, embed=6),
    "384": Sizes(size=384, window=12, embed=6, depths=(2, 1, 1, 1), family="ram_plus"),
    "last stage of four windows": Sizes(size=128),
    "two stages": Sizes(window=4, **TWO),
    "one stage": Sizes(window=4, size=32, depths=(3,), swin_heads=(3,)),
    "no shifted block": Sizes(depths=(1, 1, 1, 1)),
    "first stage unshifted": Sizes(size=128, depths=(1, 2, 1, 2)),
    "patches of 2": Sizes(patch=2, window=4, **TWO),
    "patches of 8": Sizes(patch=8, size=128, **THREE),
    "mlp ratio 2.5": Sizes(ratio=2.5, **THREE),
    "mlp ratio 2.7": Sizes(ratio=2.7),
    "decoder as wide as the text": Sizes(hidden=512, heads=4, layers=1),
}


def convert(state: dict[str, Tensor], sizes: Sizes, folder: Path) -> LoadedReleased:
    torch.save({"model": state}, folder / "released.pth")
    (folder / "tags.txt").write_text("\n".join(f"tag {n}" for n in range(sizes.tags)))
    options = ConvertOptions(num_heads=sizes.heads, num_caption_heads=sizes.caption_heads)
    lists = TagLists(tags=folder / "tags.txt")
    convert_released(folder / "released.pth", lists, folder / "model", options=options)
    return load_released(folder / "model")


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_equal_to_a_plain_computation(name: str, tmp_path: Path) -> None:
    sizes = CASES[name]
    state = plain.make(sizes)
    loaded = convert(state, sizes, tmp_path)
    network = cast(Any, loaded.network)
    random = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, sizes.size, sizes.size, generator=random)
    tokens = plain.image_tokens(state, images, sizes)
    rows = loaded.label_embeddings
    labels = network.prepare() if rows is None else network.prepare(rows)
    expected = plain.tag_logits(state, tokens, sizes)
    torch.testing.assert_close(network(images, labels), expected, rtol=1e-4, atol=1e-5)
    if not sizes.captioner:
        return
    tags, text = (torch.randint(0, sizes.vocabulary, (2, n), generator=random) for n in (9, 7))
    mask = torch.tensor([[1] * 5 + [0] * 4, [1] * 9])
    logits = network.captioner.decoder(
        text, read_tags(network, network.encoder(images), tags, mask)
    )
    expected = plain.caption_logits(state, tokens, tags, mask, text, sizes)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


BLOCK = "visual_encoder.layers.1.blocks.1"
HEAD = "tagging_head.encoder.layer.0"


@pytest.mark.parametrize(
    ("family", "key"),
    [
        ("ram", "visual_encoder.patch_embed.proj.weight"),
        ("ram", f"{BLOCK}.attn.relative_position_bias_table"),
        ("ram", f"{BLOCK}.mlp.fc1.weight"),
        ("ram", f"{BLOCK.replace('layers.1', 'layers.0')}.attn_mask"),
        ("ram", "label_embed"),
        ("ram_plus", "label_embed"),
        ("ram_plus", f"{HEAD}.crossattention.self.key.weight"),
        ("ram_plus", f"{HEAD}.intermediate.dense.weight"),
        ("ram_plus", "wordvec_proj.bias"),
        ("tag2text", "label_embed.weight"),
        ("tag2text", "fc.b"),
        ("tag2text", "text_decoder.bert.embeddings.position_embeddings.weight"),
        ("tag2text", "text_decoder.bert.encoder.layer.0.intermediate.dense.weight"),
        ("tag2text", "text_decoder.cls.predictions.transform.LayerNorm.weight"),
    ],
)
def test_damaged_weights_are_refused_in_one_line(family: str, key: str) -> None:
    captioner = 0 if family == "ram_plus" else 1
    sizes = Sizes(family=family, window=4, text=16, captioner=captioner, **TWO)
    state = plain.make(sizes)
    options = ConvertOptions(
        num_heads=sizes.heads, num_caption_heads=sizes.caption_heads, num_tags=sizes.tags
    )
    check_complete(convert_checkpoint(state, options))
    value = state.pop(key)
    damages = [value.flatten()[0], value[..., :0], value[None, None]]
    changed = [{**state, key: damaged} for damaged in damages]
    if "attn_mask" not in key:  # can be done without, and its numbers are not used
        changed += [state, {**state, key: value.to(torch.int64)}]
    for damaged in changed:
        with pytest.raises(ModelError) as caught:
            check_complete(convert_checkpoint(damaged, options))
        assert "\n" not in str(caught.value)
