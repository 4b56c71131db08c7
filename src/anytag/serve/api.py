"""The endpoints of our own API; `anytag.serve.vision` has Google's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from starlette.responses import Response

from anytag.data.images import ImageLimits, open_image
from anytag.inference.overlay import LONGEST, overlay, png
from anytag.serve import answers
from anytag.serve.config import ServeConfig
from anytag.serve.documents import ERRORS, body, query
from anytag.serve.errors import ApiError
from anytag.serve.inputs import Body, Picture, options_of, read_body
from anytag.serve.metrics import CONTENT_TYPE
from anytag.serve.middleware import info_of
from anytag.serve.models import ServedModel
from anytag.serve.schemas import (
    BatchRequest,
    BatchResponse,
    CaptionOptions,
    CaptionRequest,
    CaptionResponse,
    ExplainOptions,
    ExplainRequest,
    ExplainResponse,
    LabelsResponse,
    ModelsResponse,
    Options,
    StateResponse,
    TagOptions,
    TagRequest,
    TagResponse,
)
from anytag.serve.service import Service, Visit
from anytag.serve.wire import as_json

A = TypeVar("A", bound=Options)

router = APIRouter()


def service_of(request: Request) -> Service:
    """The state that `create_app` made."""
    service: Service = request.app.state.service
    return service


@router.post(
    "/v1/tag",
    summary="Tags of one image",
    responses={200: {"model": TagResponse}, **ERRORS},
    openapi_extra={**body(TagRequest, file="image"), **query(TagOptions)},
)
async def tag(request: Request) -> Response:
    """Send the image as the field `image` of a form, as `image/*`, or in base64 as JSON."""
    service, info = service_of(request), info_of(request.scope)
    async with service.visit(request) as visit:
        picture, options, model = await _opened(visit, request, TagOptions)
        check_tags(options.tags, service.config)
        scored = await visit.run(
            model, picture, lambda: model.scoring(options.tags, extend=options.extend)
        )
        answers.raise_error(scored)
        select = answers.selector(scored.item, options)
        record = answers.tag_record(picture, scored, scored.item, select, options)
        count(service, model, [record])
        return as_json({**record, "elapsed_ms": info.watch.ms})


@router.post(
    "/v1/tag/batch",
    summary="Tags of many images",
    responses={200: {"model": BatchResponse}, **ERRORS},
    openapi_extra={**body(BatchRequest, file="images"), **query(TagOptions)},
)
async def tag_batch(request: Request) -> Response:
    """One record an image, in their order; an image that cannot be read has `error` in its own."""
    service, info = service_of(request), info_of(request.scope)
    async with service.visit(request) as visit:
        sent = await visit.read(read_body)
        pictures = sent.pictures
        check_number(len(pictures), service.config)
        options = options_of(TagOptions, request.query_params, sent.options)
        check_tags(options.tags, service.config)
        model = _model(request, options.model, len(pictures))
        visit.ticket.add_images(len(pictures) - 1)
        scoring = await visit.compute(lambda: model.scoring(options.tags, extend=options.extend))
        select = answers.selector(scoring.tagger, options)
        found = await visit.run_all(model, pictures, lambda: scoring)
        records = [
            answers.tag_record(picture, one, scoring.tagger, select, options)
            for picture, one in zip(pictures, found, strict=True)
        ]
        count(service, model, records)
        return as_json({"results": records, "elapsed_ms": info.watch.ms})


@router.post(
    "/v1/caption",
    summary="A sentence about one image",
    responses={200: {"model": CaptionResponse}, **ERRORS},
    openapi_extra={**body(CaptionRequest, file="image"), **query(CaptionOptions)},
)
async def caption(request: Request) -> Response:
    """Only models with a captioner write one: see `captioner` of `/v1/models`."""
    service, info = service_of(request), info_of(request.scope)
    async with service.visit(request) as visit:
        picture, options, model = await _opened(visit, request, CaptionOptions)
        check_tags(options.tags, service.config)
        found = await visit.run(model, picture, lambda: model.captioning(options.tags))
        record = answers.caption_record(found, model)
        count(service, model, [record])
        return as_json({**record, "elapsed_ms": info.watch.ms})


@router.post(
    "/v1/explain",
    summary="Where one image shows a tag",
    responses={200: {"model": ExplainResponse, "content": {"image/png": {}}}, **ERRORS},
    openapi_extra={**body(ExplainRequest, file="image"), **query(ExplainOptions)},
)
async def explain(request: Request) -> Response:
    """A grid over the image in [0, 1] and a box around its strongest part; or a picture of both."""
    service, info = service_of(request), info_of(request.scope)
    async with service.visit(request) as visit:
        picture, options, model = await _opened(visit, request, ExplainOptions)
        check_tags([options.tag], service.config)
        picture = await visit.fetch(picture)  # here, since a picture of it may be drawn too
        found = await visit.run(
            model, picture, lambda: model.explaining(options.tag, options.method)
        )
        record = answers.explain_record(found, model)
        count(service, model, [record])
        if options.format == "json":
            return as_json({**record, "elapsed_ms": info.watch.ms})

        def draw() -> bytes:
            limits = ImageLimits(
                max_bytes=service.config.max_image_bytes, max_pixels=service.config.max_pixels
            )
            photo = open_image(picture.content(), limits=limits, target_size=LONGEST)
            return png(overlay(photo, found.grid, found.box, f"{found.tag} {found.score:.2f}"))

        return Response(await visit.compute(draw), media_type="image/png")


@router.get(
    "/v1/models",
    summary="Models that can be asked",
    responses={200: {"model": ModelsResponse}, **ERRORS},
)
async def models(request: Request) -> Response:
    """Their names, and what each can do."""
    service = service_of(request)
    config = service.config
    default = service.models.get(None)
    records = [answers.model_record(model, default=model is default) for model in service.models]
    features = {
        "urls": config.allow_urls,
        "keys": bool(config.key_digests),
        "max_image_bytes": config.max_image_bytes,
        "max_images": config.max_images,
        "max_tags": config.max_tags,
    }
    return as_json({"models": records, "server": features})


@router.get(
    "/v1/models/{name}/tags",
    summary="Tags that a model knows",
    responses={200: {"model": LabelsResponse}, **ERRORS},
)
async def model_tags(request: Request, name: str) -> Response:
    """In id order."""
    return as_json(answers.labels_record(service_of(request).models.get(name)))


@router.get("/healthz", summary="The server lives", responses={200: {"model": StateResponse}})
async def healthz() -> Response:
    """Always 200."""
    return as_json({"status": "ok"})


@router.get(
    "/readyz",
    summary="Send requests here",
    responses={200: {"model": StateResponse}, 503: {"model": StateResponse}},
)
async def readyz(request: Request) -> Response:
    """503 from the signal to stop on."""
    if service_of(request).draining:
        return as_json({"status": "draining"}, 503)
    return as_json({"status": "ready"})


@router.get(
    "/metrics",
    summary="Metrics in Prometheus' format",
    responses={200: {"content": {"text/plain": {}}}, 401: ERRORS[401]},
    response_class=Response,
)
async def metrics(request: Request) -> Response:
    """Requests, latency, images, errors, batch sizes and the length of the queue."""
    return Response(service_of(request).metrics.text(), media_type=CONTENT_TYPE)


def check_number(num: int, config: ServeConfig) -> None:
    """At least one image, and not too many.

    Raises:
        ApiError: otherwise
    """
    if not num:
        raise ApiError(422, "no_image", "no image; send at least one")
    if num > config.max_images:
        raise ApiError(
            413,
            "too_many_images",
            f"{num} images; the limit is {config.max_images} a request",
        )


def check_tags(tags: Sequence[str], config: ServeConfig) -> None:
    """Not too many, not too long, none empty.

    Raises:
        ApiError: otherwise
    """
    if len(tags) > config.max_tags:
        raise ApiError(
            422, "too_many_tags", f"{len(tags)} tags; the limit is {config.max_tags} a request"
        )
    for name in tags:
        unwritable = any("\ud800" <= letter <= "\udfff" for letter in name)
        if not name.strip() or len(name) > config.max_tag_length or unwritable:
            raise ApiError(422, "tags", f"a tag needs 1 to {config.max_tag_length} characters")


def count(service: Service, model: ServedModel, records: Sequence[dict[str, Any]]) -> None:
    """Note in the metrics what became of the images."""
    for record in records:
        error = record.get("error")
        if error is None:
            service.metrics.images.labels(model.name).inc()
        else:
            service.metrics.errors.labels(error["type"]).inc()


async def _opened(visit: Visit, request: Request, kind: type[A]) -> tuple[Picture, A, ServedModel]:
    """What a request about one image asks of which model; its address is not fetched yet."""
    sent = await visit.read(read_body)
    picture = _one(sent)
    options = options_of(kind, request.query_params, sent.options)
    return picture, options, _model(request, options.model, 1)


def _model(request: Request, name: str | None, num_images: int) -> ServedModel:
    model = service_of(request).models.get(name)
    info = info_of(request.scope)
    info.model, info.num_images = model.name, num_images
    return model


def _one(sent: Body) -> Picture:
    if len(sent.pictures) != 1:
        raise ApiError(
            422,
            "no_image" if not sent.pictures else "too_many_images",
            f"expected one image (field image, or url), found {len(sent.pictures)}",
        )
    return sent.pictures[0]
