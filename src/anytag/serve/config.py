"""What a server does and how much of it: every limit in one value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from anytag.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """A model and the name by which requests ask for it."""

    name: str
    #: as `Tagger.from_pretrained` takes it
    source: str

    @classmethod
    def parse(cls, text: str) -> ModelSource:
        """From ``NAME=SOURCE``, or ``SOURCE`` alone, whose last part is then the name.

        Raises:
            UsageError: no name that could stand in an address

        >>> ModelSource.parse("models/ram.pth").name
        'ram'
        """
        name, equals, source = text.partition("=")
        if not equals or not _NAME.fullmatch(name):
            last = PurePath(text.rpartition(":")[2]).name
            name, source = re.sub(r"\.(pth|pt|safetensors)$", "", last), text
        if not source or not _NAME.fullmatch(name):
            raise UsageError(
                f"--model {text!r}: expected NAME=MODEL with a name of letters, digits, '.', '_' "
                "and '-'"
            )
        return cls(name=name, source=source)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """The options of a server; the first model is the default one.

    Raises:
        UsageError: a value is out of range, or two models have one name
    """

    models: Sequence[ModelSource] = (ModelSource(name="nano", source="nano"),)
    device: str = "auto"
    dtype: str = "auto"
    backend: str = "auto"

    #: most images in one pass of a model; None = what is fastest on its device
    max_batch: int | None = None
    #: milliseconds that the first image of a batch waits for others
    max_delay_ms: float = 2.0
    #: images that may be in work or wait, each process; beyond that the answer is 429
    max_queue: int = 256
    #: threads that decode; None = one for each processor
    decoders: int | None = None

    #: bytes of one image
    max_image_bytes: int = 20_000_000
    #: bytes of the body of a request
    max_request_bytes: int = 64_000_000
    #: bytes of all bodies that are held at a time, each process; beyond that the answer is 429
    max_held_bytes: int = 512_000_000
    #: width x height of one image
    max_pixels: int = 64_000_000
    #: images of one request
    max_images: int = 64
    #: own tags of one request
    max_tags: int = 500
    #: characters of an own tag
    max_tag_length: int = 200
    #: seconds for one request, from its first to its last byte
    timeout_s: float = 30.0
    #: seconds between the signal to stop and the end of listening
    drain_s: float = 1.0

    #: fetch images by their address
    allow_urls: bool = False
    #: SHA-256 digests of the keys; none at all = everybody may ask
    key_digests: Sequence[bytes] = ()
    #: pages of these origins may ask
    cors_origins: Sequence[str] = ()
    #: one line of log for each request
    log_requests: bool = True
    #: processes
    workers: int = 1

    def __post_init__(self) -> None:
        names = [model.name for model in self.models]
        if not names or len(set(names)) < len(names):
            raise UsageError(
                f"models need different names, found {', '.join(names) or 'none'}; "
                "say --model NAME=MODEL"
            )
        least = {
            "max_queue": 1,
            "max_image_bytes": 1,
            "max_request_bytes": 1,
            "max_held_bytes": self.max_request_bytes,
            "max_pixels": 1,
            "max_images": 1,
            "max_tags": 1,
            "max_tag_length": 1,
            "max_delay_ms": 0,
            "drain_s": 0,
            "workers": 1,
            "max_batch": 1,
            "decoders": 1,
        }
        for name, smallest in least.items():
            value = getattr(self, name)
            if value is not None and not value >= smallest:
                raise UsageError(f"{name} must be at least {smallest:,}, found {value:,}")
        if not self.timeout_s > 0:
            raise UsageError(f"timeout_s must be above 0, found {self.timeout_s}")
