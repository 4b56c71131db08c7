"""Configuration of the data engine: plain dataclasses, read from YAML.

    output: engine/round1
    data: [{path: coco/annotations, images: coco/val2017}]

Every other key has a default.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from anytag.data.sources import KINDS
from anytag.errors import ConfigError

#: `EngineConfig.steps`
STEPS = ("generate", "clean")
#: `CleanConfig.rules`
RULES = ("outlier", "crop", "unseen", "unsure")
#: `GroundConfig.detector`, besides "grounding-dino:ID"
DETECTORS = ("windows", "attention")
GROUNDING_DINO = "grounding-dino:"


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """One data set."""

    path: str
    #: one of `anytag.data.sources.KINDS`
    kind: str = "auto"
    #: folder of the pictures, where it is not near the annotations
    images: str | None = None

    def __post_init__(self) -> None:
        if self.kind != "auto" and self.kind not in KINDS:
            raise ConfigError(f"kind must be auto or one of {', '.join(KINDS)}; found {self.kind}")


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """What the baseline model adds."""

    #: tags that it may give: "model" (its own), "data" (those that occur in the data), or a file
    #: of tags, one a line
    vocabulary: str = "model"
    #: least score of a tag that is added: None = each tag's own threshold in the model
    threshold: float | None = None
    #: write captions and parse them to tags; None = if the model can. Tags that only a caption of
    #: nano's names are right less often than those that it scores
    captions: bool | None = False
    #: images that are decoded and scored together
    batch_size: int = 32

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ConfigError(f"threshold must lie in [0, 1], found {self.threshold}")
        if self.batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1, found {self.batch_size}")


@dataclass(frozen=True, kw_only=True)
class GroundConfig:
    """Where a tag is looked for in its pictures."""

    #: "windows", "attention", or "grounding-dino:" and a folder or hub id
    detector: str = "windows"
    #: least score of a region; its meaning is the detector's. None = the detector's own default
    box_threshold: float | None = None
    #: most regions of a tag in a picture, the best ones
    max_regions: int = 1

    def __post_init__(self) -> None:
        model = self.detector.removeprefix(GROUNDING_DINO)
        if self.detector not in DETECTORS and model in ("", self.detector):
            raise ConfigError(
                f"detector must be {', '.join(DETECTORS)} or {GROUNDING_DINO}FOLDER, "
                f"found {self.detector!r}"
            )
        if self.box_threshold is not None and not 0 <= self.box_threshold <= 1:
            raise ConfigError(f"box_threshold must lie in [0, 1], found {self.box_threshold}")
        if self.max_regions < 1:
            raise ConfigError(f"max_regions must be at least 1, found {self.max_regions}")


@dataclass(frozen=True, kw_only=True)
class CleanConfig:
    """Which tags are removed (`anytag.engine.clean`)."""

    #: of `RULES`; "outlier" and "crop" are the paper's
    rules: tuple[str, ...] = ("unseen", "unsure")
    #: tags that are cleaned, by name; empty = the most frequent
    categories: tuple[str, ...] = ()
    #: how many of the most frequent (paper: 534)
    num_categories: int = 534
    #: fewer regions than this are not clustered
    min_regions: int = 20
    #: share of a category's regions that are outlying
    outlier_share: float = 0.1
    #: regions a cluster, on average; decides how many clusters there are
    regions_per_cluster: int = 50
    #: most clusters of a category
    max_clusters: int = 20
    #: more regions than this are clustered in mini-batches
    minibatch_from: int = 10_000
    #: of the tag's threshold, in log-odds below it: less on the crop counts as not predicted
    crop_margin: float = 0.0
    #: pictures, drawn from the data, on which all categories are looked for: what "unseen" and
    #: "unsure" learn from; 0 = none, for the other rules
    num_background: int = 500
    #: a tag without a region is removed instead of kept
    drop_without_region: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for rule in self.rules:
            if rule not in RULES:
                raise ConfigError(f"rules: {rule!r} is none of {', '.join(RULES)}")
        if not 0 <= self.outlier_share < 1:
            raise ConfigError(f"outlier_share must lie in [0, 1), found {self.outlier_share}")
        counts = ("num_categories", "min_regions", "regions_per_cluster", "max_clusters")
        for name in (*counts, "minibatch_from"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, found {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """A run of the engine: one round."""

    #: folder of all that the run writes
    output: str
    data: tuple[DataConfig, ...]
    #: the baseline: nano, a model directory, or a hub id
    model: str = "nano"
    device: str = "auto"
    #: "auto", "float32", "bfloat16" or "float16"
    dtype: str = "auto"
    #: of `STEPS`: without "generate" nothing is added, without "clean" nothing is removed
    steps: tuple[str, ...] = STEPS
    #: records of a shard: what is lost when the run is killed
    shard_size: int = 1000
    generate: GenerateConfig = field(default_factory=GenerateConfig)
    ground: GroundConfig = field(default_factory=GroundConfig)
    clean: CleanConfig = field(default_factory=CleanConfig)

    def __post_init__(self) -> None:
        if not self.data:
            raise ConfigError("data needs a data set")
        if not self.steps or not set(self.steps) <= set(STEPS):
            raise ConfigError(f"steps: expected some of {', '.join(STEPS)}; found {self.steps}")
        if self.shard_size < 1:
            raise ConfigError(f"shard_size must be at least 1, found {self.shard_size}")
