"""Write docs/parity.md: how far anytag is from the public code, number by number.

    PYTHONPATH=src python tools/parity_table.py > docs/parity.md

Golden numbers are in tests/golden; the same comparisons are tests (``pytest -m parity``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from anytag.checkpoints.convert import ConvertedCheckpoint, build_network, convert_checkpoint
from anytag.checkpoints.key_map import TABLES, TIED, translate
from anytag.checkpoints.sizes import ConvertOptions
from anytag.data.images import load_image
from anytag.data.transforms import CLIP, IMAGENET, normalize
from anytag.inference.captioning import CaptionWriter
from anytag.inference.wordpiece import WordPiece
from anytag.models.released import read_tags
from anytag.models.swin import Swin, SwinConfig
from anytag.models.windows import interpolate_relative_position_table
from anytag.training.batch import Batch, Texts
from anytag.training.config import LossConfig
from anytag.training.losses import asymmetric_loss
from anytag.training.objective import Objective

GOLDEN = Path(__file__).resolve().parents[1] / "tests/golden"
FAMILIES = ("ram", "ram_plus", "tag2text")
DEFECT = "batch2_transformers4_30_beam3"

HEAD = """# Parity with the public code

Made by `tools/parity_table.py` from the golden numbers in `tests/golden` (tiny random models of
each family, run through the public code; see its README). float32 on the CPU. "relative" is the
largest difference over the largest value of the tensor. `pytest -m parity` holds these to 1e-5 for
single stages and losses, and to 1e-4 end to end and for gradients.

Through `anytag convert` and `Tagger`, the tags of all three families in both languages, the
captions with found and with given tags, and RAM's and RAM++'s open-vocabulary scores are the public
code's too (`tests/inference/test_released_tagger.py`, `test_image_captions.py`, also under
`-m parity`). Done right instead of matched: captions of a batch, where the public code writes all
of them from the first image; and transparency, which it drops.
"""


def row(name: str, actual: Tensor, expected: Tensor) -> str:
    assert actual.shape == expected.shape, name
    error = float((actual - expected).abs().max())
    shape = " x ".join(map(str, expected.shape)) or "scalar"
    return f"| {name} | {shape} | {error:.1e} | {error / float(expected.abs().max()):.1e} |"


def table(title: str, rows: Iterator[str]) -> str:
    head = f"\n## {title}\n\n| tensor | shape | max abs | max relative |\n|---|---|---|---|\n"
    return head + "\n".join(rows)


def load_golden(family: str) -> tuple[dict[str, Any], ConvertedCheckpoint, Any]:
    settings = json.loads((GOLDEN / family / "config.json").read_text())
    weights = {
        **load_file(GOLDEN / "visual_encoder.safetensors"),
        **load_file(GOLDEN / family / "weights.safetensors"),
    }
    options = ConvertOptions(
        num_tags=settings["num_tags"],
        num_heads=settings["q2l_config"]["num_attention_heads"],
        num_caption_heads=settings.get("med_config", {}).get("num_attention_heads", 12),
    )
    converted = convert_checkpoint(weights, options)
    return settings, converted, build_network(converted)


def watch(parts: dict[str, torch.nn.Module], run: Callable[[], Any]) -> dict[str, Tensor]:
    """Outputs of modules while ``run`` runs."""
    found: dict[str, Tensor] = {}
    handles = [
        part.register_forward_hook(lambda m, i, out, name=name: found.update({name: out}))
        for name, part in parts.items()
    ]
    run()
    for handle in handles:
        handle.remove()
    return found


def network_rows(family: str) -> Iterator[str]:
    _, converted, network = load_golden(family)
    inputs = load_file(GOLDEN / family / "inputs.safetensors")
    outputs = load_file(GOLDEN / family / "outputs.safetensors")
    swin, labels = network.encoder.backbone, converted.label_embeddings
    parts = {
        "swin.patch_embed": swin.patch_embed,
        "swin.stage0.block0": swin.layers[0].blocks[0],
        "swin.stage0.block1": swin.layers[0].blocks[1],
        **{f"swin.stage{i}": layer for i, layer in enumerate(swin.layers)},
        **{f"head.layer{i}": layer for i, layer in enumerate(network.decoder.layers)},
        "tokens": network.encoder,
    }
    if family == "ram_plus":
        parts["reweight.label_embed"] = network.reweighting
    state = network.prepare() if labels is None else network.prepare(labels)
    logits = torch.empty(0)

    def run() -> None:
        nonlocal logits
        logits = network(inputs["image"], state)

    found = watch(parts, run)
    tokens = found.pop("tokens")
    found["image_embeds" if "image_embeds" in outputs else "swin.tokens"] = tokens
    if family == "ram_plus":
        found["reweight.weights"] = network.reweighting.weights(tokens[:, 0], state.groups[0])
        queries = network.queries(inputs["batch_text_embed"])
        found["alignment_logits"] = network.decoder(network.decoder.prepare(queries), tokens)
    if "openset_label_embed" in inputs:
        open_set = inputs["openset_label_embed"]
        if family == "ram_plus":
            open_set = open_set.reshape(7, 5, -1)
        found["openset_logits"] = network(inputs["image"], network.prepare(open_set))
    found |= {"tag_logits": logits, "tag_probs": logits.sigmoid()}
    if network.captioner is not None:
        memory = read_tags(network, tokens, inputs["tag_ids"], inputs["tag_mask"])
        found["tag_encoder.last_hidden"] = memory
        found["decoder.logits"] = network.captioner.decoder(
            inputs["caption_ids"], memory, inputs["caption_mask"]
        )
    for name, value in found.items():
        yield row(name, value, outputs[name])


def other_rows() -> Iterator[str]:
    folder = GOLDEN / "swin_extra"
    weights = load_file(folder / "weights.safetensors")
    inputs, outputs = (load_file(folder / f"{x}.safetensors") for x in ("inputs", "outputs"))
    for name, sizes in json.loads((folder / "config.json").read_text()).items():
        if not isinstance(sizes, dict):
            continue
        config = SwinConfig(
            image_size=sizes["img_size"],
            embed_dim=sizes["embed_dim"],
            depths=tuple(sizes["depths"]),
            num_heads=tuple(sizes["num_heads"]),
            window_size=sizes["window_size"],
        )
        model = Swin(config).eval()
        own = {k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(name)}
        model.load_state_dict(own, strict=False)
        tokens = model(inputs[f"{name}.image"])
        tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], 1)
        yield row(f"Swin {name}: tokens", tokens, outputs[f"{name}.tokens"])
    folder = GOLDEN / "relpos_interp"
    inputs, outputs = (load_file(folder / f"{x}.safetensors") for x in ("inputs", "outputs"))
    for name, value in inputs.items():
        resized = interpolate_relative_position_table(value, int(name.rpartition("w")[2]))
        yield row(f"bias table {name}", resized, outputs[name])


def pixel_rows() -> Iterator[str]:
    folder = GOLDEN / "preprocess"
    inputs, outputs = (load_file(folder / f"{x}.safetensors") for x in ("inputs", "outputs"))
    for key, picture in inputs.items():
        name = key.partition(".")[0]
        if name != "img_rgba":
            pixels = load_image(picture.numpy(), size=48, exact=True).pixels[None]
            yield row(name, normalize(pixels, IMAGENET)[0], outputs[f"{name}.out"])
    yield "| img_rgba | not matched: alpha is laid on white, the public code drops it | | |"


def caption_rows() -> Iterator[str]:
    settings, _, network = load_golden("tag2text")
    inputs = load_file(GOLDEN / "tag2text/inputs.safetensors")
    outputs = load_file(GOLDEN / "tag2text/outputs.safetensors")
    writer = CaptionWriter(network, WordPiece.load(GOLDEN / "tag2text/vocab.txt"))
    tokens = network.encoder(inputs["image"])
    for name, case in settings["expected"]["captions_out"].items():
        if name == DEFECT:
            yield f"| {name} | not matched: a defect of the public code | | |"
            continue
        image = int(name.rpartition(".")[2])
        arguments = {key: value for key, value in case["args"].items() if key != "tag_input"}
        tags = writer.encode_tags([case["tags"].split(" | ")])
        memory = read_tags(network, tokens[image : image + 1], *tags)
        written = writer.generate(memory, replace(writer.defaults, **arguments))
        equal = torch.equal(written.ids[0], outputs[f"cap.{name}.ids"])
        score = outputs.get(f"cap.{name}.score")
        error = "" if score is None else f"{float((written.scores - score).abs().max()):.1e}"
        yield f"| {name} | {'equal' if equal else 'DIFFERENT'} | {error} | {case['caption']} |"


@dataclass(frozen=True)
class Given:
    """Features that the public code read, in the place of a teacher and of a text encoder."""

    rows: Tensor

    @property
    def width(self) -> int:
        return self.rows.shape[1]

    dim = width

    def __call__(self, images: Tensor) -> Tensor:
        return self.rows

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return self.rows[: len(texts)].numpy()


def loss_rows() -> Iterator[str]:
    folder = GOLDEN / "asl"
    inputs, outputs = (load_file(folder / f"{x}.safetensors") for x in ("inputs", "outputs"))
    for name, settings in json.loads((folder / "config.json").read_text())["cases"].items():
        logits = inputs[f"{name}.logits"].requires_grad_(True)
        with torch.enable_grad():
            loss = asymmetric_loss(logits, inputs[f"{name}.targets"], **settings).sum()
            (gradient,) = torch.autograd.grad(loss, logits)
        yield row(f"asymmetric loss, {name}", loss, outputs[f"{name}.detached.loss"])
        yield row(f"its gradient, {name}", gradient, outputs[f"{name}.detached.grad"])


def training_rows(family: str) -> Iterator[str]:
    _, converted, network = load_golden(family)
    inputs = load_file(GOLDEN / family / "inputs.safetensors")
    outputs = load_file(GOLDEN / family / "outputs.safetensors")
    plus, count = family == "ram_plus", len(inputs["image"])
    teacher = Given(inputs["clip_image_feature"]) if family != "tag2text" else None
    objective = Objective(
        network,
        converted.label_embeddings,
        LossConfig(
            captioning=not plus,
            alignment=plus,
            distillation=teacher is not None,
            teacher="given" if teacher else None,
            tagging_weight=count,  # the public code sums over the batch
        ),
        normalization=CLIP,
        teacher=teacher,
        text_encoder=Given(inputs["batch_text_embed"]) if plus else None,
    ).eval()
    objective.normalize = lambda images: inputs["image"]  # type: ignore[method-assign]
    texts = None
    if not plus:
        names = ("caption_ids", "caption_mask", "tag_ids", "tag_mask")
        texts = Texts(**{name: inputs[name] for name in names})
    batch = Batch(
        images=torch.zeros(count, 3, 128, 128, dtype=torch.uint8),
        targets=inputs["parse_tag" if family == "tag2text" else "image_tag"].float(),
        weights=None,
        texts=texts,
        captions=("one", "two"),
        positions=torch.arange(count),
    )
    with torch.enable_grad():
        found = objective(batch)
        found["total"].backward()
    shares = {"total": "total", "captioning": "t2t", "distillation": "dis"}
    shares |= {"tagging": "tag", "alignment": "alignment"}
    for name, value in found.items():
        scale = count if name in ("tagging", "alignment") else 1
        yield row(f"loss_{shares[name]}", value * scale, outputs[f"loss_{shares[name]}"])
    gradients = {
        translate(name, TABLES[family], back=True): parameter.grad
        for name, parameter in network.named_parameters()
    }
    gradients |= {second: gradients.get(kept) for second, kept, _ in TIED}
    for key in sorted(key for key in outputs if key.startswith("grad.")):
        name = key.removeprefix("grad.")
        own = gradients.get(name)
        if own is None:  # layers that the tag encoder borrows
            own = gradients[name.replace("tag_encoder.", "tagging_head.")]
        yield row(key, own.reshape(outputs[key].shape), outputs[key])


@torch.no_grad()
def main() -> None:
    print(HEAD.rstrip())
    for family, title in zip(FAMILIES, ("RAM", "RAM++", "Tag2Text"), strict=True):
        print(table(title, network_rows(family)))
    print("\n## Captions (Tag2Text)\n")
    print("| case | tokens | score: max abs | caption |\n|---|---|---|---|")
    print("\n".join(caption_rows()))
    print(table("Asymmetric loss", loss_rows()))
    for family, title in zip(FAMILIES, ("RAM", "RAM++", "Tag2Text"), strict=True):
        print(table(f"{title}: losses and gradients of a training step", training_rows(family)))
    print(table("Other backbones and resized tables", other_rows()))
    print(table("Preprocessing", pixel_rows()))


if __name__ == "__main__":
    main()
