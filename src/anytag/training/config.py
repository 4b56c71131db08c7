"""Training configuration: plain dataclasses, read from YAML.

    output: runs/pets
    model: {start: nano}
    data:
      train: [{path: pets.csv}]

Every other key has a default; the paper's values are in `presets`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from anytag.data.sources import KINDS
from anytag.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which network is trained, and which part of it."""

    #: a model directory, an embedded model's name or a hub id whose weights are the start
    start: str | None = None
    #: a new network instead, one of `presets.NETWORKS`
    network: str | None = None
    #: weights of a new network's backbone: safetensors or .pth
    backbone_weights: str | None = None
    #: side of the training crops in pixels; None = the model's own. Swin's position biases are
    #: interpolated where it differs
    image_size: int | None = None
    #: the last blocks of the backbone that are trained; 0 = frozen, None = all
    num_trainable_blocks: int | None = None
    #: probability of dropout; None = the model's own (0.1). 0 makes a run independent of the number
    #: of processes
    dropout: float | None = None
    #: text encoder of tags that have no embedding yet: a hub id or folder of CLIP; None = the one
    #: of `start`, or of nano
    text_encoder: str | None = None
    #: RAM++: JSON file with the descriptions of its tags (``anytag describe``)
    descriptions: str | None = None

    def __post_init__(self) -> None:
        if (self.start is None) == (self.network is None):
            raise ConfigError("give either start (a model) or network (a new one)")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is {self.dropout}, expected at least 0 and less than 1")
        if self.backbone_weights and self.start:
            raise ConfigError("backbone_weights are for a new network; start brings its own")


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """One data set."""

    #: file or folder (docs/data.md)
    path: str
    #: one of `anytag.data.sources.KINDS`
    kind: str = "auto"
    #: folder of the pictures, where it is not near the annotations
    images: str | None = None
    #: whether tags that are not named are absent; False = not known
    exhaustive: bool = True
    #: file of another tagger's probabilities for these pictures, as `anytag eval --scores` reads
    #: them; learned beside the set's own tags
    scores: str | None = None
    #: weight of an absence that is only assumed: of an exhaustive set, that of tags that it names
    #: on no picture; of another set, that of tags that it names on other pictures
    absent_weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.absent_weight <= 1:
            raise ConfigError(
                f"absent_weight is {self.absent_weight}, expected more than 0 and at most 1"
            )
        if self.kind != "auto" and self.kind not in KINDS:
            raise ConfigError(f"kind must be auto or one of {', '.join(KINDS)}; found {self.kind}")


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Random changes of the pictures (`anytag.training.augment`)."""

    #: least and most share of the picture's area in a crop
    crop_area: tuple[float, ...] = (0.5, 1.0)
    #: mirror half of the pictures
    flip: bool = True
    #: RandAugment (arXiv 1909.13719): operations a picture; 0 = none
    num_operations: int = 2
    #: strength of 10
    magnitude: int = 5

    def __post_init__(self) -> None:
        if len(self.crop_area) != 2 or not 0 < self.crop_area[0] <= self.crop_area[1] <= 1:
            raise ConfigError("crop_area needs two shares, 0 < least <= most <= 1")
        if not 0 <= self.magnitude <= 10:
            raise ConfigError(f"magnitude is {self.magnitude}, expected 0 to 10")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What is learned from."""

    #: training sets
    train: tuple[SourceConfig, ...]
    #: validation sets; none = one record in `val_every` of the training sets is kept for it
    val: tuple[SourceConfig, ...] = ()
    #: see `val`
    val_every: int = 20
    #: labels.json or a tag list; "model" = those of `ModelConfig.start`, "data" = the tags that
    #: occur in the training sets
    labels: str = "model"
    #: WordPiece vocabulary for captions; None = the model's own, or one made from the captions
    vocabulary: str | None = None
    #: parse captions to tags where the records hold none
    parse_captions: bool = True
    #: most tokens of a caption and of the tag text (paper: 40)
    max_tokens: int = 40
    #: random changes of training pictures
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    #: worker processes that decode
    num_workers: int = 2
    #: views of each training picture of which the output of the backbone's frozen part is computed
    #: once and kept in the run's cache/; later epochs draw among them. None = every epoch decodes
    #: anew
    cached_views: int | None = None

    def __post_init__(self) -> None:
        if self.cached_views is not None and self.cached_views < 1:
            raise ConfigError("cached_views must be at least 1, or null for none")
        if not self.train:
            raise ConfigError("train needs a data set")
        if self.val_every < 2:
            raise ConfigError("val_every must be at least 2")


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The terms of the loss (RAM, section 4; RAM++, section 3)."""

    #: learn to write the captions, guided by tags
    captioning: bool = False
    #: draw the mean token to the feature of `teacher`
    distillation: bool = False
    #: RAM++: captions as queries
    alignment: bool = False
    #: asymmetric loss: focusing of absent tags
    gamma_neg: float = 7.0
    #: focusing of present tags
    gamma_pos: float = 0.0
    #: probability below which an absent tag costs nothing
    clip: float = 0.05
    #: focusing of the captions of other pictures
    alignment_gamma_neg: float = 4.0
    #: of captions: share that is spread over the vocabulary
    label_smoothing: float = 0.1
    #: tags that are asked in a step: all that occur in the batch, the others drawn at random and
    #: weighted for those that were not; None = every tag. Tags do not interact, so any will do, and
    #: the head is most of the work where there are thousands
    num_asked_tags: int | None = None
    #: whether all pictures of a step are asked the same tags ("batch"), or each its own
    #: ("picture"): a third of them the likeliest, which suits `SourceConfig.scores`. Not for
    #: RAM++ and Tag2Text
    asked_by: str = "batch"
    #: weight of tagging and alignment (each summed over tags, mean over pictures); where captions
    #: are learned tagging is rescaled to their loss instead
    tagging_weight: float = 1.0
    #: weight of distillation
    distillation_weight: float = 1.0
    #: frozen image encoder that is distilled: "clip:ID", "timm:NAME", "transformers:ID" or
    #: "model:DIR" (the mean token of a model directory)
    teacher: str | None = None

    def __post_init__(self) -> None:
        if self.num_asked_tags is not None and self.num_asked_tags < 1:
            raise ConfigError("num_asked_tags must be at least 1, or null for all")
        if self.asked_by not in ("batch", "picture"):
            raise ConfigError(f"asked_by must be batch or picture, found {self.asked_by!r}")
        if self.distillation and self.teacher is None:
            raise ConfigError(
                "distillation needs a teacher, e.g. clip:openai/clip-vit-base-patch16"
            )


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW and its schedule."""

    #: learning rate after warm-up
    lr: float = 1e-4
    #: of the backbone, times `lr`
    backbone_lr_scale: float = 1.0
    #: "step" multiplies by `decay` after each epoch (pre-training); "cosine" falls to min_lr
    schedule: str = "cosine"
    #: see `schedule`
    decay: float = 0.9
    #: least learning rate of either schedule
    min_lr: float = 0.0
    #: steps in which the learning rate rises from `warmup_lr`
    warmup_steps: int = 0
    #: learning rate of the first step of a warm-up
    warmup_lr: float = 5e-7
    #: of weights; biases, norms and position biases have none but with `decay_all`
    weight_decay: float = 0.05
    #: whether biases and norms decay too, as in the published code
    decay_all: bool = False
    #: of AdamW
    betas: tuple[float, ...] = (0.9, 0.999)
    #: largest gradient norm; None = no clipping
    clip_norm: float | None = None
    #: decay of the weights' moving average; None = none
    ema_decay: float | None = None

    def __post_init__(self) -> None:
        if self.schedule not in ("step", "cosine"):
            raise ConfigError(f"schedule must be step or cosine, found {self.schedule!r}")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Length, precision, machines and what is written when."""

    #: times that every picture is seen
    epochs: int = 5
    #: pictures a step, over all processes and accumulated parts
    batch_size: int = 32
    #: parts that a process's share of a batch is cut into
    accumulate: int = 1
    #: "auto" or "cpu"
    device: str = "auto"
    #: "float32", "bfloat16" or "float16" (autocast)
    precision: str = "float32"
    #: recompute the backbone's activations in the backward pass
    checkpoint_activations: bool = False
    #: "none" (one process or DDP) or "full" (FSDP)
    shard: str = "none"
    #: of new weights, order, augmentation and dropout
    seed: int = 0
    #: steps between saved states; None = at the end of each epoch
    save_every: int | None = None
    #: steps between validations; None = at the end of each epoch
    validate_every: int | None = None
    #: stop after so many steps; None = epochs decide
    max_steps: int | None = None
    #: steps between lines of metrics.jsonl
    log_every: int = 10
    #: write logs for TensorBoard
    tensorboard: bool = True
    #: send logs to Weights & Biases
    wandb: bool = False

    def __post_init__(self) -> None:
        if self.precision not in ("float32", "bfloat16", "float16"):
            raise ConfigError(f"precision {self.precision!r}: float32, bfloat16 or float16")
        if self.device not in ("auto", "cpu"):
            raise ConfigError(f"device must be auto or cpu, found {self.device!r}")
        if self.shard not in ("none", "full"):
            raise ConfigError(f"shard must be none or full, found {self.shard!r}")
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}, expected 0 or more")
        if min(self.epochs, self.batch_size, self.accumulate) < 1:
            raise ConfigError("epochs, batch_size and accumulate must be at least 1")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A whole training run."""

    #: folder of the run
    output: str
    #: which network
    model: ModelConfig
    #: what is learned from
    data: DataConfig
    #: terms of the loss
    loss: LossConfig = field(default_factory=LossConfig)
    #: AdamW and its schedule
    optim: OptimConfig = field(default_factory=OptimConfig)
    #: length, precision, machines
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        if self.loss.alignment and self.loss.captioning:
            raise ConfigError("captioning is RAM's and Tag2Text's, alignment RAM++'s; choose one")
        if self.data.cached_views is None:
            return
        if self.model.num_trainable_blocks is None:
            raise ConfigError(
                "data.cached_views keeps what the frozen part of the backbone gives, and none is "
                "frozen; set model.num_trainable_blocks, or data.cached_views to null"
            )
        if self.loss.distillation:
            raise ConfigError(
                "data.cached_views: the teacher of loss.distillation needs the pictures; set "
                "data.cached_views to null"
            )
