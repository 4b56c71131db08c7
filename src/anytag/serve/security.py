"""API keys and the headers that keep browsers within bounds.

Keys are kept and compared as SHA-256 digests: all have one length, and a comparison takes the same
time whatever is wrong (`hmac.compare_digest`, against every key).
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from anytag.errors import UsageError

#: a comma separated list of keys
KEYS_VARIABLE = "ANYTAG_API_KEYS"
#: a key below this many characters can be guessed
SHORTEST_KEY = 16

#: a page that only talks to this server, and shows pictures that the user chose
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
#: of every answer that says nothing else
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def read_keys(file: Path | None) -> list[bytes]:
    """Digests of the keys of a file (one a line, ``#`` begins a comment) and of the environment.

    Raises:
        UsageError: the file cannot be read or has no key, or a key is too short
    """
    keys = [key.strip() for key in os.environ.get(KEYS_VARIABLE, "").split(",") if key.strip()]
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--api-keys {file}: cannot be read ({error})") from error
        found = [line.strip() for line in lines if line.strip() and line.strip()[0] != "#"]
        if not found:
            raise UsageError(f"--api-keys {file}: has no key; write one a line")
        keys += found
    if short := [key for key in keys if len(key) < SHORTEST_KEY]:
        raise UsageError(
            f"{len(short)} of {len(keys)} API keys have less than {SHORTEST_KEY} characters; make "
            'some with: python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    return [digest(key) for key in keys]


def digest(key: str) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def find_key(digests: Sequence[bytes], given: Iterable[str]) -> str | None:
    """A short name of the key among those given that is known; every pair is compared."""
    found = None
    for key in given:
        one = digest(key)
        for known in digests:
            if hmac.compare_digest(known, one):
                found = known.hex()[:8]
    return found


def given_keys(headers: Mapping[str, str], query_key: str | None) -> list[str]:
    """The keys of a request: ``Authorization: Bearer``, ``X-API-Key``, Google's header and query.

    >>> given_keys({"authorization": "Bearer abc"}, None)
    ['abc']
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    found = [token.strip()] if scheme.lower() == "bearer" else []
    found += [headers[name] for name in ("x-api-key", "x-goog-api-key") if name in headers]
    return [*found, query_key] if query_key is not None else found
