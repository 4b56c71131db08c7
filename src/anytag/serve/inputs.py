"""Bodies of requests to images and options: multipart forms, JSON, or an image as it is.

A body is counted while it comes in: what is over a limit is never held.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, ImmutableMultiDict, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from anytag.serve.admission import Ticket
from anytag.serve.config import ServeConfig
from anytag.serve.errors import ApiError, ClientGoneError
from anytag.serve.schemas import ImageInput

M = TypeVar("M", bound=BaseModel)

#: form fields and keys that hold images
IMAGE_KEYS = ("image", "images", "file", "url", "name")
_ENCODED_PER_BYTE = 4 / 3
_NOT_BASE64 = "the image is not valid base64"


@dataclass(frozen=True, slots=True)
class Picture:
    """An image that came with a request, not decoded yet."""

    #: the file, or what gives it: base64 is unpacked in a decoding thread
    data: bytes | Callable[[], bytes] | None = None
    url: str | None = None
    #: of the uploaded file
    name: str | None = None

    @property
    def path(self) -> str | None:
        """For the record."""
        return self.name if self.name is not None else self.url

    def content(self) -> bytes:
        """The file.

        Raises:
            ApiError: it is not valid base64, or too large
        """
        assert self.data is not None  # what has an address is fetched before
        return self.data if isinstance(self.data, bytes) else self.data()


@dataclass(slots=True)
class Body:
    """Images of a request, and its options as they came."""

    pictures: list[Picture] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)


class _InMemory(MultiPartParser):
    """Parts stay in memory: the body is limited, and disks are slow."""

    spool_max_size = max_file_size = 1 << 40  # the second is its name before starlette 0.40


async def read_bytes(request: Request, config: ServeConfig, ticket: Ticket) -> bytes:
    """The whole body.

    Raises:
        ApiError: it is too large
        BusyError: too much is held at the moment
        ClientGoneError: the client has gone
    """
    return b"".join([chunk async for chunk in _chunks(request, config, ticket)])


async def read_json(request: Request, config: ServeConfig, ticket: Ticket) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ApiError: it is none, or too large
        BusyError: too much is held at the moment
        ClientGoneError: the client has gone
    """
    data = await read_bytes(request, config, ticket)
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:  # also bytes that are no Unicode
        raise ApiError(400, "bad_json", f"the body is not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise ApiError(422, "invalid", "the body must be a JSON object")
    return values


async def read_body(request: Request, config: ServeConfig, ticket: Ticket) -> Body:
    """Images and options of a request, whatever its content type.

    Raises:
        ApiError: the body is wrong or too large
        BusyError: too much is held at the moment
        ClientGoneError: the client has gone
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _read_form(request, config, ticket)
    if kind == "application/json":
        return _json_body(await read_json(request, config, ticket), config)
    if kind.startswith("image/") or kind == "application/octet-stream":
        data = await read_bytes(request, config, ticket)
        return Body(pictures=[Picture(data=data)])
    raise ApiError(
        415,
        "unsupported_media_type",
        f"expected multipart/form-data, application/json or image/*, found {kind or 'no type'}",
    )


def options_of(kind: type[M], query: ImmutableMultiDict[str, str], body: Mapping[str, Any]) -> M:
    """Options from query and body, of which the body's count more.

    Raises:
        ApiError: a value or a name is wrong
    """
    values = {**_fold(query.multi_items()), **body}
    return check(kind, values)


def check(kind: type[M], values: Mapping[str, Any]) -> M:
    """Values as a model.

    Raises:
        ApiError: one is wrong
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"][:3])
        raise ApiError(422, "invalid", f"{where}: {first['msg']}") from error


def base64_picture(text: str, name: str | None, config: ServeConfig) -> Picture:
    """An image in base64, of either alphabet; unpacked later.

    Raises:
        ApiError: it is too large
    """
    if len(text) > config.max_image_bytes * _ENCODED_PER_BYTE + 4:
        raise too_large(config)
    return Picture(data=lambda: _unpack(text), name=name)


def too_large(config: ServeConfig) -> ApiError:
    """For an image that has too many bytes."""
    return ApiError(413, "too_large", f"the limit is {config.max_image_bytes:,} bytes an image")


def _unpack(text: str) -> bytes:
    if text.startswith("data:"):  # as a page's FileReader gives it
        text = text.partition(",")[2]
    try:
        data = text.encode("ascii").translate(bytes.maketrans(b"-_", b"+/"), b"\r\n\t ")
        return base64.b64decode(data + b"=" * (-len(data) % 4), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise ApiError(400, "bad_base64", _NOT_BASE64) from error


async def _chunks(
    request: Request, config: ServeConfig, ticket: Ticket
) -> AsyncGenerator[bytes, None]:
    limit = config.max_request_bytes
    refused = ApiError(413, "too_large", f"the limit is {limit:,} bytes a request")
    announced = request.headers.get("content-length", "")
    known = int(announced) if announced.isdecimal() else 0
    if known > limit:
        raise refused
    ticket.add_bytes(known)
    total = 0
    try:
        async for chunk in request.stream():
            total += len(chunk)
            if total > limit:
                raise refused
            if total > known:  # sent in chunks, with no length before
                ticket.add_bytes(total - known)
                known = total
            yield chunk
    except ClientDisconnect as error:
        raise ClientGoneError from error


async def _read_form(request: Request, config: ServeConfig, ticket: Ticket) -> Body:
    parser = _InMemory(
        request.headers,
        _chunks(request, config, ticket),
        max_files=config.max_images,
        max_fields=config.max_tags + config.max_images + 16,
    )
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError) as error:  # the second: python-multipart's own
        raise ApiError(400, "bad_form", f"the form cannot be read: {error}") from error
    try:
        return await _form_body(form, config)
    finally:
        await form.close()


async def _form_body(form: FormData, config: ServeConfig) -> Body:
    body = Body()
    fields: list[tuple[str, str]] = []
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if name not in ("image", "images", "file"):
                raise ApiError(422, "invalid", f"unexpected file in field {name!r}; say image")
            body.pictures.append(_file(await value.read(), value.filename, config))
        elif name == "url":
            body.pictures.append(Picture(url=value))
        elif name in IMAGE_KEYS:
            raise ApiError(422, "invalid", f"field {name!r} must be a file")
        else:
            fields.append((name, value))
    body.options = _fold(fields)
    return body


def _file(data: bytes, name: str | None, config: ServeConfig) -> Picture:
    if len(data) > config.max_image_bytes:
        return Picture(data=_raiser(too_large(config)), name=name)
    return Picture(data=data, name=name or None)


def _raiser(error: Exception) -> Callable[[], bytes]:
    """For one image of many: the others are done."""

    def refuse() -> bytes:
        raise error

    return refuse


def _json_body(values: dict[str, Any], config: ServeConfig) -> Body:
    options = {name: value for name, value in values.items() if name not in IMAGE_KEYS}
    body = Body(options=options)
    many = values.get("images", [])
    if not isinstance(many, list):
        raise ApiError(422, "invalid", "images: must be a list")
    one = {name: values[name] for name in ("image", "url", "name") if name in values}
    for item in [one, *many] if one else many:
        if isinstance(item, str):
            item = {"image": item}
        body.pictures.append(_input_picture(check(ImageInput, item), config))
    return body


def _input_picture(item: ImageInput, config: ServeConfig) -> Picture:
    if (item.image is None) == (item.url is None):
        raise ApiError(422, "invalid", "an image needs either image (base64) or url")
    if item.image is None:
        return Picture(url=item.url, name=item.name)
    try:
        return base64_picture(item.image, item.name, config)
    except ApiError as error:
        return Picture(data=_raiser(error), name=item.name)


def _fold(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Fields by name; ``tags`` may come many times, or once as a JSON list.

    Raises:
        ApiError: another one comes twice
    """
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name == "tags":
            values.setdefault("tags", []).extend(_tag_names(value))
        elif name in values:
            raise ApiError(422, "invalid", f"{name}: given twice")
        else:
            values[name] = value
    return values


def _tag_names(value: str) -> list[Any]:
    if not value.lstrip().startswith("["):
        return [value]
    try:
        names = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ApiError(422, "invalid", "tags: not a valid JSON list") from error
    return list(names)
