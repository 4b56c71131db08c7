"""Errors as answers: a status, a stable word and a sentence."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from anytag.errors import AnytagError, FetchError, ImageError, LabelError, ModelError, UsageError
from anytag.inference.results import ItemError
from anytag.inference.stream import item_error
from anytag.serve.admission import BusyError
from anytag.serve.wire import as_json

#: of an image that cannot be read, by `ImageError.kind`; what is not here is 422
_IMAGE_STATUS = {
    "too_large": 413,
    "too_many_pixels": 413,
    "not_an_image": 415,
    "unsupported": 415,
}
#: words for the statuses that the framework itself gives
_WORDS = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}
#: what Google's API calls them, google.rpc.Code by HTTP status
_GOOGLE = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
VISION_PATH = "/v1/images:annotate"
#: a fault of ours, and nobody else's
INTERNAL = 500


class ApiError(Exception):
    """A request that gets no result."""

    def __init__(
        self, status: int, kind: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.headers = headers or {}


class ClientGoneError(Exception):
    """The connection was closed before the answer; there is nobody to tell."""


def as_api_error(error: Exception) -> ApiError:
    """The answer to any exception; 500 means a fault of ours."""
    match error:
        case ApiError():
            return error
        case BusyError():
            return ApiError(429, "busy", f"{error}", {"Retry-After": f"{error.retry_after}"})
        case ImageError():
            return ApiError(_IMAGE_STATUS.get(error.kind, 422), error.kind, f"{error}")
        case FetchError():
            return ApiError(422, "fetch", f"{error}")
        case LabelError():
            return ApiError(422, "tags", f"{error}")
        case UsageError():
            return ApiError(422, "invalid", f"{error}")
        case ModelError():
            return ApiError(409, "model", f"{error}")
        case MemoryError():
            return ApiError(503, "out_of_memory", "not enough memory for this", _again())
        case AnytagError():
            return ApiError(422, "invalid", f"{error}")
    return ApiError(INTERNAL, "internal", "something went wrong here; the log has more")


def framework_error(status: int, detail: object) -> ApiError:
    """An error that the framework raised: no such path, wrong method."""
    return ApiError(status, _WORDS.get(status, "invalid"), f"{detail}")


def item_record(error: Exception) -> ItemError:
    """The record of one image among many."""
    if isinstance(error, ApiError | BusyError):
        return ItemError(type=as_api_error(error).kind, message=f"{error}")
    found = item_error(error)
    if found.type == "unexpected":
        return ItemError(type="internal", message=f"{as_api_error(error)}")
    return found


def error_response(error: ApiError, path: str, request_id: str) -> Response:
    """The body: our shape, and for Google's clients the keys that they look for beside it."""
    content: dict[str, Any] = {
        "type": error.kind,
        "message": f"{error}",
        "request_id": request_id,
    }
    if path == VISION_PATH:
        status = _GOOGLE.get(error.status, "INVALID_ARGUMENT")
        content = {"code": error.status, "status": status, **content}
    return as_json({"error": content}, error.status, error.headers)


def _again() -> dict[str, str]:
    return {"Retry-After": "5"}
