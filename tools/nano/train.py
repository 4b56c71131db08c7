"""Step 4 of making nano: cached features -> a RAM-type tagger.

Trains the upper part of MobileNetV2, the projection, the label queries, the tagging decoder and the
comparison of texts with the mean token. Each photo is asked some of the tags in each step: labels
do not interact, so any choice will do. There are two kinds of steps, mixed: in most the backbone is
frozen and classes are injected into its features (`inject`), in the others (--tuned) its upper part
is trained too.

Run:  python tools/nano/train.py --features DIR --labels DIR --photos DIR... --text DIR
          --detections DIR --weights F.safetensors --out nano.pt --minutes 60
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from detect import probabilities
from features import NUM_FROZEN, STRIDE, WINDOW, Teacher
from targets import HUMAN, Supervision, Vocabulary, read_vocabulary, supervise, teacher_targets
from torch import Tensor

from anytag.checkpoints.directory import load_directory
from anytag.evaluation.metrics import mean_average_precision
from anytag.inference.static_text import StaticTextEncoder
from anytag.labels.labelset import read_tag_list
from anytag.models.config import TaggerConfig, nano
from anytag.models.tagging import TaggingNetwork
from anytag.training.blocks import in_chunks
from anytag.training.config import OptimConfig
from anytag.training.losses import asymmetric_loss
from anytag.training.optim import (
    AveragedWeights,
    cosine_rate,
    make_optimizer,
    set_learning_rate,
    warmup_rate,
)

BATCH = 64
#: tags asked of each photo: what its teacher finds likely, what people say, tags with near texts
#: (the hard ones), and random ones, which stand for all others and weigh more for it
NUM_LIKELY, NUM_HUMAN, NUM_NEAR, NUM_DETECTED, NUM_RANDOM = 24, 8, 8, 12, 20
RANDOM_WEIGHT = 7.0
#: share of the photos into which a class is injected while the backbone is frozen
INJECTED = 0.4
#: weight of the distillation of the teacher's order among likely classes
DISTILL = 1.0
#: learning rate of all but the backbone
RATE = 7e-4
OPTIM = OptimConfig(backbone_lr_scale=0.3, weight_decay=0.02, betas=(0.9, 0.98), clip_norm=2.0)
WARMUP = 100
#: of the weights' moving average, which is the result
AVERAGED = 0.998
#: a detection from here on makes the more general tags present too
SURE = 0.5
#: focusing of absent and present tags alike; answers are probabilities, so none is forgotten
FOCUS = {"gamma_neg": 1.0, "gamma_pos": 1.0, "clip": 0.0}
#: one training photo in so many begins the comparison of texts with the mean token
FIT_EVERY = 10


@dataclass(frozen=True)
class Source:
    """Cached photos of one tar."""

    name: str
    middle: npt.NDArray[np.float16]
    teacher: npt.NDArray[np.float16]
    #: the detector's probabilities [N, 80]; NaN for photos that it did not see
    detected: npt.NDArray[np.float32]
    views: int
    supervision: Supervision
    #: photo numbers for training; one in twenty is kept for validation
    train: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.int64]


def load_sources(
    features: Path,
    photos: list[Path],
    words: Vocabulary,
    detections: Path,
) -> list[Source]:
    """Every cached source, memory-mapped."""
    sources = []
    for index in sorted(features.glob("*.json")):
        meta = json.loads(index.read_text())
        rows: list[dict[str, Any]] = meta["rows"]
        name = rows[0].get("source", index.stem)  # a held-out tar shares its source's categories
        lists = [p / f"{name}.categories.txt" for p in photos]
        found = next((p for p in lists if p.exists()), None)
        categories = [c.strip() for c in found.read_text().splitlines()] if found else []
        numbers = np.arange(len(rows))
        held = numbers % 20 == 7
        sources.append(
            Source(
                name=index.stem,
                middle=np.load(index.with_suffix(".middle.npy"), mmap_mode="r"),
                teacher=np.load(index.with_suffix(".teacher.npy"), mmap_mode="r"),
                detected=read_detections(detections, index.stem, [row["key"] for row in rows]),
                views=meta["views"],
                supervision=supervise(name, rows, categories, words),
                train=numbers[~held],
                held_out=numbers[held],
            )
        )
        print(f"{index.stem}: {len(rows)} photos")
    return sources


def read_detections(folder: Path, name: str, keys: list[str]) -> npt.NDArray[np.float32]:
    """Probabilities [N, 80] of a source's photos; NaN where a photo was not looked at."""
    scores = np.load(folder / f"{name}.npy").astype(np.float32)
    known = json.loads((folder / f"{name}.keys.json").read_text())
    place = {key: row for row, key in enumerate(known)}
    chosen = np.array([place.get(key, -1) for key in keys])
    likely = probabilities(scores, json.loads((folder / "calibration.json").read_text()))
    found: npt.NDArray[np.float32] = np.where(chosen[:, None] >= 0, likely[chosen], np.nan).astype(
        np.float32
    )
    return found


@dataclass
class Batch:
    """Middle features [B, 96, G, G]; target and weight [B, T]."""

    middle: Tensor
    target: Tensor
    weight: Tensor
    #: the teacher's probability of each class for the whole photo, at the class's own tag [B, T]
    likely: Tensor


def gather(picked: list[tuple[Source, int, int]], words: Vocabulary) -> Batch:
    """Assemble (source, photo, view) triples."""
    middle = np.stack([s.middle[photo * s.views + view] for s, photo, view in picked])
    probabilities = np.stack([s.teacher[photo * s.views + view] for s, photo, view in picked])
    target = teacher_targets(probabilities.astype(np.float32), words.class_tags)
    weight = np.broadcast_to(words.class_tags.any(0), target.shape).astype(np.float32)
    for row, (source, photo, _) in enumerate(picked):
        said = source.supervision
        weight[row] = np.maximum(weight[row], said.absent)
        add_detections(target[row], weight[row], source.detected[photo], words)
        target[row][said.absent >= 1.0] = 0.0
        weight[row, said.unsure[photo]] = 0.0
        positives = said.positives[photo]
        target[row, positives] = 1.0
        weight[row, positives] = HUMAN
    likely = probabilities[:, 0].astype(np.float32) @ words.own_tags
    return Batch(*(torch.from_numpy(part) for part in (middle, target, weight, likely)))


def add_detections(
    target: npt.NDArray[np.float32],
    weight: npt.NDArray[np.float32],
    detected: npt.NDArray[np.float32],
    words: Vocabulary,
) -> None:
    """Put the detector's probabilities [80] into one photo's target and weight [T], in place."""
    if np.isnan(detected[0]):
        return
    own = words.detected_tags
    known = own >= 0
    target[own[known]] = np.maximum(target[own[known]], detected[known])
    weight[own[known]] = 1.0
    for category in np.flatnonzero(detected > SURE):
        above = words.detected_above[category]
        target[above] = np.maximum(target[above], detected[category])
        weight[above] = np.maximum(weight[above], detected[category])


def batches(
    sources: list[Source], words: Vocabulary, rng: np.random.Generator, boost: dict[str, float]
) -> Iterator[Batch]:
    """Endless shuffled batches over all sources; ``boost`` repeats or thins a source."""
    while True:
        order: list[tuple[Source, int, int]] = []
        for source in sources:
            share = boost.get(source.name, 1.0)
            copies = rng.permutation(np.repeat(source.train, math.ceil(share)))
            copies = copies[: int(len(source.train) * share)]
            order += [(source, int(p), int(rng.integers(source.views))) for p in copies]
        shuffled = [order[i] for i in rng.permutation(len(order))]
        for start in range(0, len(shuffled) - BATCH + 1, BATCH):
            yield gather(shuffled[start : start + BATCH], words)


def inject(
    features: Tensor, classifier: torch.nn.Linear, count: int, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Make the first photos show a random class, in feature space.

    Few classes have many photos, but the classifier knows a direction for each: some of a photo's
    cells are moved along it, as far as the class becomes likely. What the classifier then says is
    the target, so every class is asked for equally often.

    Args:
        features: backbone tokens [B, N, C] of a square grid, changed in place
        classifier: the teacher's, 1,001 classes
        count: photos to change
        rng: chooses classes, places and strengths

    Returns:
        predictions [count, 10, 1000] as those of `features.Teacher.upper`
    """
    side = int(features.shape[1] ** 0.5)
    weights = classifier.weight.detach()
    part = features[:count].float()
    classes = torch.from_numpy(rng.integers(1, len(weights), count))
    direction = weights[classes] - weights.mean(0)
    mask = torch.zeros(count, side, side)
    for row in range(count):
        height, width = rng.integers(3, side + 1, 2)
        y, x = rng.integers(0, side - height + 1), rng.integers(0, side - width + 1)
        mask[row, y : y + height, x : x + width] = 1
    mask = mask.flatten(1)
    logits = classifier(part.mean(1)).detach()
    own = logits.gather(1, classes[:, None])[:, 0]
    margin = logits.max(1).values - own + torch.from_numpy(rng.uniform(-1, 5, count)).float()
    step = margin.clamp(min=0) / (mask.mean(1) * direction.square().sum(1))
    part = (part + step[:, None, None] * mask[..., None] * direction[:, None]).clamp(0, 6)
    features[:count] = part.to(features.dtype)
    grid = part.mT.unflatten(2, (side, side))
    windows = F.avg_pool2d(grid, WINDOW, STRIDE).flatten(2).mT
    pooled = torch.cat([part.mean(1, keepdim=True), windows], dim=1)
    return classifier(pooled).detach().softmax(-1)[..., 1:].numpy()


def retarget(batch: Batch, predictions: npt.NDArray[np.float32], words: Vocabulary) -> None:
    """Replace the targets of the first photos by those of ``predictions``, in place."""
    count = len(predictions)
    batch.target[:count] = torch.from_numpy(teacher_targets(predictions, words.class_tags))
    batch.weight[:count] = torch.from_numpy(words.class_tags.any(0).astype(np.float32))
    batch.likely[:count] = torch.from_numpy(predictions[:, 0] @ words.own_tags)


@dataclass(frozen=True)
class Question:
    """What one step asks: tags of each photo [B, K] and what the answers should be."""

    tags: npt.NDArray[np.int64]
    target: Tensor
    weight: Tensor
    #: the teacher's probability of the tag's own class for the whole photo; 0 where it has none
    likely: Tensor


def ask(
    batch: Batch,
    near: npt.NDArray[np.int64],
    detectable: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> Question:
    """Choose the tags of each photo."""
    size, count = batch.target.shape
    target, weight, likely = batch.target.numpy(), batch.weight.numpy(), batch.likely.numpy()
    top = np.argpartition(-likely, NUM_LIKELY, axis=1)[:, :NUM_LIKELY]
    said = np.where((target > 0.3) & (weight > 0), rng.random(target.shape), -1.0)
    human = np.argpartition(-said, NUM_HUMAN, axis=1)[:, :NUM_HUMAN]
    seed = np.take_along_axis(human, rng.integers(0, NUM_HUMAN, (size, NUM_NEAR)), 1)
    close = near[seed, rng.integers(0, near.shape[1], seed.shape)]
    seen = detectable[rng.integers(0, len(detectable), (size, NUM_DETECTED))]
    rest = rng.integers(0, count, (size, NUM_RANDOM))
    tags = np.concatenate([top, human, close, seen, rest], axis=1)
    weights = np.take_along_axis(weight, tags, 1).copy()
    weights[:, -NUM_RANDOM:] *= RANDOM_WEIGHT
    # A tag that was chosen twice counts once.
    order = np.argsort(tags, axis=1, kind="stable")
    ordered = np.take_along_axis(tags, order, 1)
    again = np.concatenate([np.zeros((size, 1), bool), ordered[:, 1:] == ordered[:, :-1]], axis=1)
    repeated = np.zeros_like(again)
    np.put_along_axis(repeated, order, again, 1)
    weights[repeated] = 0.0
    own = np.take_along_axis(likely, tags, 1)
    own[repeated] = 0.0
    return Question(
        tags,
        torch.from_numpy(np.take_along_axis(target, tags, 1)),
        torch.from_numpy(weights),
        torch.from_numpy(own),
    )


def distillation(logits: Tensor, likely: Tensor) -> Tensor:
    """Cross-entropy between the teacher's classes and the student's order of the same tags.

    Args:
        logits: [B, K]
        likely: the teacher's probabilities of those tags, 0 for tags that are no class
    """
    known = likely > 0
    share = likely.sum(1).clamp(max=1.0)
    logs = logits.masked_fill(~known, -1e4).log_softmax(1)
    return -(likely * logs).sum() / share.sum().clamp(min=1e-3)


class TextTable:
    """Embeddings of every tag's texts; in training a synonym is drawn now and then."""

    def __init__(self, words: Vocabulary, encoder: StaticTextEncoder) -> None:
        flat = [text for texts in words.texts for text in texts]
        self.rows = torch.from_numpy(encoder.encode(flat))
        self.counts = np.array([len(texts) for texts in words.texts])
        self.starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]])

    def draw(self, rng: np.random.Generator) -> Tensor:
        """[T, E] of one text of each tag: the name mostly, else a synonym; noise against
        memorising."""
        other = (rng.random(len(self.counts)) * self.counts).astype(np.int64)
        other[rng.random(len(self.counts)) < 0.75] = 0
        rows = self.rows[self.starts + other]
        return F.normalize(rows + 0.01 * torch.randn_like(rows), dim=-1)

    def names(self) -> Tensor:
        """[T, E] of the names alone."""
        return self.rows[self.starts]

    def neighbours(self, count: int = 24) -> npt.NDArray[np.int64]:
        """[T, count] tags whose texts are nearest."""
        names = self.names()
        return (names @ names.T).topk(count + 1, dim=1).indices[:, 1:].numpy()


def top_features(network: TaggingNetwork, middle: Tensor) -> Tensor:
    """Middle features [B, 96, G, G] -> backbone tokens [B, N, 1280]."""
    backbone = network.encoder.backbone
    top = backbone.head(backbone.blocks[NUM_FROZEN:](middle))  # type: ignore[operator,index,union-attr]
    return top.flatten(2).mT


def top_of(network: TaggingNetwork, middle: Tensor) -> Tensor:
    """Middle features [B, 96, G, G] -> projected tokens [B, 1+N, D]."""
    return network.encoder.project(top_features(network, middle))


def validate(
    network: TaggingNetwork, sources: list[Source], words: Vocabulary, text: Tensor
) -> str:
    """Mean average precision on held-out photos of each source, over its human-named tags."""
    network.eval()
    parts = []
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        labels = network.prepare(text)
        for source in sources:
            held = source.held_out[:160]
            logits, truth = [], []
            for start in range(0, len(held), 32):
                batch = gather([(source, int(p), 0) for p in held[start : start + 32]], words)
                middle = batch.middle.contiguous(memory_format=torch.channels_last)
                logits.append(network.decoder(labels, top_of(network, middle)).float())
                truth.append((batch.target == 1) & (batch.weight == HUMAN))
            if logits:
                ap = mean_average_precision(torch.cat(logits).numpy(), torch.cat(truth).numpy())
                parts.append(f"{source.name} {100 * ap.value:.1f}")
    network.train()
    return ", ".join(parts)


def build(weights: Path, config: TaggerConfig, middle: Tensor) -> TaggingNetwork:
    """A fresh network on the ImageNet backbone.

    Two things make it learn in an hour what takes long from BERT's small random numbers: the
    projection starts with the directions in which the classifier's classes differ most, and label
    queries start at the size of what attention adds to them.

    Args:
        weights: ImageNet weights with the classifier
        config: sizes
        middle: some middle features [B, 96, G, G], for the scale of the projection
    """
    teacher = Teacher(weights)
    network = TaggingNetwork(config)
    network.encoder.backbone.load_state_dict(teacher.network.state_dict())
    projection = network.encoder.projection
    with torch.no_grad():
        for name, parameter in [
            *network.queries.named_parameters(),
            *network.decoder.named_parameters(),
        ]:
            if parameter.ndim == 2 and "logit" not in name:
                torch.nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
        torch.nn.init.normal_(network.queries.projection.weight, std=1.0)
        classes = teacher.classifier.weight[1:]
        directions = torch.linalg.svd(classes - classes.mean(0), full_matrices=False)[2]
        directions = directions[: projection.weight.shape[0]]
        tokens = top_features(network, middle).flatten(0, 1)
        scale = ((tokens - tokens.mean(0)) @ directions.T).std()
        projection.weight.copy_(directions / scale)
        projection.bias.copy_(-(projection.weight @ tokens.mean(0)))
        network.decoder.logit.bias.fill_(-3.0)  # few tags are present
    for parameter in network.encoder.backbone.parameters():
        parameter.requires_grad = False
    return network.to(memory_format=torch.channels_last)


@torch.no_grad()
def fit_match(
    network: TaggingNetwork, sources: list[Source], words: Vocabulary, text: Tensor
) -> None:
    """Begin the comparison of texts with the mean token where regression puts it.

    Linear regression from mean tokens to half of what the decoder's logits lack, for each tag that
    the teacher or the detector knows; then from the texts to these regressions' weights.

    Args:
        network: with everything else as it will be at the start
        sources: photos
        words: T tags
        text: embeddings of their names [T, E]
    """
    assert network.match is not None
    tokens, missing = [], []
    state = network.eval().prepare(text)
    known = torch.from_numpy(words.class_tags.any(0))
    known[torch.from_numpy(words.detected_tags[words.detected_tags >= 0])] = True
    for source in sources:
        numbers = source.train[::FIT_EVERY]
        for start in range(0, len(numbers), 16):
            batch = gather([(source, int(n), 0) for n in numbers[start : start + 16]], words)
            seen = top_of(network, batch.middle.float())
            wanted = batch.target.clamp(1e-4, 0.999).logit() - network.decoder(state, seen)
            tokens.append(seen[:, 0])
            missing.append(0.5 * wanted * (known & (batch.weight >= 0.3)))
    mean = torch.cat(tokens)
    width = mean.shape[1]
    rows = torch.cat([mean * width**-0.5, torch.ones(len(mean), 1)], dim=1)
    weights = ridge(rows, torch.cat(missing), 1e-2).mT  # [T, W + 1]
    copies = text.repeat(4, 1)
    noisy = F.normalize(copies + 0.01 * torch.randn_like(copies), dim=-1)
    hidden = F.gelu(network.match.expand(noisy)) * network.match.scale
    solved = ridge(
        torch.cat([hidden, torch.ones(len(hidden), 1)], dim=1), weights.repeat(4, 1), 1e-3
    )
    network.match.reduce.weight.copy_(solved[:-1].mT)
    network.match.reduce.bias.copy_(solved[-1])
    error = (network.match(text) - weights).square().mean() / weights.square().mean()
    print(f"match: {len(mean)} photos, {float(error):.2f} of the weights' square left", flush=True)


def ridge(inputs: Tensor, outputs: Tensor, strength: float) -> Tensor:
    """Weights [I, O] of the regularised linear regression of [N, O] on [N, I]."""
    wide = inputs.double()
    gram = wide.mT @ wide
    penalty = strength * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    return torch.linalg.solve(gram + penalty, wide.mT @ outputs.double()).float()


def set_trainable(network: TaggingNetwork, trainable: bool) -> None:
    """Freeze or release the upper part of the backbone; the lower part stays frozen."""
    backbone = network.encoder.backbone
    for part in (backbone.blocks[NUM_FROZEN:], backbone.head):  # type: ignore[index,union-attr]
        for parameter in part.parameters():
            parameter.requires_grad = trainable


def read_start(network: TaggingNetwork, start: Path) -> bool:
    """Weights to go on from: a file of this script, or a model directory.

    Returns:
        whether the network has parts that they lack, which stay as they are
    """
    state = (
        load_directory(start).network.state_dict()
        if start.is_dir()
        else torch.load(start, weights_only=True)
    )
    network.load_state_dict({**network.state_dict(), **state})
    return not network.state_dict().keys() <= state.keys()


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("features", "labels", "text", "weights", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--detections", type=Path, required=True, help="folder of detect.py")
    parser.add_argument("--without", type=Path, help="tags that are not learned, one a line")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--boost", nargs="*", default=[], help="NAME=FACTOR of a source")
    parser.add_argument("--tuned", type=float, default=0.4, help="share of steps, see the top")
    parser.add_argument("--rate", type=float, default=RATE, help="learning rate")
    parser.add_argument("--bfloat16", action="store_true", help="compute in bfloat16")
    parser.add_argument("--start", type=Path, help="weights or model directory to go on from")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Parse arguments, train for the given time, write the weights (float32 state dict)."""
    arguments = parse_arguments()
    torch.manual_seed(arguments.seed)
    rng = np.random.default_rng(arguments.seed)
    annotations = [json.loads(p.read_text())["rows"] for p in arguments.features.glob("*.json")]
    words, tags = read_vocabulary(
        arguments.labels,
        Path(__file__).with_name("common_tags.txt"),
        [row for rows in annotations for row in rows if row.get("captions")],
        read_tag_list(arguments.without) if arguments.without else (),
    )
    arguments.out.with_suffix(".tags.json").write_text(json.dumps(tags))
    print(f"{len(tags)} tags, {len(words.names)} training queries")
    table = TextTable(words, StaticTextEncoder.load(arguments.text))
    sources = load_sources(arguments.features, arguments.photos, words, arguments.detections)
    stream = batches(
        sources, words, rng, {k: float(v) for k, v in (b.split("=") for b in arguments.boost)}
    )
    network = build(arguments.weights, nano(), next(stream).middle.float())
    if not arguments.start or read_start(network, arguments.start):
        fit_match(network, sources, words, table.names())
    fit(network, stream, sources, words, table, rng, arguments)


def fit(
    network: TaggingNetwork,
    stream: Iterator[Batch],
    sources: list[Source],
    words: Vocabulary,
    table: TextTable,
    rng: np.random.Generator,
    arguments: argparse.Namespace,
) -> None:
    """Train for ``arguments.minutes`` and write the moving average of the weights."""
    set_trainable(network, True)
    optimizer = make_optimizer(network, replace(OPTIM, lr=arguments.rate))
    average = AveragedWeights(network, AVERAGED)
    near, classifier = table.neighbours(), Teacher(arguments.weights).classifier
    detectable = words.detected_tags[words.detected_tags >= 0]
    start, mean_loss = time.monotonic(), 0.0
    network.train()
    for step, batch in enumerate(stream, start=1):
        done = (time.monotonic() - start) / (60 * arguments.minutes)
        if done >= 1:
            break
        rate = cosine_rate(round(1000 * done), 1000, arguments.rate, 0.0)
        set_learning_rate(optimizer, min(rate, warmup_rate(step, WARMUP, 0.0, arguments.rate)))
        tuned = bool(rng.random() < arguments.tuned)
        set_trainable(network, tuned)
        with torch.set_grad_enabled(tuned), faster(arguments.bfloat16):
            features = in_chunks(partial(top_features, network), batch.middle.float())
        if not tuned:
            with torch.no_grad():
                count = int(INJECTED * len(features))
                retarget(batch, inject(features, classifier, count, rng), words)
        question = ask(batch, near, detectable, rng)
        with faster(arguments.bfloat16):
            logits = answer(network, features, table.draw(rng), question)
        loss = asymmetric_loss(logits, question.target, weights=question.weight, **FOCUS).mean()
        loss = loss + DISTILL * distillation(logits.float(), question.likely)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), OPTIM.clip_norm or math.inf)
        optimizer.step()
        set_trainable(network, True)  # all that is ever trained belongs to the average
        average.update(network)
        mean_loss += (loss.item() - mean_loss) / min(step, 50)
        if step % 50 == 0:
            speed = step * BATCH / (time.monotonic() - start)
            print(f"{done:6.1%} step {step} loss {mean_loss:.3f} {speed:.0f} img/s", flush=True)
        if step % 500 == 0:
            with average.applied(network):
                torch.save(network.state_dict(), arguments.out)
    with average.applied(network):
        torch.save(network.state_dict(), arguments.out)
        print(validate(network, sources, words, table.names()))


def faster(enabled: bool) -> torch.autocast:
    """Products in bfloat16, for processors that have instructions for them."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled)


def answer(network: TaggingNetwork, features: Tensor, texts: Tensor, question: Question) -> Tensor:
    """Logits [B, K] of the tags asked.

    Args:
        network: the one trained
        features: backbone tokens [B, N, C]
        texts: of all tags [T, E]
        question: which tags of each photo
    """
    asked = network.prepare(texts).take_each(torch.from_numpy(question.tags))
    return network.decoder(asked, network.encoder.project(features))


if __name__ == "__main__":
    main()
