"""Photos to captions, guided by tags: those the model finds, those a user gives, or both.

Source: Tag2Text (arXiv 2303.05657), section 3. One pass of the image encoder serves tags and
caption. Decoding runs in the caller's thread: writing a caption takes a hundred times longer.

Shapes: B images, T tags.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anytag.data.images import LoadedImage
from anytag.errors import UsageError
from anytag.inference.open_model import OpenModel
from anytag.inference.results import ItemError, Tag, TagResult
from anytag.inference.selection import TagSelector
from anytag.inference.stream import item_error
from anytag.labels.labelset import LabelSet
from anytag.models.generation import GenerationConfig

#: what the published code uses when it samples, whatever it is asked for
SAMPLING_PENALTY = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionOptions:
    """How captions are written; the defaults are those of the published code.

    Lengths are in word pieces and count the four of the prompt, "a picture of".
    """

    #: captions that are kept in mind at each step; 1 is greedy
    num_beams: int = 3
    max_length: int = 30
    min_length: int = 10
    #: draw each word instead of searching the best caption
    sample: bool = False
    #: when sampling: only the likeliest words that together reach this probability
    top_p: float = 0.9
    #: when sampling: only the k likeliest words; 0 = all
    top_k: int = 50
    #: above 1 makes words that occurred less likely; None = 1.1 when sampling, else 1
    repetition_penalty: float | None = None
    #: above 1 prefers long captions
    length_penalty: float = 1.0
    #: of the random numbers, when sampling; None = another one each time
    seed: int | None = None

    @classmethod
    def of(cls, options: dict[str, Any]) -> CaptionOptions:
        """From keyword arguments.

        Raises:
            UsageError: one is not known
        """
        unknown = sorted(options.keys() - cls.__dataclass_fields__.keys())
        if unknown:
            known = ", ".join(cls.__dataclass_fields__)
            raise UsageError(f"unknown caption option {unknown[0]!r}: expected {known}")
        return cls(**options)

    def config(self, defaults: GenerationConfig) -> GenerationConfig:
        """As the search takes it.

        Raises:
            UsageError: a number is out of range
        """
        penalty = self.repetition_penalty
        return replace(
            defaults,
            num_beams=self.num_beams,
            max_length=self.max_length,
            min_length=self.min_length,
            sample=self.sample,
            top_p=self.top_p,
            top_k=self.top_k,
            length_penalty=self.length_penalty,
            repetition_penalty=(SAMPLING_PENALTY if self.sample else 1.0)
            if penalty is None
            else penalty,
        )


class ImageCaptioner:
    """Captions photos.

    Args:
        model: one with a captioner
        labels: T tags that can be found
        label_state: what the network prepared of them
        select: chooses tags by their scores
        tags: names that guide the caption; None = those that are found
        mix: take the tags that are found too, behind the given ones
        options: how to write

    Raises:
        ModelError: the model writes no captions
        UsageError: an option is out of range, or ``mix`` has nothing to mix
    """

    def __init__(
        self,
        model: OpenModel,
        labels: LabelSet,
        label_state: object,
        select: TagSelector,
        *,
        tags: Sequence[str] | None = None,
        mix: bool = False,
        options: CaptionOptions | None = None,
    ) -> None:
        if mix and tags is None:
            raise UsageError("mix adds found tags to given ones; give tags")
        if isinstance(tags, str):
            raise UsageError(f"tags must be a list of names, found the text {tags!r}")
        options = options or CaptionOptions()
        self._writer = model.caption_writer
        self._config = options.config(self._writer.defaults)
        self._model = model
        self._labels = labels
        self._label_state = label_state
        self._select = select
        self._given = None if tags is None else [" ".join(tag.split()) for tag in tags]
        self._mix = mix
        self._random = torch.Generator(model.device)
        if options.seed is not None:
            self._random.manual_seed(options.seed)
        else:
            self._random.seed()

    def __call__(
        self, pixels: npt.NDArray[np.uint8]
    ) -> list[tuple[tuple[Tag, ...], npt.NDArray[np.float32], str]]:
        """Tags found (best first), all scores [T] and caption of each image.

        Args:
            pixels: uint8 [B, S, S, 3]
        """
        # Any: each family has a decoder of its own kind
        network = cast(Any, self._model.network)
        with torch.inference_mode():
            tokens: Tensor = network.encoder(self._model.images(pixels))
            logits: Tensor = network.decoder(self._label_state, tokens)
            scores: npt.NDArray[np.float32] = logits.float().sigmoid().cpu().numpy()
            tags = [self._select(row) for row in scores]
            names = [self._guide(row) for row in tags]
            captions = self._writer.write(tokens, names, self._config, self._random)
        return list(zip(tags, scores, captions, strict=True))

    def _guide(self, found: tuple[Tag, ...]) -> list[str]:
        """Names for the captioner, those that were found in id order, as in training."""
        if self._given is not None and not self._mix:
            return self._given
        given = self._given or []
        ids = sorted(tag.id for tag in found)
        return list(dict.fromkeys([*given, *(self._labels[i].name for i in ids)]))


def caption_stream(
    sources: Iterable[Any],
    captioner: ImageCaptioner,
    *,
    load: Callable[[Any], LoadedImage],
    path_of: Callable[[Any], str | None],
    model_name: str,
    batch_size: int,
) -> Iterator[TagResult]:
    """Captions of any number of images, in order and in bounded memory.

    Args:
        sources: anything ``load`` understands
        captioner: of one batch
        load: decodes one source; what it raises becomes the ``error`` of that result
        path_of: the path of a source, for the result
        model_name: for the result
        batch_size: images that are captioned together, >= 1
    """
    rest = iter(sources)
    while batch := list(islice(rest, batch_size)):
        loaded = [_try_load(load, source) for source in batch]
        images = [image.pixels for image in loaded if isinstance(image, LoadedImage)]
        written = iter(captioner(np.stack(images)) if images else [])
        for source, image in zip(batch, loaded, strict=True):
            result = TagResult(
                path=path_of(source), sha256=None, width=None, height=None, model=model_name
            )
            if isinstance(image, ItemError):
                yield replace(result, error=image)
                continue
            tags, scores, caption = next(written)
            yield replace(
                result,
                sha256=image.sha256,
                width=image.width,
                height=image.height,
                tags=tags,
                scores=scores,
                caption=caption,
            )


def _try_load(load: Callable[[Any], LoadedImage], source: object) -> LoadedImage | ItemError:
    try:
        return load(source)
    except Exception as error:
        return item_error(error)
