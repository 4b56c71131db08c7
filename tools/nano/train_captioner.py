"""A captioner on a finished nano: its tagging part stays as it is, bit by bit.

Learns from the captioned photos (five captions each) on cached features. Tags guide the captions
(Tag2Text, arXiv 2303.05657, section 3): in most steps those that the model itself finds, as it will
be later, else those that the caption names.

Run:  python tools/nano/train_captioner.py --model nano --features DIR --out nano-with-captions
          --minutes 20
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from train import top_of

from anytag.checkpoints.directory import LoadedModel, load_directory, save_directory
from anytag.inference.captioning import PROMPT
from anytag.inference.wordpiece import WordPiece
from anytag.labels.labelset import LabelSet
from anytag.labels.parse import CaptionParser
from anytag.models.config import nano_captioner
from anytag.models.released import read_tags
from anytag.models.tagging import TaggingNetwork
from anytag.training.losses import caption_loss
from anytag.training.optim import AveragedWeights, cosine_rate, warmup_rate
from anytag.training.texts import TextMaker, clean_caption
from anytag.training.wordpieces import learn_wordpieces

BATCH = 64
WIDTH, PIECES = 128, 2500
LR, WARMUP = 2e-3, 100
LABEL_SMOOTHING = 0.1
#: of the weights' moving average
AVERAGED = 0.998
#: how often the model's own tags guide, and not those of the caption
OWN_TAGS = 0.7
#: one photo in so many is kept out, as in train.py
EVERY, KEPT = 20, 7


@dataclass(frozen=True, eq=False)
class Captioned:
    """N captioned photos."""

    #: one for each view: [N, 1 + tokens, D] float16
    tokens: list[Tensor]
    captions: list[tuple[str, ...]]
    #: tags that the model finds, in id order
    found: list[list[str]]
    #: tags of each caption
    named: list[list[list[str]]]


def read_captioned(features: Path, model: LoadedModel) -> Captioned:
    """Photos with captions of all sources, those kept out of training left out."""
    parser = CaptionParser.closed(model.labels)
    limits = torch.tensor([label.threshold for label in model.labels])
    state = model.network.prepare(model.label_embeddings)
    tokens: list[list[Tensor]] = []
    captions, found, named = [], [], []
    for index in sorted(features.glob("*.json")):
        meta = json.loads(index.read_text())
        chosen = [
            (number, row["captions"])
            for number, row in enumerate(meta["rows"])
            if row.get("captions") and number % EVERY != KEPT
        ]
        if not chosen:
            continue
        middle = np.load(index.with_suffix(".middle.npy"), mmap_mode="r")
        tokens = tokens or [[] for _ in range(meta["views"])]
        for start in range(0, len(chosen), 16):
            part = chosen[start : start + 16]
            for view in range(meta["views"]):
                rows = np.stack([middle[n * meta["views"] + view] for n, _ in part])
                seen = top_of(model.network, torch.from_numpy(rows).float())
                tokens[view].append(seen.half())
                if view == 0:
                    given = model.network.decoder(state, seen).sigmoid() >= limits
                    found += [names_of(model.labels, row) for row in given]
        captions += [tuple(map(clean_caption, texts)) for _, texts in chosen]
        named += [[canonical(parser, model.labels, text) for text in texts] for _, texts in chosen]
        print(f"{index.stem}: {len(chosen)} captioned photos", flush=True)
    return Captioned([torch.cat(view) for view in tokens], captions, found, named)


def names_of(labels: LabelSet, given: Tensor) -> list[str]:
    """Names of the tags that are given, in id order."""
    return [labels[place].name for place in given.nonzero()[:, 0].tolist()]


def canonical(parser: CaptionParser, labels: LabelSet, caption: str) -> list[str]:
    """The tags of a caption in id order; what it denies is none."""
    found = {tag.id for tag in parser.parse(caption) if not tag.negated and tag.id is not None}
    return [labels[place].name for place in sorted(found)]


def train(network: TaggingNetwork, data: Captioned, maker: TextMaker, minutes: float) -> None:
    """Train the captioner alone, for so many minutes."""
    assert network.captioner is not None
    rng = np.random.default_rng(0)
    network.requires_grad_(False).eval()
    network.captioner.requires_grad_(True).train()
    optimizer = torch.optim.AdamW(network.captioner.parameters(), lr=LR, weight_decay=0.02)
    prompt = len(maker.wordpiece.encode(PROMPT)) - 1
    average = AveragedWeights(network.captioner, AVERAGED)
    start, step, mean = time.monotonic(), 0, 0.0
    while (done := (time.monotonic() - start) / (60 * minutes)) < 1:
        step += 1
        for group in optimizer.param_groups:
            rate = cosine_rate(round(1000 * done), 1000, LR, 0.0)
            group["lr"] = min(rate, warmup_rate(step, WARMUP, 0.0, LR))
        photos = rng.integers(0, len(data.captions), BATCH)
        view = data.tokens[int(rng.integers(len(data.tokens)))]
        texts, guides = [], []
        for photo in photos:
            which = int(rng.integers(len(data.captions[photo])))
            texts.append(data.captions[photo][which])
            own = rng.random() < OWN_TAGS
            guides.append(data.found[photo] if own else data.named[photo][which])
        batch = maker.make(texts, guides)
        memory = read_tags(network, view[photos].float(), batch.tag_ids, batch.tag_mask)
        logits = network.captioner.decoder(batch.caption_ids, memory, batch.caption_mask)
        total, count = caption_loss(
            logits,
            batch.caption_ids,
            batch.caption_mask,
            num_ignored=prompt,
            label_smoothing=LABEL_SMOOTHING,
        )
        loss = total / count
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.captioner.parameters(), 1.0)
        optimizer.step()
        average.update(network.captioner)
        mean += (loss.item() - mean) / min(step, 50)
        if step % 100 == 0:
            print(f"{done:6.1%} step {step} loss {mean:.3f}", flush=True)
    with average.applied(network.captioner):
        state = {name: value.clone() for name, value in network.captioner.state_dict().items()}
    network.captioner.load_state_dict(state)
    network.eval()


def main() -> None:
    """Parse arguments, train, write the directory with captioner."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("model", "features", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--start", type=Path, help="directory with a captioner to go on from")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    model = load_directory(arguments.model)
    with torch.inference_mode():
        data = read_captioned(arguments.features, model)
    data = replace(data, tokens=[view.clone() for view in data.tokens])
    pieces = arguments.out.with_suffix(".vocab.txt")
    if arguments.start:
        shutil.copy(arguments.start / "vocab.txt", pieces)
    else:
        texts = (text for texts in data.captions for text in texts)
        learn_wordpieces(texts, pieces, PIECES)
    wordpiece = WordPiece.load(pieces)
    sizes = replace(
        model.card.network,
        captioner=nano_captioner(wordpiece.size, WIDTH, model.card.network),
    )
    network = TaggingNetwork(sizes)
    fresh = {k: v for k, v in network.state_dict().items() if k.startswith("captioner.")}
    if arguments.start:
        known = load_directory(arguments.start).network.state_dict()
        fresh = {name: known[name] for name in fresh}
    network.load_state_dict({**model.network.state_dict(), **fresh})
    train(network, data, TextMaker(wordpiece), arguments.minutes)
    shutil.copytree(arguments.model, arguments.out, dirs_exist_ok=True)
    save_directory(
        arguments.out,
        replace(model.card, network=sizes),
        network,
        model.labels,
        model.label_embeddings,
        vocabulary=pieces,
    )
    pieces.unlink()
    print(arguments.out)


if __name__ == "__main__":
    main()
