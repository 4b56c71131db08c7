"""What ``anytag serve`` does; apart from its options, because this imports the heavy parts."""

from __future__ import annotations

import ipaddress
import json
import socket
import sys
from importlib.util import find_spec

import typer

from anytag.errors import MissingExtraError, UsageError
from anytag.serve.config import ServeConfig

#: modules, each by all of its names, and their packages
_NEEDED = {
    ("fastapi",): "fastapi",
    ("uvicorn",): "uvicorn",
    ("python_multipart", "multipart"): "python-multipart",
    ("prometheus_client",): "prometheus-client",
}


def run(config: ServeConfig, host: str, port: int) -> int:
    """Serve until a signal comes; the exit code.

    Raises:
        MissingExtraError: the server's packages are not installed
        UsageError: the address cannot be had
        AnytagError: a model cannot be loaded
    """
    for names, package in _NEEDED.items():
        if not any(map(find_spec, names)):
            raise MissingExtraError(package, "serve")
    from anytag.serve.processes import serve
    from anytag.serve.server import bind, url_of

    try:
        sock = bind(host, port)
    except OSError as error:
        raise UsageError(
            f"cannot listen at {host}:{port} ({error.strerror}); choose another --port, "
            "or --port 0 for a free one"
        ) from error
    with sock:
        if not config.key_digests and not _is_loopback(sock):
            typer.echo(
                "anytag: everybody who reaches this address may ask; --api-keys FILE asks for keys",
                err=True,
            )
        return serve(config, sock, lambda: _tell(url_of(sock), config))


def _is_loopback(sock: socket.socket) -> bool:
    return ipaddress.ip_address(sock.getsockname()[0]).is_loopback


def _tell(url: str, config: ServeConfig) -> None:
    """Where it is: for people on a terminal, else as JSON."""
    names = [model.name for model in config.models]
    if not sys.stdout.isatty():
        port = int(url.rpartition(":")[2])
        line = {"event": "listening", "url": url, "port": port, "models": names}
        print(json.dumps(line), flush=True)
        return
    shown = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    print(f"anytag serves {', '.join(names)} at {url}")
    print(f"  page  {shown}/")
    print(f"  API   {shown}/docs")
    print(f"  try   curl -F image=@photo.jpg {shown}/v1/tag", flush=True)
