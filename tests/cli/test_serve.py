"""The options of ``anytag serve``; tests/serve has what it does."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from anytag.cli import serve_run
from anytag.serve import processes
from anytag.serve.config import ModelSource, ServeConfig
from anytag.serve.security import digest

KEY = "a-key-that-is-long-enough"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[ServeConfig]:
    """The configurations that would have been served."""
    found: list[ServeConfig] = []

    def serve(config: ServeConfig, sock: socket.socket, on_started: Any) -> int:
        found.append(config)
        on_started()
        return 0

    monkeypatch.setattr(processes, "serve", serve)
    monkeypatch.delenv("ANYTAG_API_KEYS", raising=False)
    return found


def test_defaults_of_the_command_are_those_of_the_library(
    cli: Any, served: list[ServeConfig]
) -> None:
    done = cli("serve", "--port", "0")
    assert (done.code, done.err) == (0, "")
    assert served == [ServeConfig()]
    assert '"event": "listening"' in done.out


def test_options(cli: Any, served: list[ServeConfig], tmp_path: Path) -> None:
    (tmp_path / "keys.txt").write_text(f"{KEY}\n")
    done = cli(
        "serve", "--port=0", "--model=nano", "--model=ram=models/ram", "--device=cpu",
        "--dtype=bfloat16", "--backend=torch", "--workers=2", "--max-batch=8", "--max-delay-ms=5",
        "--decoders=3", "--max-queue=9", "--max-image-bytes=1000", "--max-request-bytes=2000",
        "--max-held-bytes=3000", "--max-pixels=4000", "--max-images=5", "--max-tags=6",
        "--timeout=7.5", "--drain=0", "--allow-urls", "--api-keys=keys.txt",
        "--cors-origin=https://example.org", "--quiet",
    )  # fmt: skip
    assert done.code == 0
    assert served == [
        ServeConfig(
            models=(
                ModelSource(name="nano", source="nano"),
                ModelSource(name="ram", source="models/ram"),
            ),
            device="cpu",
            dtype="bfloat16",
            backend="torch",
            workers=2,
            max_batch=8,
            max_delay_ms=5.0,
            decoders=3,
            max_queue=9,
            max_image_bytes=1000,
            max_request_bytes=2000,
            max_held_bytes=3000,
            max_pixels=4000,
            max_images=5,
            max_tags=6,
            timeout_s=7.5,
            drain_s=0.0,
            allow_urls=True,
            key_digests=(digest(KEY),),
            cors_origins=("https://example.org",),
            log_requests=False,
        )
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "a b"], "expected NAME=MODEL"),
        (["--model", "nano", "--model", "nano"], "different names"),
        (["--api-keys", "missing.txt"], "cannot be read"),
        (["--timeout", "0"], "timeout_s must be above 0"),
        (["--host", "no such host.invalid"], "cannot listen"),
        (["--max-queue", "0"], "max-queue"),
        (["--max-request-bytes", "600000000"], "max_held_bytes"),
    ],
)
def test_wrong_usage(cli: Any, served: list[ServeConfig], options: list[str], message: str) -> None:
    done = cli("serve", "--port", "0", *options)
    assert (done.code, done.out, served) == (2, "", [])
    assert message in done.err
    assert "Traceback" not in done.err


def test_an_address_that_is_taken(cli: Any, served: list[ServeConfig]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = cli("serve", "--port", str(port))
    assert (done.code, served) == (2, [])
    assert f"cannot listen at 127.0.0.1:{port}" in done.err


def test_a_public_address_without_keys_is_told(cli: Any, served: list[ServeConfig]) -> None:
    done = cli("serve", "--host", "0.0.0.0", "--port", "0")
    assert done.code == 0
    assert "everybody who reaches this address may ask" in done.err


def test_a_missing_extra(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_run, "find_spec", lambda name: None)
    done = cli("serve")
    assert done.code == 1
    assert "pip install 'anytag[serve]'" in done.err
