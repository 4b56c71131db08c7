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
    #: the captioner of a new plain network, or of one that has none: its width; None = no captioner
    captioner_width: int | None = None

    def __post_init__(self) -> None:
        if (self.start is None) == (self.network is None):
            raise ConfigError("give either start (a model) or network (a new one)")
        if self.backbone_weights and self.start:
            raise ConfigError("backbone_weights are for a new network; start brings its own")


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """One data set."""

    path: str
    #: one of `anytag.data.sources.KINDS`
    kind: str = "auto"
    #: folder of the pictures, where it is not near the annotations
    images: str | None = None
    #: whether tags that are not named are absent; False = not known
    exhaustive: bool = True

    def __post_init__(self) -> None:
        if self.kind != "auto" and self.kind not in KINDS:
            raise ConfigError(f"kind must be auto or one of {', '.join(KINDS)}; found {self.kind}")


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Random changes of the pictures (`anytag.training.augment`)."""

    #: least and most share of the picture's area in a crop
    crop_area: tuple[float, ...] = (0.5, 1.0)
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

    train: tuple[SourceConfig, ...]
    #: validation sets; none = one record in `val_every` of the training sets is kept for it
    val: tuple[SourceConfig, ...] = ()
    val_every: int = 20
    #: labels.json or a tag list; None = "model", or "data" where the model is fine-tuned to the
    #: tags that occur in the data
    labels: str = "model"
    #: WordPiece vocabulary for captions; None = the model's own
    vocabulary: str | None = None
    #: parse captions to tags where the records hold none
    parse_captions: bool = True
    #: most tokens of a caption and of the tag text (paper: 40)
    max_tokens: int = 40
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    #: worker processes that decode
    num_workers: int = 2

    def __post_init__(self) -> None:
        if not self.train:
            raise ConfigError("train needs a data set")
        if self.val_every < 2:
            raise ConfigError("val_every must be at least 2")


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The terms of the loss (RAM, section 4; RAM++, section 3)."""

    captioning: bool = False
    distillation: bool = False
    #: RAM++: captions as queries
    alignment: bool = False
    gamma_neg: float = 7.0
    gamma_pos: float = 0.0
    clip: float = 0.05
    alignment_gamma_neg: float = 4.0
    label_smoothing: float = 0.1
    #: weight of tagging and alignment (each summed over tags, mean over pictures); where captions
    #: are learned tagging is rescaled to their loss instead
    tagging_weight: float = 1.0
    distillation_weight: float = 1.0
    #: frozen image encoder that is distilled: "clip:ID", "timm:NAME", "transformers:ID" or
    #: "model:DIR" (the mean token of a model directory)
    teacher: str | None = None
    #: text encoder for alignment, as `ModelConfig.start`'s if None
    text_teacher: str | None = None

    def __post_init__(self) -> None:
        if self.distillation and self.teacher is None:
            raise ConfigError(
                "distillation needs a teacher, e.g. clip:openai/clip-vit-base-patch16"
            )


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW and its schedule."""

    lr: float = 1e-4
    #: of the backbone, times `lr`
    backbone_lr_scale: float = 1.0
    #: "step" multiplies by `decay` after each epoch (pre-training); "cosine" falls to min_lr
    schedule: str = "cosine"
    decay: float = 0.9
    min_lr: float = 0.0
    warmup_steps: int = 0
    warmup_lr: float = 5e-7
    weight_decay: float = 0.05
    #: whether biases and norms decay too, as in the published code
    decay_all: bool = False
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

    epochs: int = 5
    #: pictures a step, over all processes and accumulated parts
    batch_size: int = 32
    #: parts that a process's share of a batch is cut into
    accumulate: int = 1
    #: "float32", "bfloat16" or "float16" (autocast)
    precision: str = "float32"
    #: recompute the backbone's activations in the backward pass
    checkpoint_activations: bool = False
    #: "none" (one process or DDP) or "full" (FSDP)
    shard: str = "none"
    seed: int = 0
    #: steps between saved states; None = at the end of each epoch
    save_every: int | None = None
    #: steps between validations; None = at the end of each epoch
    validate_every: int | None = None
    #: stop after so many steps; None = epochs decide
    max_steps: int | None = None
    log_every: int = 10
    tensorboard: bool = True
    wandb: bool = False

    def __post_init__(self) -> None:
        if self.precision not in ("float32", "bfloat16", "float16"):
            raise ConfigError(f"precision {self.precision!r}: float32, bfloat16 or float16")
        if self.shard not in ("none", "full"):
            raise ConfigError(f"shard must be none or full, found {self.shard!r}")
        if min(self.epochs, self.batch_size, self.accumulate) < 1:
            raise ConfigError("epochs, batch_size and accumulate must be at least 1")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A whole training run."""

    output: str
    model: ModelConfig
    data: DataConfig
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        if self.loss.alignment and self.loss.captioning:
            raise ConfigError("captioning is RAM's and Tag2Text's, alignment RAM++'s; choose one")
