"""What a run consists of, made from its configuration: data, model, objective, optimizer, devices.

Accelerate chooses the device, spreads over processes (``torchrun``) and runs in mixed precision.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from anytag.config import to_plain
from anytag.errors import ConfigError, MissingExtraError
from anytag.inference.captioning import PROMPT
from anytag.inference.wordpiece import WordPiece
from anytag.labels.labelset import LabelSet, read_tag_list
from anytag.training.blocks import set_trainable
from anytag.training.cached_views import CachedViews, Told
from anytag.training.config import TrainConfig
from anytag.training.examples import Examples, open_examples
from anytag.training.feature_cache import FeatureCache
from anytag.training.loader import Loader, ValidationLoader
from anytag.training.model_io import Trainable, open_trainable, own_labels, own_wordpiece
from anytag.training.networks import set_dropout
from anytag.training.objective import PROMPT_LENGTH, Objective
from anytag.training.optim import (
    AveragedWeights,
    learning_rate,
    make_optimizer,
    set_learning_rate,
)
from anytag.training.sharding import shard_fully
from anytag.training.targets import TargetMaker, collect_tags, gather_evidence
from anytag.training.teacher import open_teacher
from anytag.training.texts import TextMaker
from anytag.training.wordpieces import learn_wordpieces

T = TypeVar("T")

#: of autocast, in Accelerate's words
PRECISIONS = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


@dataclass(kw_only=True)
class Session:
    """All parts of a run, on this process's device."""

    config: TrainConfig
    folder: Path
    #: of the configuration, but for what may change when a run goes on
    fingerprint: str
    # Any: accelerate is an extra and has no types for us
    accelerator: Any
    trainable: Trainable
    objective: Objective
    #: the objective, or what spreads it over processes
    model: nn.Module
    #: Accelerate's, which scales gradients in float16
    optimizer: Any
    raw_optimizer: torch.optim.Optimizer
    average: AveragedWeights | None
    examples: Examples
    val_examples: Examples | None
    loader: Loader
    val_loader: ValidationLoader | None
    #: what a person should know of the data and of what is trained
    notes: tuple[str, ...]
    steps_per_epoch: int
    total_steps: int

    def set_lr(self, step: int) -> float:
        """Set and return the learning rate of a step, from 0."""
        rate = learning_rate(
            step,
            self.config.optim,
            steps_per_epoch=self.steps_per_epoch,
            num_steps=self.total_steps,
        )
        set_learning_rate(self.raw_optimizer, rate)
        return rate

    def gathering(self, *, last: bool) -> AbstractContextManager[Any]:
        """Around a part of a batch: processes exchange gradients after the last one alone."""
        if self.config.run.shard == "full":
            self.model.set_requires_gradient_sync(last)  # type: ignore[operator]
            return contextlib.nullcontext()
        return contextlib.nullcontext() if last else self.accelerator.no_sync(self.model)

    def clip_gradients(self) -> float:
        """Clip as configured; the norm before."""
        limit = self.config.optim.clip_norm
        self.accelerator.unscale_gradients()
        parameters = [p for p in self.objective.parameters() if p.grad is not None]
        norm: Any  # a tensor, or a sharded one
        if limit is None:  # measured alone; clipping would touch all gradients
            norm = nn.utils.get_total_norm([cast(Tensor, p.grad) for p in parameters])
        else:
            norm = nn.utils.clip_grad_norm_(parameters, limit)
        return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)

    def averaged(self) -> AbstractContextManager[None]:
        """Inside, the objective has its averaged weights, where there are any."""
        if self.average is None:
            return contextlib.nullcontext()
        return self.average.applied(self.objective)

    def restart_average(self, num_updates: int) -> None:
        """Take the present weights as the average, after so many updates."""
        decay = self.config.optim.ema_decay
        if decay is not None:
            self.average = AveragedWeights(self.objective, decay)
            self.average.num_updates = num_updates

    def gather_objects(self, own: list[T]) -> list[list[T]]:
        """The lists of all processes."""
        if self.accelerator.num_processes == 1:
            return [own]
        from torch.distributed import all_gather_object

        found: list[list[T]] = [[] for _ in range(self.accelerator.num_processes)]
        all_gather_object(found, own)
        return found

    def num_skipped(self) -> int:
        """Pictures that could not be read, on all processes."""
        return sum(
            one for share in self.gather_objects([self.loader.skipped.total]) for one in share
        )


def open_session(config: TrainConfig, told: Told = lambda done, total, size: None) -> Session:
    """Prepare a run.

    Args:
        config: the run
        told: how the cache is filled, where there is one

    Raises:
        ConfigError: settings that do not fit together
        OutputError, TrainingError: the cache cannot be filled, see `CachedViews`
        UsageError: a data set does not exist or is too small
        ModelError: the start or the teacher cannot be read
        MissingExtraError: accelerate is not installed
    """
    accelerator = _accelerator(config)
    rank, world = accelerator.process_index, accelerator.num_processes
    torch.manual_seed(config.run.seed)  # a new network's weights
    folder = Path(config.output)
    with accelerator.main_process_first():
        train, val = open_pictures(config, folder)
        labels = _labels(config, train)
        vocabulary = _vocabulary(config, train, folder)
    trainable = open_trainable(
        config.model, labels, captions=config.loss.captioning, vocabulary=vocabulary
    )
    maker = TargetMaker(trainable.labels, parse_captions=config.data.parse_captions)
    with accelerator.main_process_first():
        maker.evidence = gather_evidence(train, maker, folder / "cache")
    texts = None
    if config.loss.captioning:
        assert trainable.wordpiece is not None
        texts = TextMaker(WordPiece.load(trainable.wordpiece), config.data.max_tokens)
    objective = _objective(config, trainable, accelerator)
    objective.to(accelerator.device)
    cached: CachedViews | None = None
    caches: list[FeatureCache | None] = [None, None]
    if config.data.cached_views is not None:
        sets = [train] if val is None else [train, val]
        cached = CachedViews(config, objective, trainable.image_size, sets)
        caches = [*cached.caches, None]
    pin_memory = accelerator.device.type == "cuda"
    loader = Loader(
        train,
        maker,
        size=trainable.image_size,
        augment=config.data.augment,
        batch_size=config.run.batch_size,
        seed=config.run.seed,
        texts=texts,
        cache=caches[0],
        rank=rank,
        world=world,
        num_workers=config.data.num_workers,
        pin_memory=pin_memory,
    )
    val_loader = None
    if val is not None:
        val_maker = maker
        if config.data.val:  # other data sets: what is known of them is another matter
            val_maker = TargetMaker(trainable.labels, parse_captions=config.data.parse_captions)
            with accelerator.main_process_first():
                val_maker.evidence = gather_evidence(val, val_maker, folder / "cache")
        val_loader = ValidationLoader(
            val,
            val_maker,
            size=trainable.image_size,
            batch_size=max(1, config.run.batch_size // world),
            cache=caches[1],
            rank=rank,
            world=world,
            num_workers=config.data.num_workers,
        )
    if cached is not None:  # before the network is spread: each process computes whole pictures
        cached.fill(accelerator, told)
    model: nn.Module = objective
    if config.run.shard == "full":
        shard_fully(objective, accelerator.device, world)
    else:
        model = accelerator.prepare_model(objective)
    raw_optimizer = make_optimizer(objective, config.optim)
    steps = loader.steps_per_epoch
    total = steps * config.run.epochs
    session = Session(
        config=config,
        folder=folder,
        fingerprint=fingerprint(config, trainable.labels),
        accelerator=accelerator,
        trainable=trainable,
        objective=objective,
        model=model,
        optimizer=accelerator.prepare_optimizer(raw_optimizer),
        raw_optimizer=raw_optimizer,
        average=None,
        examples=train,
        val_examples=val,
        loader=loader,
        val_loader=val_loader,
        notes=(*maker.notes(), *_notes(config)),
        steps_per_epoch=steps,
        total_steps=min(total, config.run.max_steps or total),
    )
    session.restart_average(0)
    model.train()
    return session


def _notes(config: TrainConfig) -> tuple[str, ...]:
    if config.loss.captioning or own_wordpiece(config.model) is None:
        return ()
    return (
        f"the captioner of {config.model.start} is left out: training changes the image tokens "
        "that it reads. With captions in the data, loss.captioning=true trains it too",
    )


def fingerprint(config: TrainConfig, labels: LabelSet) -> str:
    """Of all that makes a run what it is; where it is written and how often may change."""
    plain = to_plain(replace(config, output=""))
    for name in ("save_every", "log_every", "tensorboard", "wandb", "device"):
        del plain["run"][name]
    del plain["data"]["num_workers"]
    text = json.dumps([plain, labels.names], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _accelerator(config: TrainConfig) -> Any:
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise MissingExtraError("accelerate", "train") from error
    accelerator = Accelerator(
        cpu=config.run.device == "cpu", mixed_precision=PRECISIONS[config.run.precision]
    )
    if config.run.shard == "full" and accelerator.num_processes == 1:
        raise ConfigError("run.shard: full needs more than one process; start it with torchrun")
    if config.run.batch_size % (accelerator.num_processes * config.run.accumulate):
        raise ConfigError(
            f"run.batch_size {config.run.batch_size} cannot be divided by "
            f"{accelerator.num_processes} processes and {config.run.accumulate} parts"
        )
    return accelerator


def open_pictures(config: TrainConfig, folder: Path) -> tuple[Examples, Examples | None]:
    """Training and validation pictures of the run in a folder; few may leave none for validation.

    Raises:
        UsageError: a data set does not exist, cannot be recognised, or gives no picture
    """
    cache = folder / "cache"
    names = _tag_names(config)
    train = open_examples(config.data.train, cache, names)
    if config.data.val:
        return train, open_examples(config.data.val, cache, names)
    train, val = train.split(config.data.val_every)
    return train, val if len(val) else None


def _labels(config: TrainConfig, train: Examples) -> LabelSet | None:
    """The tags to be learned; None = the start's own."""
    wanted = config.data.labels
    if wanted == "model":
        if own_labels(config.model) is None:
            raise ConfigError(
                f"data.labels: a new {config.model.network} has no tags of its own; give a tag "
                "list, or data for the tags that occur in the data"
            )
        return None
    if wanted == "data":
        names = collect_tags(train, parse_captions=config.data.parse_captions)
        return LabelSet.from_names(names)
    return _read_labels(Path(wanted))


def _read_labels(path: Path) -> LabelSet:
    if path.suffix == ".json":
        return LabelSet.load(path)
    return LabelSet.from_names(read_tag_list(path))


def _tag_names(config: TrainConfig) -> list[str] | None:
    """The tag list to which ids in RAM's released annotations belong."""
    if all(one.kind != "ram" for one in (*config.data.train, *config.data.val)):
        return None
    if config.data.labels in ("model", "data"):
        labels = own_labels(config.model)
        if labels is None:
            raise ConfigError("data.labels: RAM's annotation files hold ids; give their tag list")
        return labels.names
    return _read_labels(Path(config.data.labels)).names


def _vocabulary(config: TrainConfig, train: Examples, folder: Path) -> Path | None:
    if not config.loss.captioning:
        return None
    own = own_wordpiece(config.model)
    if own is not None:
        return own
    if config.data.vocabulary is not None:
        return Path(config.data.vocabulary)
    made = folder / "vocab.txt"
    if not made.is_file():
        captions = (c for i in range(len(train)) for c in train.record(i)[1].captions)
        learn_wordpieces(captions, made)
    return made


def _objective(config: TrainConfig, trainable: Trainable, accelerator: Any) -> Objective:
    loss = config.loss
    network = trainable.network
    set_trainable(network, config.model.num_trainable_blocks)
    if config.model.dropout is not None:
        set_dropout(network, config.model.dropout)
    teacher = None
    if loss.distillation:
        assert loss.teacher is not None
        teacher = open_teacher(loss.teacher)
    if loss.alignment and trainable.text_encoder is None:
        raise ConfigError("loss.alignment needs a text encoder: set model.text_encoder")
    return Objective(
        network,
        trainable.rows,
        loss,
        normalization=trainable.normalization,
        teacher=teacher,
        text_encoder=trainable.text_encoder if loss.alignment else None,
        prompt_length=_prompt_length(trainable) if loss.captioning else PROMPT_LENGTH,
        reduce=lambda value: accelerator.reduce(value, "mean"),
        checkpoint_activations=config.run.checkpoint_activations,
    )


def _prompt_length(trainable: Trainable) -> int:
    """Start mark and pieces of the prompt, which are given and not learned."""
    assert trainable.wordpiece is not None
    return len(WordPiece.load(trainable.wordpiece).encode(PROMPT)) - 1
