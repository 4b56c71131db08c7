"""Logs as JSON lines on standard error: one for each request, and what the server itself says."""

from __future__ import annotations

import json
import logging
import sys
import time
from datetime import datetime, timezone
from typing import Any

#: of lines about requests
requests = logging.getLogger("anytag.serve.requests")

_FIELDS = "fields"


class JsonLines(logging.Formatter):
    """``{"time", "level", "event", ...}``; an exception's traceback is the key ``traceback``."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def log(logger: logging.Logger, level: int, event: str, **fields: object) -> None:
    """A line with fields."""
    logger.log(level, event, extra={_FIELDS: fields})


def log_to_stderr(*, log_requests: bool) -> None:
    """Send the logs of this process there; the command calls this, libraries must not."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name, level in (
        ("anytag", logging.INFO),
        ("uvicorn", logging.WARNING),
        ("py.warnings", logging.WARNING),
    ):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
    requests.setLevel(logging.INFO if log_requests else logging.WARNING)
    logging.captureWarnings(True)


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._started = time.perf_counter()

    @property
    def ms(self) -> float:
        """Milliseconds, to a hundredth."""
        return round((time.perf_counter() - self._started) * 1000, 2)
