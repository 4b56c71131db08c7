"""Prometheus metrics of one server; with several processes, of all of them.

prometheus_client decides at its import, by ``PROMETHEUS_MULTIPROC_DIR``, whether values are shared
between processes: `anytag.serve.processes` sets it before it starts them.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters, and the text that Prometheus reads.

    Args:
        num_accepted: gives the images in work or waiting
    """

    def __init__(self, num_accepted: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self._num_accepted = num_accepted
        self.requests = Counter(
            "anytag_requests", "Requests.", ["endpoint", "status"], registry=self._registry
        )
        self.latency = Histogram(
            "anytag_request_seconds",
            "Seconds from the first byte of a request to the last of its answer.",
            ["endpoint"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.images = Counter("anytag_images", "Images done.", ["model"], registry=self._registry)
        self.errors = Counter(
            "anytag_errors",
            "Requests and images without result, by the type in the answer.",
            ["type"],
            registry=self._registry,
        )
        self.batch_size = Histogram(
            "anytag_batch_images",
            "Images that went through a model together.",
            ["model"],
            buckets=_SIZES,
            registry=self._registry,
        )
        self.model_seconds = Histogram(
            "anytag_model_seconds",
            "Seconds that a batch took in the model.",
            ["model"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._queue = Gauge(
            "anytag_queue_images",
            "Images in work or waiting.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._queue.set(0)

    def note_batch(self, model: str, size: int, seconds: float) -> None:
        """A model is done with a batch."""
        self.batch_size.labels(model).observe(size)
        self.model_seconds.labels(model).observe(seconds)

    def note_queue(self) -> None:
        """The number of images in the house has changed."""
        self._queue.set(self._num_accepted())

    def text(self) -> bytes:
        """In Prometheus' format."""
        self.note_queue()
        if not os.environ.get(MULTIPROCESS_VARIABLE):
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
