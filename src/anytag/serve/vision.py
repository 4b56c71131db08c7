"""Google Cloud Vision's endpoint for labels, so that its clients work with another address.

Source: the public reference of ``images:annotate`` (REST, v1). Labels are those of
`LABEL_DETECTION`; other features get an error in their response, as images that cannot be read do.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from anytag.inference.selection import TagSelector
from anytag.inference.stream import Scored
from anytag.serve.api import check_number, count, service_of
from anytag.serve.config import ServeConfig
from anytag.serve.documents import ERRORS
from anytag.serve.errors import VISION_PATH, ApiError, as_api_error
from anytag.serve.inputs import Picture, base64_picture, check, read_json
from anytag.serve.middleware import info_of
from anytag.serve.wire import as_json

router = APIRouter()

#: the feature's name, and its number in clients that send numbers
LABELS = ("LABEL_DETECTION", 4)
_DEFAULT_RESULTS = 10
#: google.rpc.Code
_INVALID, _INTERNAL = 3, 13
#: by HTTP status
_CODES = {403: 7, 429: 8, 500: _INTERNAL, 501: 12, 503: 14, 504: 4}


class _Lenient(BaseModel):
    """Keys that Google knows and we do not are passed over."""

    model_config = ConfigDict(extra="ignore")


class Source(_Lenient):
    """Where an image is."""

    imageUri: str | None = None
    gcsImageUri: str | None = None


class Image(_Lenient):
    """An image."""

    content: str | None = Field(None, description="The file in base64.")
    source: Source | None = None


class Feature(_Lenient):
    """What is asked of it."""

    type: str | int = Field(description="LABEL_DETECTION")
    maxResults: int = Field(0, ge=0, description="Most labels; 0 = 10.")


class AnnotateRequest(_Lenient):
    """One image."""

    image: Image
    features: list[Feature]


class BatchAnnotateRequest(_Lenient):
    """Body of `images:annotate`."""

    requests: list[AnnotateRequest]


class Label(BaseModel):
    """One tag."""

    mid: str
    description: str
    score: float
    topicality: float


class Status(BaseModel):
    """Why there is nothing."""

    code: int
    message: str


class AnnotateResponse(BaseModel):
    """Of one image; without labels the key is absent."""

    labelAnnotations: list[Label] | None = None
    error: Status | None = None


class BatchAnnotateResponse(BaseModel):
    """Answer of `images:annotate`."""

    responses: list[AnnotateResponse]


@router.post(
    VISION_PATH,
    summary="Labels, in the shape of Google Cloud Vision",
    responses={200: {"model": BatchAnnotateResponse}, **ERRORS},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/BatchAnnotateRequest"}
                }
            },
        }
    },
)
async def annotate(request: Request) -> Response:
    """`LABEL_DETECTION` of images in `content` or, where allowed, at `source.imageUri`."""
    service, info = service_of(request), info_of(request.scope)
    async with service.visit(request) as visit:
        values = await visit.read(read_json)
        asked = check(BatchAnnotateRequest, values).requests
        pictures = [_picture(one, service.config) for one in asked]
        good = [picture for picture in pictures if isinstance(picture, Picture)]
        if not asked:
            return as_json({"responses": []})
        check_number(len(asked), service.config)
        model = service.models.get(None)
        info.model, info.num_images = model.name, len(asked)
        visit.ticket.add_images(max(0, len(good) - 1))
        found = iter(await visit.run_all(model, good, lambda: model.scoring([], extend=False)))
        results = [next(found) if isinstance(one, Picture) else one for one in pictures]
        count(service, model, [_outcome(one) for one in results])
        responses = [
            _response(one, each.features, model.tagger.labels)
            for one, each in zip(results, asked, strict=True)
        ]
        return as_json({"responses": responses})


def _picture(one: AnnotateRequest, config: ServeConfig) -> Picture | ApiError:
    kinds = {feature.type for feature in one.features}
    if not kinds & set(LABELS):
        names = ", ".join(sorted(map(str, kinds))) or "none"
        return ApiError(501, "unimplemented", f"only LABEL_DETECTION is done here, asked: {names}")
    source = one.image.source or Source()
    if one.image.content:
        try:
            return base64_picture(one.image.content, None, config)
        except ApiError as error:
            return error
    address = source.imageUri or source.gcsImageUri
    if not address:
        return ApiError(422, "no_image", "an image needs content or source.imageUri")
    if address.startswith("gs://"):
        return ApiError(422, "fetch", "Google Cloud Storage is not read; use an https address")
    return Picture(url=address)


def _outcome(found: Scored[Any] | Exception) -> dict[str, Any]:
    error = {"type": as_api_error(found).kind} if isinstance(found, Exception) else None
    return {"error": error}


def _response(
    found: Scored[Any] | Exception, features: list[Feature], labels: Any
) -> dict[str, Any]:
    if isinstance(found, Exception):
        error = as_api_error(found)
        return {"error": {"code": _CODES.get(error.status, _INVALID), "message": f"{error}"}}
    if found.scores is None:
        return {"error": {"code": _INTERNAL, "message": f"{found.error and found.error.message}"}}
    most = max(one.maxResults or _DEFAULT_RESULTS for one in features if one.type in LABELS)
    tags = TagSelector(labels, threshold="auto", top_k=most)(found.scores)
    return {
        "labelAnnotations": [
            {
                "mid": f"/anytag/{tag.id}",
                "description": tag.name,
                "score": round(tag.score, 6),
                "topicality": round(tag.score, 6),
            }
            for tag in tags
        ]
    }
