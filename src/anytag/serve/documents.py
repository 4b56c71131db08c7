"""OpenAPI: what the framework cannot see, because bodies are read by hand.

The models of bodies are put among the schemas of the document by `add_schemas`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from anytag.serve.schemas import ErrorResponse

_REFERENCE = "#/components/schemas/{model}"
_RETRY = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}

#: of every endpoint of the API
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse, "description": text}
    for status, text in {
        400: "The body cannot be read.",
        401: "No known API key.",
        403: "The server fetches no URLs.",
        404: "No such model.",
        408: "The body came too slowly.",
        409: "The model cannot do this.",
        413: "Too many bytes, pixels or images.",
        415: "Not an image, or not a content type that is read.",
        422: "An option is wrong, or the image is damaged.",
        429: "Too much work at the moment.",
        503: "Not enough memory, or no model.",
        504: "The answer was not ready in time.",
    }.items()
}
ERRORS[429]["headers"] = _RETRY
ERRORS[503]["headers"] = _RETRY


def body(model: type[BaseModel], *, file: str) -> dict[str, Any]:
    """The request body of an endpoint: a form, JSON, or the image as it is.

    Args:
        model: of the JSON body
        file: form field of the image, or of each of them
    """
    options = {
        name: value
        for name, value in model.model_json_schema()["properties"].items()
        if name not in ("image", "images", "url", "name")
    }
    one = {"type": "string", "format": "binary"}
    files = {"type": "array", "items": one} if file == "images" else one
    form = {"type": "object", "properties": {file: files, "url": {"type": "string"}, **options}}
    content = {
        "multipart/form-data": {"schema": form},
        "application/json": {"schema": {"$ref": _REFERENCE.format(model=model.__name__)}},
    }
    if file == "image":
        content["image/*"] = {"schema": one}
    return {"requestBody": {"required": True, "content": content}}


def query(options: type[BaseModel]) -> dict[str, Any]:
    """Options of an endpoint as query parameters; the body's count more."""
    properties = options.model_json_schema()["properties"]
    return {
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": schema.get("description", ""),
                "schema": {key: value for key, value in schema.items() if key != "description"},
            }
            for name, schema in properties.items()
        ]
    }


def add_schemas(document: dict[str, Any], models: Sequence[type[BaseModel]]) -> dict[str, Any]:
    """The framework's document with the models of bodies, and with how keys are given."""
    _, found = models_json_schema(
        [(model, "validation") for model in models], ref_template=_REFERENCE
    )
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(found["$defs"])
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    return document
