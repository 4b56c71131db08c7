"""The baseline model on every picture: its tags with scores, its captions, and what these say.

Source: RAM (arXiv 2306.03514), section 3.3. A tag is added where its score reaches its threshold:
each tag's own in the model, unless one is given for all. Captions are parsed in closed mode over
the label set.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anytag.data.images import LoadedImage
from anytag.data.records import Record
from anytag.engine.config import GenerateConfig
from anytag.engine.pictures import Pictures, content
from anytag.engine.records import Generated
from anytag.inference.image_captions import ImageCaptioner, caption_stream
from anytag.inference.results import ItemError, Tag
from anytag.inference.selection import TagSelector
from anytag.inference.stream import stream
from anytag.inference.tagger import CPU_CHUNK, Tagger
from anytag.labels.labelset import read_tag_list
from anytag.labels.parse import CaptionParser

#: decimals of a score in files
DIGITS = 4
_MAX_WORKERS = 8
_CAPTION_BATCH = 8


class Baseline:
    """A model that generates.

    Args:
        tagger: asked for all tags that it may give
        config: thresholds, and whether captions are written

    Raises:
        ModelError: captions are wanted, and the model writes none
    """

    def __init__(self, tagger: Tagger, config: GenerateConfig) -> None:
        self.tagger = tagger
        self._config = config
        self._parser = CaptionParser.closed(tagger.labels)
        self._select = TagSelector(tagger.labels, threshold=config.threshold)
        self._captioner = _captioner(tagger, config)

    @property
    def writes_captions(self) -> bool:
        """Whether it does."""
        return self._captioner is not None

    def parse(self, caption: str) -> list[str]:
        """Tags of a caption by name, negated ones left out."""
        found = self._parser.parse(caption)
        return list(dict.fromkeys(tag.name for tag in found if not tag.negated))

    def generate(self, records: Sequence[Record]) -> Iterator[Generated]:
        """What the model says of each record's picture, in order."""
        pictures = Pictures()
        sources = [pictures.source(record.image) for record in records]

        def load(source: Any) -> LoadedImage:
            return self.tagger.load(content(source))

        for record, (tags, scores, caption, error) in zip(
            records, self._look(sources, load), strict=True
        ):
            if scores is None:
                yield Generated(error="not read" if error is None else error.type)
                continue
            captions = () if caption is None else (caption,)
            yield Generated(
                tags=tuple((tag.name, _round(tag.score), _round(tag.threshold)) for tag in tags),
                captions=captions,
                scores=self._scores(record, captions, tags, scores),
            )

    def _look(
        self, sources: Iterable[Any], load: Callable[[Any], LoadedImage]
    ) -> Iterator[
        tuple[Sequence[Tag], npt.NDArray[np.float32] | None, str | None, ItemError | None]
    ]:
        if self._captioner is not None:
            for result in caption_stream(
                sources,
                self._captioner,
                load=load,
                path_of=lambda source: None,
                model_name=self.tagger.model_name,
                batch_size=_CAPTION_BATCH,
            ):
                yield result.tags, result.scores, result.caption, result.error
            return
        for one in stream(
            sources,
            load=load,
            score=self.tagger.score_many,
            batch_size=self._config.batch_size,
            workers=min(os.cpu_count() or 1, _MAX_WORKERS),
            pad_to=CPU_CHUNK if self.tagger.device.type == "cpu" else self._config.batch_size,
        ):
            tags = () if one.scores is None else self._select(one.scores)
            yield tags, one.scores, None, one.error

    def _scores(
        self,
        record: Record,
        captions: Sequence[str],
        tags: Sequence[Tag],
        scores: npt.NDArray[np.float32],
    ) -> dict[str, float]:
        """Of every tag that the merged record will have and the model knows, by its name there."""
        parsed = chain.from_iterable(record.parsed_tags)
        texts = [*record.captions[len(record.parsed_tags) :], *captions]
        said = chain.from_iterable(self.parse(text) for text in texts)
        found = {}
        for name in chain(record.tags, parsed, said, (tag.name for tag in tags)):
            label = self.tagger.labels.find(name)
            if label is not None:
                found[name] = _round(float(scores[label.id]))
        return found


def asked_tagger(tagger: Tagger, vocabulary: str, data_tags: Sequence[str]) -> Tagger:
    """The baseline with the tags that it may give.

    Args:
        tagger: with its own tags
        vocabulary: see `GenerateConfig.vocabulary`
        data_tags: names of the tags that occur in the data

    Raises:
        LabelError: the file cannot be read; or a tag is new and the model takes no new ones
    """
    if vocabulary == "model":
        return tagger
    names = data_tags if vocabulary == "data" else read_tag_list(Path(vocabulary))
    return tagger.with_tags(list(names))


def _captioner(tagger: Tagger, config: GenerateConfig) -> ImageCaptioner | None:
    wanted = tagger.writes_captions if config.captions is None else config.captions
    return tagger.captioner(threshold=config.threshold, seed=0) if wanted else None


def _round(value: float) -> float:
    return round(value, DIGITS)
