"""``anytag serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anytag.cli import options as opt

_LIMITS = "Limits"
_ACCESS = "Who may ask, and for what"
_BATCHES = "Model and speed"

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="[NAME=]MODEL",
        help="nano, a model directory, a checkpoint, or a hub id; the first is the default one.",
        rich_help_panel=_BATCHES,
    ),
]
Workers = Annotated[
    int, typer.Option(min=1, help="Processes, each with its models.", rich_help_panel=_BATCHES)
]
MaxBatch = Annotated[
    int | None,
    typer.Option(
        min=1, help="Most images in one pass; what suits the device.", rich_help_panel=_BATCHES
    ),
]
MaxDelay = Annotated[
    float,
    typer.Option(
        "--max-delay-ms",
        min=0,
        help="How long an image waits for others.",
        rich_help_panel=_BATCHES,
    ),
]
Decoders = Annotated[
    int | None,
    typer.Option(min=1, help="Decoding threads; one for each processor.", rich_help_panel=_BATCHES),
]
MaxQueue = Annotated[
    int,
    typer.Option(
        min=1,
        help="Images in work or waiting, each process; then 429.",
        rich_help_panel=_LIMITS,
    ),
]
MaxImageBytes = Annotated[
    int, typer.Option(min=1, help="Bytes of an image.", rich_help_panel=_LIMITS)
]
MaxRequestBytes = Annotated[
    int, typer.Option(min=1, help="Bytes of a request.", rich_help_panel=_LIMITS)
]
MaxHeldBytes = Annotated[
    int,
    typer.Option(min=1, help="Bytes of all requests at a time; then 429.", rich_help_panel=_LIMITS),
]
MaxPixels = Annotated[
    int, typer.Option(min=1, help="Width x height of an image.", rich_help_panel=_LIMITS)
]
MaxImages = Annotated[
    int, typer.Option(min=1, help="Images of a request.", rich_help_panel=_LIMITS)
]
MaxTags = Annotated[
    int, typer.Option(min=1, help="Own tags of a request.", rich_help_panel=_LIMITS)
]
Timeout = Annotated[float, typer.Option(help="Seconds for a request.", rich_help_panel=_LIMITS)]
Drain = Annotated[
    float,
    typer.Option(
        min=0, help="Seconds from SIGTERM to the end of listening.", rich_help_panel=_LIMITS
    ),
]
AllowUrls = Annotated[
    bool,
    typer.Option("--allow-urls", help="Fetch images by public addresses.", rich_help_panel=_ACCESS),
]
ApiKeys = Annotated[
    Path | None,
    typer.Option(
        "--api-keys",
        metavar="FILE",
        help="Keys, one a line; also ANYTAG_API_KEYS=KEY,KEY.",
        rich_help_panel=_ACCESS,
    ),
]
CorsOrigins = Annotated[
    list[str] | None,
    typer.Option(
        "--cors-origin",
        metavar="URL",
        help="Pages of this origin may ask.",
        rich_help_panel=_ACCESS,
    ),
]


def serve(
    host: Annotated[str, typer.Option(help="0.0.0.0 for all networks.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    model: Models = None,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    backend: opt.Backend = opt.RunBy.AUTO,
    workers: Workers = 1,
    max_batch: MaxBatch = None,
    max_delay_ms: MaxDelay = 2.0,
    decoders: Decoders = None,
    max_queue: MaxQueue = 256,
    max_image_bytes: MaxImageBytes = 20_000_000,
    max_request_bytes: MaxRequestBytes = 64_000_000,
    max_held_bytes: MaxHeldBytes = 512_000_000,
    max_pixels: MaxPixels = 64_000_000,
    max_images: MaxImages = 64,
    max_tags: MaxTags = 500,
    timeout: Timeout = 30.0,
    drain: Drain = 1.0,
    allow_urls: AllowUrls = False,
    api_keys: ApiKeys = None,
    cors_origin: CorsOrigins = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No line of log for each request.")
    ] = False,
) -> None:
    """Tag photos over HTTP: an API, a page to try it, and Google Vision's label endpoint.

    Examples:

        anytag serve

        anytag serve --model nano --model ram=models/ram --host 0.0.0.0 --api-keys keys.txt

        curl -F image=@photo.jpg "http://127.0.0.1:8000/v1/tag?top_k=5"
    """
    from anytag.cli.serve_run import run
    from anytag.serve.config import ModelSource, ServeConfig
    from anytag.serve.security import read_keys

    config = ServeConfig(
        models=tuple(ModelSource.parse(one) for one in model or ["nano"]),
        device=device,
        dtype=dtype,
        backend=backend.value,
        max_batch=max_batch,
        max_delay_ms=max_delay_ms,
        max_queue=max_queue,
        decoders=decoders,
        max_image_bytes=max_image_bytes,
        max_request_bytes=max_request_bytes,
        max_held_bytes=max_held_bytes,
        max_pixels=max_pixels,
        max_images=max_images,
        max_tags=max_tags,
        timeout_s=timeout,
        drain_s=drain,
        allow_urls=allow_urls,
        key_digests=tuple(read_keys(api_keys)),
        cors_origins=tuple(cors_origin or ()),
        log_requests=not quiet,
        workers=workers,
    )
    code = run(config, host, port)
    if code:
        raise typer.Exit(code)
