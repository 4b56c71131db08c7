"""One side of `train_step.py`: a process that makes a network and trains it a step when told to.

::

    python step_worker.py CASE                    # anytag; CASE is JSON, see `Case`
    python step_worker.py CASE --reference DIR    # the public research code in a folder

The process writes a line of JSON to stdout when it is ready, and one for every line that it reads:
the name of a type ("float32" or "bfloat16", which is autocast) asks for a step. What the public
code prints goes to stderr. It must run in the Python of the public code, so this file needs nothing
but torch, NumPy and, on its side, anytag.

A step is what either trains with: forward with all losses, backward, AdamW. Left out on both sides:
reading and augmenting photos, CLIP (its features are given), and the tokeniser of anytag, whose
loader does this in other processes; the public code's runs inside its forward pass, and takes
milliseconds. The gradient norm, which only anytag computes, is in its step.

Shapes: B images, S side in pixels, T tags, K descriptions of a tag, E = 512 text width.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from string import ascii_lowercase
from types import ModuleType
from typing import Any

import numpy as np
import torch

#: tokens of a caption and of a tag text
CAPTION_LENGTH, TAG_LENGTH = 20, 40
#: of bert-base-uncased without the two start marks
NUM_PIECES = 30522
#: width of the text embeddings and of the teacher's feature
TEXT_WIDTH = 512
#: tags of a picture
NUM_PRESENT = 15
LEARNING_RATE, WEIGHT_DECAY = 1e-4, 0.05

#: type -> seconds are measured around it -> loss of each term
Step = Callable[[str], dict[str, float]]


@dataclass(frozen=True)
class Case:
    """What is trained; the same on both sides."""

    #: "ram" (tagging, captioning, distillation) or "ram_plus" (tagging, alignment, distillation)
    family: str
    #: B
    batch_size: int
    #: "swin_base" or "swin_large"
    backbone: str = "swin_base"
    #: S, 224 or 384
    image_size: int = 224
    #: T
    num_tags: int = 4585
    #: K, RAM++ alone
    num_descriptions: int = 51
    #: torch threads
    threads: int = 1
    #: anytag alone: a network of one block a stage and few channels, for tests
    small: bool = False


@dataclass(frozen=True)
class Inputs:
    """Random inputs of one step, equal on both sides."""

    #: uint8 [B, 3, S, S]
    images: torch.Tensor
    #: int64 [B, T], 0 or 1
    present: torch.Tensor
    #: features of the frozen image encoder [B, E]
    teacher: torch.Tensor
    #: embeddings of the captions [B, E]
    captions: torch.Tensor
    #: embeddings of tags [T, E], or of descriptions [T * K, E]; unit vectors
    rows: torch.Tensor


def make_inputs(case: Case) -> Inputs:
    """The same numbers for the same case, whatever made them."""
    random = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random)

    size, count = case.image_size, case.batch_size
    number = case.num_tags * (case.num_descriptions if case.family == "ram_plus" else 1)
    present = torch.zeros(count, case.num_tags, dtype=torch.int64)
    for row in present:
        row[torch.randperm(case.num_tags, generator=random)[:NUM_PRESENT]] = 1
    return Inputs(
        images=torch.randint(0, 256, (count, 3, size, size), generator=random, dtype=torch.uint8),
        present=present,
        teacher=normal(count, TEXT_WIDTH),
        captions=torch.nn.functional.normalize(normal(count, TEXT_WIDTH), dim=-1),
        rows=torch.nn.functional.normalize(normal(number, TEXT_WIDTH), dim=-1),
    )


class Given:
    """Stands in for CLIP on anytag's side: features that were computed before."""

    width = dim = TEXT_WIDTH

    def __init__(self, features: torch.Tensor) -> None:
        self._features = features

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Of images."""
        return self._features

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Of texts."""
        return self._features.numpy()


def make_anytag(case: Case) -> tuple[Step, torch.nn.Module]:
    """As `anytag.training.session` and `Trainer` do it, in one process."""
    from anytag.data.transforms import IMAGENET
    from anytag.models.released import build_released
    from anytag.models.swin import swin_base, swin_large
    from anytag.training.config import LossConfig, OptimConfig
    from anytag.training.networks import BERT_VOCABULARY, released_config
    from anytag.training.objective import Objective
    from anytag.training.optim import make_optimizer

    inputs = make_inputs(case)
    name = {"ram": f"ram_{case.backbone}", "ram_plus": "ram_plus_swin_large"}[case.family]
    sizes = released_config(name, case.image_size, case.num_tags, BERT_VOCABULARY)
    swin = swin_base if case.backbone == "swin_base" else swin_large
    sizes = replace(sizes, swin=swin(case.image_size))
    if case.small:
        sizes = _smaller(sizes)
    captioning = case.family == "ram"
    rows = inputs.rows
    if not captioning:
        rows = rows.unflatten(0, (case.num_tags, case.num_descriptions))
    loss = LossConfig(
        captioning=captioning, alignment=not captioning, distillation=True, teacher="given"
    )
    objective = Objective(
        build_released(sizes),
        rows,
        loss,
        normalization=IMAGENET,
        teacher=Given(inputs.teacher),
        text_encoder=None if captioning else Given(inputs.captions),
    )
    objective.train()
    optimizer = make_optimizer(objective, OptimConfig(lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY))
    batch = _anytag_batch(case, inputs)

    def step(dtype: str) -> dict[str, float]:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            losses = objective(batch)
        losses["total"].backward()
        found = dict(zip(losses, torch.stack(list(losses.values())).tolist(), strict=True))
        parameters = [p for p in objective.parameters() if p.grad is not None]
        torch.nn.utils.clip_grad_norm_(parameters, float("inf"))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return found

    return step, objective


def _anytag_batch(case: Case, inputs: Inputs) -> Any:
    from anytag.training.batch import Batch, Texts

    count = case.batch_size
    random = torch.Generator().manual_seed(1)

    def text(length: int) -> tuple[torch.Tensor, torch.Tensor]:
        ids = torch.randint(200, NUM_PIECES, (count, length), generator=random)
        return ids, torch.ones(count, length, dtype=torch.bool)

    (caption_ids, caption_mask), (tag_ids, tag_mask) = text(CAPTION_LENGTH), text(TAG_LENGTH)
    texts = Texts(
        caption_ids=caption_ids, caption_mask=caption_mask, tag_ids=tag_ids, tag_mask=tag_mask
    )
    return Batch(
        images=inputs.images,
        targets=inputs.present.float(),
        weights=None,
        texts=texts if case.family == "ram" else None,
        captions=tuple(f"caption {number}" for number in range(count)),
        positions=torch.arange(count),
    )


def _smaller(sizes: Any) -> Any:
    """Few channels and layers; widths of texts and image tokens stay."""
    swin = replace(sizes.swin, embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1))
    decoder = replace(sizes.tagger.decoder, hidden=32, ffn=32)
    captioner = sizes.captioner
    if captioner is not None:
        captioner = replace(captioner, hidden=32, num_layers=2, num_heads=4, ffn=32)
    tagger = replace(sizes.tagger, decoder=decoder)
    return replace(sizes, swin=swin, tagger=tagger, captioner=captioner)


def make_reference(case: Case, folder: Path) -> tuple[Step, torch.nn.Module]:
    """As ``pretrain.py`` of the public code does it, in one process."""
    models = _import_reference(folder)
    inputs = make_inputs(case)
    with tempfile.TemporaryDirectory(prefix="anytag-step-") as name:
        words = _write_vocabulary(Path(name))
        network = getattr(models, case.family)(
            image_size=case.image_size,
            vit={"swin_base": "swin_b", "swin_large": "swin_l"}[case.backbone],
            text_encoder_type=name,
        )
    if network.num_class != case.num_tags:
        raise SystemExit(f"{folder}: {network.num_class} tags, expected {case.num_tags}")
    network.label_embed.requires_grad_(False)
    network.label_embed.copy_(inputs.rows)
    network.train()
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    mean, std = (
        torch.tensor(values)[:, None, None]
        for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    images = (inputs.images.float() / 255 - mean) / std
    # start mark and end mark are two tokens, "a picture of" three
    caption = " ".join(["a picture of", *words[: CAPTION_LENGTH - 5]])
    captions = [caption] * case.batch_size

    def step(dtype: str) -> dict[str, float]:
        if dtype != "float32":
            raise SystemExit("the public code trains in float32 alone")
        given = inputs.teacher
        if case.family == "ram":
            caption_loss, tagging, distillation = network(
                images, captions, inputs.present, inputs.present, given
            )
            total = caption_loss + tagging / (tagging / caption_loss).detach() + distillation
            other = {"captioning": caption_loss}
        else:
            tagging, distillation, alignment = network(
                images, captions, inputs.present, given, inputs.captions
            )
            total = tagging + distillation + alignment
            other = {"alignment": alignment}
        total.backward()
        optimizer.step()
        losses = {"total": total, "tagging": tagging, **other, "distillation": distillation}
        found = {name: float(value) for name, value in losses.items()}
        optimizer.zero_grad()
        return found

    return step, network


def _import_reference(folder: Path) -> ModuleType:
    """Its networks; CLIP, which they import and a step does not use, need not be installed."""
    clip = ModuleType("clip")
    clip.clip = clip  # type: ignore[attr-defined]
    sys.modules.setdefault("clip", clip)
    sys.path.insert(0, str(folder))
    import ram.models

    return ram.models


def _write_vocabulary(folder: Path) -> list[str]:
    """A WordPiece vocabulary of the released size in a folder, and some of its words."""
    letters = ("".join(word) for n in (3, 4) for word in product(ascii_lowercase, repeat=n))
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "picture", "of"]
    words = [next(letters) for _ in range(NUM_PIECES - len(marks))]
    (folder / "vocab.txt").write_text("\n".join([*marks, *words]) + "\n", encoding="utf-8")
    return words[:100]


def peak_memory_mb() -> float:
    """Most resident memory of this process so far, in millions of bytes; Linux alone."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def serve(step: Step, about: dict[str, Any], commands: Any, answers: Any) -> None:
    """Answer every line with a timed step."""

    def say(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    say(about)
    for line in commands:
        started, used = time.perf_counter(), time.process_time()
        losses = step(line.strip())
        say(
            {
                "seconds": time.perf_counter() - started,
                "cpu_seconds": time.process_time() - used,
                "losses": losses,
                "peak_memory_mb": peak_memory_mb(),
            }
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("case", type=json.loads)
    parser.add_argument("--reference", type=Path, metavar="DIR")
    options = parser.parse_args(arguments)
    case = Case(**options.case)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the public code prints is no answer
    torch.set_num_threads(case.threads)
    torch.manual_seed(0)
    if options.reference is None:
        step, network = make_anytag(case)
    else:
        step, network = make_reference(case, options.reference)
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    about = {
        "case": asdict(case),
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "trained_parameters": trained,
        "threads": torch.get_num_threads(),
    }
    serve(step, about, sys.stdin, answers)


if __name__ == "__main__":
    main()
