"""Held-out photos with human tags, and the mAP of a model on them.

Any data set that training reads. The classes are the tags that occur in it; each is asked for by
its name, of an open vocabulary as a new tag where the model has none of that name. Tags that a
photo does not have count as absent.

Shapes: N photos, T classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt

from anytag.data.images import LoadedImage
from anytag.data.records import Record
from anytag.errors import UsageError
from anytag.evaluation.asking import ask_tagger, system_scores
from anytag.evaluation.metrics import mean_average_precision
from anytag.inference.stream import stream
from anytag.inference.tagger import Tagger
from anytag.labels.labelset import fold_name
from anytag.training.config import SourceConfig
from anytag.training.examples import Examples, open_examples

_BATCH = 32


class HeldOut:
    """One held-out set.

    Args:
        name: in tables
        examples: N photos

    Raises:
        UsageError: no photo has a tag
    """

    def __init__(self, name: str, examples: Examples) -> None:
        self.name = name
        self._examples = examples
        tags = [dict.fromkeys(map(fold_name, self._record(i).tags)) for i in range(len(examples))]
        spelled: dict[str, str] = {}
        for number in range(len(examples)):
            for tag in self._record(number).tags:
                spelled.setdefault(fold_name(tag), tag)
        if not spelled:
            raise UsageError(f"held-out set {name}: no photo has a tag; captions are not compared")
        places = {key: place for place, key in enumerate(sorted(spelled))}
        self.classes = tuple(spelled[key] for key in places)
        #: [N, T]
        self.truth = np.zeros((len(examples), len(places)), bool)
        for row, keys in enumerate(tags):
            self.truth[row, [places[key] for key in keys]] = True

    def score(self, model: Path | str) -> npt.NDArray[np.float32]:
        """Scores [N, T] of a model.

        Raises:
            ModelError: it cannot be read
            UsageError: a photo cannot be read
        """
        tagger = Tagger.from_pretrained(model)
        asked = ask_tagger(self.name, tagger, self.classes)

        def load(number: int) -> LoadedImage:
            return tagger.load(self._examples[number].picture)

        found = np.zeros((len(self._examples), asked.num_columns), np.float32)
        results = stream(
            iter(range(len(self._examples))),
            load=load,
            score=asked.score,
            batch_size=_BATCH,
            workers=1,
            pad_to=asked.pad_to,
        )
        with closing(results):
            for one in results:
                if one.scores is None:
                    why = one.error.message if one.error is not None else "no scores"
                    raise UsageError(f"held-out set {self.name}: {why}")
                found[one.item] = one.scores
        return system_scores(asked, found).scores

    def mean(self, scores: npt.NDArray[np.float32]) -> float:
        """mAP in [0, 1]."""
        return mean_average_precision(scores, self.truth).value

    def _record(self, number: int) -> Record:
        return self._examples.record(number)[1]


def open_heldout(sources: Sequence[SourceConfig], cache: Path) -> tuple[HeldOut, ...]:
    """The held-out sets of a run.

    Raises:
        UsageError: one does not exist, cannot be recognised, or has no tags
    """
    return tuple(HeldOut(Path(one.path).stem, open_examples((one,), cache)) for one in sources)
