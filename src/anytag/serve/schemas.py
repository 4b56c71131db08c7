"""Requests and answers, as the documentation of the API shows them.

Requests are checked by these models. Answers are written as plain JSON and only described by them:
checking our own output would cost more than the rest of an answer; a test holds both together.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Threshold = Literal["auto"] | Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Options(BaseModel):
    """What every endpoint takes, in the query, as form fields or as keys of a JSON body."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(None, description="A name of `/v1/models`; else the default model.")


class TagOptions(Options):
    """Which tags are asked for, and which come back."""

    tags: list[str] = Field(
        [], description="Your own tags: these are asked for instead of the built-in ones."
    )
    extend: bool = Field(False, description="Ask for your own tags beside the built-in ones.")
    threshold: Threshold | None = Field(
        None, description="Least score: one for all in [0, 1], or `auto` for each tag's own."
    )
    top_k: int | None = Field(
        None, ge=1, description="Most tags; without `threshold` the best however low they score."
    )
    all_scores: bool = Field(False, description="Also give `names` and `scores` of all tags.")


class CaptionOptions(Options):
    """What guides the sentence."""

    tags: list[str] = Field([], description="Names that guide it; none: the tags that are found.")


class ExplainOptions(Options):
    """Which tag is explained, and how."""

    tag: str = Field(description="A tag of the model, or one of your own.")
    method: Literal["occlusion", "gradient", "relevance", "attention"] = Field(
        "occlusion", description="How places are weighed; `attention` is the fastest."
    )
    format: Literal["json", "png"] = Field(
        "json", description="The grid as numbers, or the photo with the heatmap over it."
    )


class ImageInput(BaseModel):
    """One image in a JSON body: its bytes or its address."""

    model_config = ConfigDict(extra="forbid")

    image: str | None = Field(None, description="The file in base64.")
    url: str | None = Field(None, description="Where it is; only if the server allows URLs.")
    name: str | None = Field(None, description="Comes back as `path`.")


class TagRequest(TagOptions, ImageInput):
    """Body of `/v1/tag`."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"image": "/9j/4AAQSkZJRgABAQAAAQABAAD...", "top_k": 5}}
    )


class BatchRequest(TagOptions):
    """Body of `/v1/tag/batch`."""

    images: list[ImageInput | str] = Field(description="Images, or just their base64 texts.")


class CaptionRequest(CaptionOptions, ImageInput):
    """Body of `/v1/caption`."""


class ExplainRequest(ExplainOptions, ImageInput):
    """Body of `/v1/explain`."""


class TagAnswer(BaseModel):
    """One tag of one image."""

    name: str
    score: float = Field(description="Sigmoid probability; tags are independent of each other.")
    threshold: float
    id: int
    kind: str | None


class ItemErrorAnswer(BaseModel):
    """Why one image of a batch has no tags."""

    type: str
    message: str


class Record(BaseModel):
    """Tags of one image: the record that `anytag tag --format jsonl` writes."""

    path: str | None = Field(description="Name of the uploaded file, or the URL.")
    sha256: str | None
    width: int | None
    height: int | None
    model: str
    tags: list[TagAnswer]
    caption: str | None
    error: ItemErrorAnswer | None
    names: list[str] | None = Field(None, description="With `all_scores`.")
    scores: list[float] | None = Field(None, description="With `all_scores`; beside `names`.")


class TagResponse(Record):
    """Answer of `/v1/tag`."""

    elapsed_ms: float


class BatchResponse(BaseModel):
    """Answer of `/v1/tag/batch`: one record an image, in their order."""

    results: list[Record]
    elapsed_ms: float


class CaptionResponse(BaseModel):
    """Answer of `/v1/caption`."""

    caption: str
    model: str
    tags: list[TagAnswer] = Field(description="What was found in the image.")
    elapsed_ms: float


class Heatmap(BaseModel):
    """A grid of the network's places over the whole image."""

    width: int
    height: int
    values: list[float] = Field(description="Row by row, in [0, 1].")


class ExplainResponse(BaseModel):
    """Answer of `/v1/explain`."""

    tag: str
    score: float
    heatmap: Heatmap
    box: list[int] | None = Field(
        description="Left, top, right, bottom in pixels of the image; null where nothing speaks "
        "for the tag."
    )
    width: int = Field(description="Of the image.")
    height: int
    method: str
    model: str
    elapsed_ms: float


class ModelAnswer(BaseModel):
    """A model that can be asked."""

    name: str
    version: str
    num_tags: int
    own_tags: str = Field(description="`any`, `no text encoder` or `none`.")
    captioner: bool
    explains: bool
    image_size: int
    default: bool
    tags_url: str


class Features(BaseModel):
    """What the server was started with; a page can show its controls by them."""

    urls: bool
    keys: bool
    max_image_bytes: int
    max_images: int
    max_tags: int


class ModelsResponse(BaseModel):
    """Answer of `/v1/models`."""

    models: list[ModelAnswer]
    server: Features


class LabelAnswer(BaseModel):
    """A tag that a model knows."""

    id: int
    name: str
    threshold: float
    kind: str | None
    synonyms: list[str]


class LabelsResponse(BaseModel):
    """Answer of `/v1/models/{name}/tags`."""

    model: str
    tags: list[LabelAnswer]


class StateResponse(BaseModel):
    """Answer of `/healthz` and `/readyz`."""

    status: str


class ErrorBody(BaseModel):
    """What went wrong."""

    type: str
    message: str
    request_id: str


class ErrorResponse(BaseModel):
    """Answer of every request that fails."""

    error: ErrorBody
