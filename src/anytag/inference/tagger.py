"""Tagger: photos to tags with any list of tags, and to captions."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, overload

import numpy as np
import numpy.typing as npt

from anytag.data.images import ImageLimits
from anytag.inference.results import TagResult
from anytag.inference.scorer import CPU_CHUNK as CPU_CHUNK
from anytag.inference.scorer import ImageSource as ImageSource
from anytag.inference.scorer import Scorer
from anytag.inference.selection import TagSelector
from anytag.inference.stream import Scored, stream

if TYPE_CHECKING:
    from anytag.inference.image_captions import ImageCaptioner
    from anytag.inference.open_model import OpenModel

ImageList = list[ImageSource] | tuple[ImageSource, ...]
#: for all tags, "auto" for each tag's own, or None (which see)
Threshold = float | Literal["auto"] | None


class Tagger(Scorer):
    """Tags photos.

    Made with `Tagger.from_pretrained`.

    Example:
        >>> tagger = Tagger.from_pretrained("nano")
        >>> result = tagger("photo.jpg")  # doctest: +SKIP
        >>> [tag.name for tag in result.tags]  # doctest: +SKIP
        ['cat', 'animal', 'tabby']
    """

    def stream(
        self,
        sources: Iterable[ImageSource],
        *,
        batch_size: int = 32,
        workers: int | None = None,
        threshold: Threshold = None,
        top_k: int | None = None,
        exclude: Collection[str] = (),
        limits: ImageLimits | None = None,
    ) -> Iterator[TagResult]:
        """Tag any number of images in bounded memory.

        Args:
            sources: paths, URLs, bytes, PIL images or arrays; may be endless
            batch_size: images that are decoded and scored together
            workers: decoding threads beside the model; None takes one for each processor
            threshold: for all tags, or "auto" for each tag's own
            top_k: most tags of an image; without ``threshold`` the best K however low they score
            exclude: tags that never come
            limits: larger images are refused

        Yields:
            results in the order of ``sources``; an unreadable image gives a result with ``error``

        Raises:
            UsageError: threshold or top_k is out of range
        """
        select = TagSelector(self.labels, threshold=threshold, top_k=top_k, exclude=exclude)
        scored = stream(
            sources,
            load=lambda source: self.load(source, limits),
            score=self.score_many,
            batch_size=batch_size,
            workers=workers or os.cpu_count() or 1,
            partial=self.cascade_report is not None,
        )
        for item in scored:
            yield item.result(_path_of(item.item), self.model_name, select)

    @overload
    def __call__(
        self, images: ImageSource, *, threshold: Threshold = None, top_k: int | None = None
    ) -> TagResult: ...

    @overload
    def __call__(
        self, images: ImageList, *, threshold: Threshold = None, top_k: int | None = None
    ) -> list[TagResult]: ...

    def __call__(
        self,
        images: ImageSource | ImageList,
        *,
        threshold: Threshold = None,
        top_k: int | None = None,
    ) -> TagResult | list[TagResult]:
        """Tag one image, or a list of them.

        Args:
            images: a path, URL, bytes of an image file, PIL image or uint8 [H, W, 3]; or a list
            threshold: for all tags, or "auto" (as None) for each tag's own
            top_k: most tags; without ``threshold`` the best K however low they score

        Returns:
            one result, or a list in the same order (there, an unreadable image has ``error`` set)

        Raises:
            ImageError: the one image cannot be read
            FetchError: its URL was refused or failed
        """
        if isinstance(images, list | tuple):
            return list(self.stream(images, threshold=threshold, top_k=top_k))
        select = TagSelector(self.labels, threshold=threshold, top_k=top_k)
        loaded = self.load(images)
        scores = self.score(loaded.pixels[None])[0]
        item = Scored(
            item=images,
            width=loaded.width,
            height=loaded.height,
            sha256=loaded.sha256,
            scores=scores,
        )
        return item.result(_path_of(images), self.model_name, select)

    def caption(
        self,
        images: ImageSource | ImageList,
        tags: Sequence[str] | None = None,
        *,
        mix: bool = False,
        threshold: Threshold = None,
        **options: Any,
    ) -> str | list[str]:
        """Describe one image, or a list of them, in a sentence (nano, Tag2Text and RAM).

        Args:
            images: as in ``__call__``
            tags: names that guide the caption, not only the model's; None = those it finds
            mix: add the tags it finds to ``tags``
            threshold: for the tags it finds; None = each tag's own
            options: fields of `anytag.inference.image_captions.CaptionOptions`, for instance
                ``num_beams=3``, ``max_length=30``, ``sample=False``, ``seed=None``

        Raises:
            ModelError: the model writes no captions
            ImageError: an image cannot be read (the first one, in a list)
            UsageError: an option is not known or out of range
        """
        many = images if isinstance(images, list | tuple) else [images]
        captioner = self.captioner(tags, mix=mix, threshold=threshold, **options)
        captions = [captioner(self.load(image).pixels[None])[0][2] for image in many]
        return captions if isinstance(images, list | tuple) else captions[0]

    def caption_stream(
        self,
        sources: Iterable[ImageSource],
        tags: Sequence[str] | None = None,
        *,
        mix: bool = False,
        threshold: Threshold = None,
        batch_size: int = 8,
        **options: Any,
    ) -> Iterator[TagResult]:
        """Tags and captions of any number of images, in order; arguments as in `caption`.

        Yields:
            results with ``caption`` and the tags found, or with ``error``
        """
        from anytag.inference.image_captions import caption_stream

        return caption_stream(
            sources,
            self.captioner(tags, mix=mix, threshold=threshold, **options),
            load=self.load,
            path_of=_path_of,
            model_name=self.model_name,
            batch_size=batch_size,
        )

    def captioner(
        self,
        tags: Sequence[str] | None = None,
        *,
        mix: bool = False,
        threshold: Threshold = None,
        **options: Any,
    ) -> ImageCaptioner:
        """What writes the captions; arguments as in `caption`."""
        model = cast("OpenModel", self._model)
        _ = model.caption_writer  # raises where there is none, before torch is needed
        from anytag.inference.image_captions import CaptionOptions, ImageCaptioner

        return ImageCaptioner(
            model,
            self.labels,
            self._label_state,
            TagSelector(self.labels, threshold=threshold),
            tags=tags,
            mix=mix,
            options=CaptionOptions.of(options),
        )

    def explain(
        self, image: ImageSource, tag: str, *, method: str = "occlusion"
    ) -> npt.NDArray[np.float32]:
        """Where the network sees a tag in an image; not for exported models.

        For several tags, boxes and scores: `anytag.inference.explain.Explainer`.

        Args:
            image: as in ``__call__``
            tag: any name; Tag2Text: one of its own
            method: "occlusion", "gradient", "relevance" or "attention", see
                `anytag.models.evidence`

        Returns:
            heatmap [H, W] of the image's size in [0, 1]: 1 at the strongest place, and 0 all over
            where nothing in the image speaks for the tag

        Raises:
            ImageError: the image cannot be read
            FetchError: its URL was refused or failed
            UsageError: no such method
            ModelError: the model is an exported one, or has no text encoder for this tag
            LabelError: the name is empty, or the model is Tag2Text and has no such tag
        """
        from anytag.inference.explain import Explainer

        return Explainer(self, [tag], method)(image)[0].heatmap

    def classify(
        self,
        images: ImageSource | list[ImageSource],
        *,
        candidate_labels: Sequence[str] | None = None,
        top_k: int = 5,
    ) -> list[dict[str, Any]] | list[list[dict[str, Any]]]:
        """The shape of transformers' image-classification and zero-shot pipelines.

        Scores are sigmoid probabilities: each label for itself, they do not sum to one.

        Args:
            images: one image or a list
            candidate_labels: ask for these tags instead of the model's
            top_k: most labels of an image

        Returns:
            [{"label", "score"}] sorted by score, or a list of these for a list of images

        Raises:
            ImageError: an image cannot be read (the first one, in a list)
        """
        tagger = self.with_tags(candidate_labels) if candidate_labels else self
        many = images if isinstance(images, list) else [images]
        answers = [
            [{"label": tag.name, "score": tag.score} for tag in tagger(image, top_k=top_k).tags]
            for image in many
        ]
        return answers if isinstance(images, list) else answers[0]


def _path_of(source: object) -> str | None:
    return str(source) if isinstance(source, str | Path) else None
