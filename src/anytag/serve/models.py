"""The models of a server, by name, each with its batcher."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import numpy as np

from anytag.data.images import ImageLimits, LoadedImage
from anytag.errors import ModelError
from anytag.inference.scorer import CPU_CHUNK
from anytag.inference.tagger import Tagger
from anytag.serve.admission import Pace
from anytag.serve.aside import aside
from anytag.serve.batching import Batcher, Task
from anytag.serve.config import ServeConfig
from anytag.serve.errors import ApiError
from anytag.serve.metrics import Metrics
from anytag.serve.recent import Recent
from anytag.serve.tasks import Captioning, Explaining, Scoring

R = TypeVar("R")

#: lists of own tags, captioners and explainers that are kept, each model
NUM_RECENT = 64
#: most images of a batch where the CPU does not decide
_GPU_BATCH = 32
#: an image is decoded in some milliseconds: more threads only cost memory
_MAX_DECODERS = 16


class ServedModel:
    """A model, its thread and what requests asked of it lately.

    Args:
        name: for requests
        tagger: with the model's own tags
        config: of the server
        decoders: threads that decode
        observe: told of every batch
    """

    def __init__(
        self,
        name: str,
        tagger: Tagger,
        config: ServeConfig,
        decoders: ThreadPoolExecutor,
        observe: Callable[[int, float], None],
    ) -> None:
        self.name = name
        self.tagger = tagger
        self.captions = tagger.writes_captions
        self.explains = hasattr(tagger.model, "network")
        self._decoders = decoders
        self._limits = ImageLimits(max_bytes=config.max_image_bytes, max_pixels=config.max_pixels)
        self._recent = Recent(NUM_RECENT)
        self._scoring = Scoring(tagger)
        chunk = CPU_CHUNK if self._on_cpu else 1
        self._batcher: Batcher[LoadedImage] = Batcher(
            f"anytag-model-{name}",
            # On the CPU a pass takes so many images anyway: more would only make others wait.
            max_batch=config.max_batch or (chunk if self._on_cpu else _GPU_BATCH),
            max_delay_s=config.max_delay_ms / 1000,
            multiple=chunk,
            observe=observe,
        )

    @property
    def _on_cpu(self) -> bool:
        return self.tagger.device.type == "cpu"

    def submit(
        self, content: Callable[[], bytes], make_task: Callable[[], Task[LoadedImage, R]]
    ) -> Future[R]:
        """Decode an image and put it into a batch; both in other threads.

        Args:
            content: gives the file
            make_task: gives the task; it may take a while

        Returns:
            the task's result for this image; cancelling it saves the work that is left
        """
        future: Future[Any] = Future()

        def prepare() -> None:
            if future.cancelled():
                return
            try:
                task = make_task()
                loaded = self.tagger.load(content(), self._limits)
                self._batcher.submit(task, loaded, future)
            except BaseException as error:
                if future.set_running_or_notify_cancel():
                    future.set_exception(error)

        self._decoders.submit(prepare)
        return future

    def scoring(self, tags: Sequence[str], *, extend: bool) -> Scoring:
        """Scores of the built-in tags, of others, or of both.

        Raises:
            LabelError: an empty name, or the model has a closed list
            ModelError: the model has no text encoder
        """
        if not tags:
            return self._scoring
        key = ("tags", extend, *tags)
        return self._made(key, lambda: Scoring(self.tagger.with_tags(list(tags), extend=extend)))

    def captioning(self, tags: Sequence[str]) -> Captioning:
        """Captions, about these names or about what is found.

        Raises:
            ModelError: the model writes none
        """
        return self._made(
            ("caption", *tags),
            lambda: Captioning(self.tagger.captioner(list(tags) or None), on_cpu=self._on_cpu),
        )

    def explaining(self, tag: str, method: str) -> Explaining:
        """Where a tag is.

        Raises:
            ModelError: an exported model, or one without text encoder for this tag
            LabelError: an empty name, or the model has a closed list
        """
        if not self.explains:
            raise ModelError(f"{self.name}: exported models give no explanations")
        from anytag.inference.explain import Explainer

        return self._made(
            ("explain", method, tag), lambda: Explaining(Explainer(self.tagger, [tag], method))
        )

    def warm_up(self) -> None:
        """One pass, so that the first request does not pay for what is done once."""
        size = self.tagger.image_size
        black = np.zeros((1, size, size, 3), np.uint8)
        aside(lambda: self.tagger.score(black))

    def close(self) -> None:
        """Finish what waits."""
        self._batcher.close()

    def _made(self, key: Hashable, make: Callable[[], R]) -> R:
        return self._recent.get(key, lambda: aside(make))


class Models:
    """All of them; loaded when this is made.

    Raises:
        AnytagError: a model cannot be loaded
    """

    def __init__(self, config: ServeConfig, metrics: Metrics, pace: Pace) -> None:
        num = config.decoders or min(os.cpu_count() or 1, _MAX_DECODERS)
        self.decoders = ThreadPoolExecutor(num, thread_name_prefix="anytag-decode")
        self._models: dict[str, ServedModel] = {}
        for model in config.models:
            load = partial(
                Tagger.from_pretrained,
                model.source,
                device=config.device,
                dtype=config.dtype,
                backend=config.backend,
            )
            tagger = aside(load)
            observe = partial(_observe, model.name, metrics, pace)
            served = ServedModel(model.name, tagger, config, self.decoders, observe)
            served.warm_up()
            self._models[model.name] = served

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._models.values())

    def get(self, name: str | None) -> ServedModel:
        """By name; None is the first.

        Raises:
            ApiError: there is none of this name
        """
        if name is None:
            return next(iter(self._models.values()))
        if name not in self._models:
            raise ApiError(
                404, "no_such_model", f"no model {name!r}; there are: {', '.join(self._models)}"
            )
        return self._models[name]

    def close(self) -> None:
        """End all threads, when what waits is done."""
        self.decoders.shutdown()
        for model in self._models.values():
            model.close()


def _observe(name: str, metrics: Metrics, pace: Pace, size: int, seconds: float) -> None:
    metrics.note_batch(name, size, seconds)
    pace.note(size, seconds)
