"""A client for OpenAI-compatible chat endpoints: llama.cpp, Ollama, vLLM, hosted services.

Unlike `anytag.fetch`, which opens addresses given by strangers, the address here is the user's own
choice, and mostly one on the own machine: private addresses are allowed, redirects are not followed
(they could carry the key elsewhere), and proxies of the environment are used for public hosts only.
"""

from __future__ import annotations

import http.client
import json
import random
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from anytag.errors import FetchError, UsageError
from anytag.files import display_path
from anytag.inference.chat_http import (
    PassingError,
    answer_texts,
    explain,
    is_private,
    is_unreachable,
    read_body,
    retry_after,
)

#: statuses after which the same request may succeed
_RETRY = {408, 409, 425, 429, 500, 502, 503, 504, 529}
#: statuses that every other request would get too
_HOPELESS = {401, 403, 404, 405}
#: seconds that are waited at most between two attempts, whatever the server asks for
_LONGEST_WAIT_S = 300.0


class EndpointError(FetchError):
    """No request to this endpoint can succeed: it is not there, or refuses the key or the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatConfig:
    """Where to ask, and how."""

    #: base address, such as http://localhost:11434/v1
    url: str
    #: as the server calls it
    model: str = ""
    #: sent as a bearer token; None = none
    api_key: str | None = field(default=None, repr=False)
    #: seconds for one request
    timeout_s: float = 120.0
    #: attempts after the first one
    retries: int = 5
    #: seconds before the second attempt; doubled for each further one
    backoff_s: float = 1.0
    #: tokens of an answer
    max_tokens: int = 77
    temperature: float = 0.99

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            valid = False
        if not valid or parts.query or parts.fragment or not re.fullmatch("[!-~]+", self.url):
            found = display_path(self.url)
            raise UsageError(f"expected an address like http://localhost:11434/v1, found {found}")
        if parts.username is not None:
            raise UsageError(
                "no user name or password in the address; give the key by --api-key-env"
            )
        if self.api_key is not None and not re.fullmatch(r"[!-~]+", self.api_key):
            raise UsageError("the API key has a character that no key has, such as a blank")
        if self.timeout_s <= 0 or self.retries < 0 or self.max_tokens < 1:
            raise UsageError("expected timeout_s > 0, retries >= 0 and max_tokens >= 1")

    @property
    def base(self) -> str:
        """The address without what users copy too much of."""
        return self.url.rstrip("/").removesuffix("/chat/completions")


class ChatClient:
    """Asks one endpoint; safe to share by threads."""

    def __init__(self, config: ChatConfig) -> None:
        self.config = config
        self._stop = threading.Event()
        self._answered = False  # the server has been reached once
        self._single = False  # it gives one answer a request
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if is_private(urlsplit(config.url).hostname or ""):
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def stop(self) -> None:
        """Make waiting requests fail at once."""
        self._stop.set()

    def models(self) -> list[str]:
        """Names of the models that the server has.

        Raises:
            FetchError: it does not say
        """
        answer = self._attempts("models", None)
        entries = answer.get("data")
        rows = entries if isinstance(entries, list) else []
        return [str(row["id"]) for row in rows if isinstance(row, dict) and "id" in row]

    def ask(self, prompt: str, count: int) -> list[str]:
        """Answers to one prompt.

        Servers that give fewer than asked for are asked again, and what is too much is left out.

        Args:
            prompt: the only message of the conversation
            count: number of answers

        Raises:
            EndpointError: no request can succeed
            FetchError: this one failed, also after the retries
        """
        texts: list[str] = []
        while len(texts) < count:
            texts += self._answers(prompt, 1 if self._single else count - len(texts))
        return texts[:count]

    def _answers(self, prompt: str, count: int) -> list[str]:
        config = self.config
        request = {
            "model": config.model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": config.max_tokens,
            "temperature": config.temperature,
        }
        if count > 1:
            request["n"] = count
        try:
            return answer_texts(self._attempts("chat/completions", request))
        except _BadRequestError:
            if count == 1:
                raise
            texts = self._answers(prompt, 1)  # some servers refuse n > 1
            self._single = True
            return texts

    def _attempts(self, path: str, request: Mapping[str, object] | None) -> dict[str, Any]:
        """The answer as JSON, after as many attempts as are allowed."""
        config = self.config
        for attempt in range(config.retries + 1):
            try:
                answer = self._send(path, request)
                if request is not None:
                    answer_texts(answer)
                return answer
            except PassingError as error:
                failure = error
            if failure.unreachable and not self._answered:
                break  # most likely nobody listens there
            if attempt < config.retries:
                delay = config.backoff_s * 2**attempt * random.uniform(0.75, 1.25)
                self._wait(min(delay if failure.wait is None else failure.wait, _LONGEST_WAIT_S))
        kind = EndpointError if failure.unreachable else FetchError
        raise kind(f"{config.base}: {failure}")

    def _wait(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise FetchError("stopped")

    def _send(self, path: str, request: Mapping[str, object] | None) -> dict[str, Any]:
        config = self.config
        headers = {"Content-Type": "application/json", "User-Agent": "anytag"}
        if config.api_key is not None:
            headers["Authorization"] = f"Bearer {config.api_key}"
        data = None if request is None else json.dumps(request).encode()
        url = f"{config.base}/{path}"
        try:
            message = urllib.request.Request(url, data, headers)
            with self._opener.open(message, timeout=config.timeout_s) as response:
                body = read_body(response, time.monotonic() + config.timeout_s)
            self._answered = True
            answer = json.loads(body)
        except urllib.error.HTTPError as error:
            self._answered = True
            with error:
                raise self._refusal(error) from None
        except (OSError, http.client.HTTPException) as error:
            raise PassingError(
                explain(error, config.timeout_s), unreachable=is_unreachable(error)
            ) from None
        except (ValueError, RecursionError):
            raise PassingError("the answer is not JSON") from None
        if not isinstance(answer, dict):
            raise PassingError("the answer is JSON, but no object")
        return answer

    def _refusal(self, error: urllib.error.HTTPError) -> FetchError:
        """The error for a status that is not 200; the key never stands in it."""
        try:
            said = error.read(2000).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            said = ""
        if self.config.api_key is not None:
            said = said.replace(self.config.api_key, "***")
        said = " ".join(display_path(" ".join(said.split())).split())[:300]
        reason = f"the server answered {error.code}" + (f": {said}" if said else "")
        if error.code in _RETRY:
            return PassingError(reason, wait=retry_after(error.headers.get("Retry-After")))
        if error.code in _HOPELESS or 300 <= error.code < 400:
            hint = "; give the address to which it leads" if error.code < 400 else ""
            return EndpointError(f"{self.config.base}: {reason}{hint}")
        return _BadRequestError(f"{self.config.base}: {reason}")


class _BadRequestError(FetchError):
    """The server does not want this request."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:  # Any: the signature of the base
        return None
