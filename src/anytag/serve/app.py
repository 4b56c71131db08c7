"""The ASGI application: endpoints, the parts around them, errors, and the page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import HTMLResponse, Response

import anytag
from anytag.errors import AnytagError
from anytag.serve import api, schemas, vision
from anytag.serve.admission import BusyError
from anytag.serve.config import ServeConfig
from anytag.serve.docs_page import STYLE, docs_page
from anytag.serve.documents import add_schemas
from anytag.serve.errors import ApiError, framework_error
from anytag.serve.linger import Linger
from anytag.serve.middleware import Keys, Observe, answer_error
from anytag.serve.page import StaticPage
from anytag.serve.service import Service

#: bodies that are read by hand
_BODIES = (
    schemas.TagRequest,
    schemas.BatchRequest,
    schemas.CaptionRequest,
    schemas.ExplainRequest,
    vision.BatchAnnotateRequest,
)
STATIC = Path(__file__).parent / "static"
_ALLOWED_HEADERS = ["Authorization", "Content-Type", "X-API-Key", "X-Goog-Api-Key", "X-Request-ID"]


def create_app(config: ServeConfig) -> FastAPI:
    """A server's application; its models are loaded when this returns.

    Raises:
        AnytagError: a model cannot be loaded
    """
    service = Service(config)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        except asyncio.CancelledError:  # broken off: nobody waits for what is in work
            return
        service.close()

    app = FastAPI(
        title="anytag",
        version=anytag.__version__,
        lifespan=lifespan,
        docs_url=None,  # both load their scripts from elsewhere
        redoc_url=None,
    )
    app.state.service = service
    app.include_router(api.router)
    app.include_router(vision.router)
    _document(app)
    _handle_errors(app)
    # Not mounted: a mounted page would answer 404 where an endpoint answers 405.
    app.router.default = StaticPage(STATIC)
    if config.key_digests:
        app.add_middleware(Keys, service=service)
    if config.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(config.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=_ALLOWED_HEADERS,
            expose_headers=["X-Request-ID", "Retry-After"],
        )
    app.add_middleware(Linger, service=service)
    app.add_middleware(Observe, service=service)  # the last one added is the outermost
    return app


def _document(app: FastAPI) -> None:
    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title="anytag",
                version=anytag.__version__,
                description="Tags, captions and explanations of photos.",
                routes=app.routes,
            )
            app.openapi_schema = add_schemas(schema, _BODIES)
        return app.openapi_schema

    async def page(request: Request) -> Response:
        return HTMLResponse(docs_page(document(), f"{request.base_url}".rstrip("/")))

    async def style(request: Request) -> Response:
        return Response(STYLE, media_type="text/css")

    app.openapi = document  # type: ignore[method-assign]
    app.add_route("/docs", page, include_in_schema=False)
    app.add_route("/docs.css", style, include_in_schema=False)


def _handle_errors(app: FastAPI) -> None:
    async def handle(request: Request, error: Exception) -> Response:
        return answer_error(error, request.scope)

    async def handle_framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        found = framework_error(error.status_code, error.detail)
        found.headers = dict(error.headers or {})
        return answer_error(found, request.scope)

    async def handle_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer_error(ApiError(422, "invalid", f"{error.errors()[0]['msg']}"), request.scope)

    for kind in (ApiError, AnytagError, BusyError, MemoryError):
        app.add_exception_handler(kind, handle)
    app.add_exception_handler(HTTPException, handle_framework)
    app.add_exception_handler(RequestValidationError, handle_validation)
