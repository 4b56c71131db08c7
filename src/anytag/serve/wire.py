"""JSON as it goes over the wire."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response


def as_json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer; the standard library writes it faster than a model could check it."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # A name or a message may hold halves of surrogate pairs, which UTF-8 cannot.
    data = text.encode("utf-8", "replace")
    return Response(data, status, headers, media_type="application/json")
