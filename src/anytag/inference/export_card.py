"""``export.json``: what an exported model is, and how it compares with the one it was made from."""

from __future__ import annotations

from dataclasses import dataclass

from anytag.checkpoints.find import check_format
from anytag.errors import ConfigError

CARD = "export.json"
#: endings of the graphs by backend
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml"}
FAMILIES = ("plain", "ram", "ram_plus", "tag2text")


@dataclass(frozen=True, kw_only=True)
class Parity:
    """What an exported model changes, measured on photos when it was exported."""

    #: "photos" of the user, or "made" pictures
    images: str
    num_images: int
    num_tags: int
    #: largest of all |exported - torch|
    max_logit_difference: float
    max_score_difference: float
    #: tags of all images at each tag's own threshold, in torch
    num_given: int
    #: given by one of the two alone
    num_tags_changed: int
    #: images of which at least one tag changed
    num_images_changed: int
    #: mean over tags of the average precision, where photos with known classes were given
    map_torch: float | None = None
    map_exported: float | None = None


@dataclass(frozen=True, kw_only=True)
class ExportCard:
    """``export.json``."""

    format: int
    name: str
    #: that of the exported model; "+int8" behind it where the network is quantised
    version: str
    #: "onnx" or "openvino"
    backend: str
    #: one of `FAMILIES`
    family: str
    int8: bool
    #: S
    image_size: int
    #: E
    text_width: int
    #: W
    token_width: int
    #: what the graph subtracts from RGB in [0, 1], and by what it then divides
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    #: threshold of tags that are not in labels.json
    open_threshold: float
    #: kind of text encoder in text_encoder/: "static", "clip", or None where there is none
    text_encoder: str | None
    #: decode JPEGs at full size, as the published code of this model does
    exact_pixels: bool
    parity: Parity | None = None

    def __post_init__(self) -> None:
        check_format(self.format)
        for value, known in ((self.backend, SUFFIXES), (self.family, FAMILIES)):
            if value not in known:
                raise ConfigError(f"{value!r} is none of {', '.join(known)}")
