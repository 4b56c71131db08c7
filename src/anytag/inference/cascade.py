"""A cascade over the tags: a cheap guess picks the tags of an image that the decoder is asked for.

The decoder is a third of RAM's work, and an image has ten of 4,585 tags. Labels do not interact, so
leaving tags out changes no other score; what can be lost is a tag that was not asked. The guess is
linear: mean image token -> logits of all tags, by ridge regression on images whose logits were
computed in full. It needs no training set: the first images (`CascadeConfig.warm_up`) and then
every so many (`audit_every`) go through the full decoder, which gives their exact scores, teaches
the guess, and shows at which place of its ranking their tags would have stood. The number of tags
kept follows the worst such place among the last audited images, times `CascadeConfig.slack`.

Shapes: B images, T tags, D token width, K tags kept.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from anytag.errors import UsageError
from anytag.labels.labelset import LabelSet

if TYPE_CHECKING:
    from anytag.inference.open_model import OpenModel

#: least images from which the guess is learned, and by which part more it is learned again
FIRST_FIT, GROWTH = 64, 1.25
#: ridge penalty, as a part of the mean variance of a token's entries: best of 0.01, 0.03 and 0.1
#: on nano (benchmarks/cascade.py)
RIDGE = 0.03
#: logits are learned within these bounds: far out they no longer change a score
BOUND = 13.0


@dataclass(frozen=True, kw_only=True)
class CascadeConfig:
    """How a cascade learns and is watched."""

    #: least tags of an image that the decoder is asked for
    num_kept: int = 100
    #: first images that are asked for all tags
    warm_up: int = 256
    #: afterwards, one image in so many is asked for all tags
    audit_every: int = 20
    #: the number of tags kept follows from so many last audited images
    window: int = 128
    #: tags kept for every tag up to the worst place of a final tag among these: chosen on nano's
    #: training photos (benchmarks/cascade.py)
    slack: float = 1.5

    def __post_init__(self) -> None:
        if self.warm_up < 2 * FIRST_FIT:
            raise UsageError(f"warm_up is {self.warm_up}, expected at least {2 * FIRST_FIT} images")
        if min(self.num_kept, self.audit_every, self.window) < 1:
            raise UsageError("num_kept, audit_every and window must be at least 1")
        if not 1 <= self.slack < float("inf"):
            raise UsageError(f"slack is {self.slack}, expected a number of at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeReport:
    """What a cascade did so far."""

    num_images: int
    #: of them, those asked for all tags
    num_audited: int
    #: tags that audited images have, the warm-up's left out, and those that would have been lost
    num_tags: int
    num_missed: int
    #: tags kept of the next image
    num_kept: int

    @property
    def recall(self) -> float | None:
        """Part of the final tags that the cascade keeps; None before the first audit."""
        return 1 - self.num_missed / self.num_tags if self.num_tags else None


class Guess:
    """Mean token -> logits, linear, learned from sums over the images it was shown."""

    def __init__(self, width: int, num_tags: int) -> None:
        self.num_images = 0
        self._learned = 0
        self._tokens = torch.zeros(width, width, dtype=torch.float64)
        self._products = torch.zeros(width, num_tags, dtype=torch.float64)
        self._token = torch.zeros(width, dtype=torch.float64)
        self._logit = torch.zeros(num_tags, dtype=torch.float64)
        self._weight: Tensor | None = None
        self._bias = torch.zeros(num_tags)

    def show(self, token: Tensor, logits: Tensor) -> None:
        """Add an image: its mean token [D] and its logits [T]."""
        x, y = token.double(), logits.double().clamp(-BOUND, BOUND)
        self._tokens += torch.outer(x, x)
        self._products += torch.outer(x, y)
        self._token += x
        self._logit += y
        self.num_images += 1
        if self.num_images >= max(FIRST_FIT, self._learned * GROWTH):
            self._learn()

    def __call__(self, token: Tensor) -> Tensor | None:
        """Logits [T] of a mean token [D]; None while too few images were shown."""
        return None if self._weight is None else self._bias + token.float() @ self._weight

    def _learn(self) -> None:
        count = self.num_images
        token, logit = self._token / count, self._logit / count
        variance = self._tokens - count * torch.outer(token, token)
        covariance = self._products - count * torch.outer(token, logit)
        penalty = RIDGE * variance.diagonal().mean().clamp(min=1e-12)
        weight = torch.linalg.solve(variance + penalty * torch.eye(len(token)), covariance)
        self._weight = weight.float()
        self._bias = (logit - token @ weight).float()
        self._learned = count


class Cascade:
    """Scores of images, most of them of the likely tags alone.

    Args:
        model: the network
        state: what it prepared of the tags
        labels: the tags; what counts as a final tag follows from their thresholds
        config: settings
    """

    def __init__(
        self, model: OpenModel, state: object, labels: LabelSet, config: CascadeConfig
    ) -> None:
        self.config = config
        self._model = model
        # Any: each family prepares a state of its own kind; all of them have ``take``
        self._state: Any = state
        limits = torch.tensor([label.threshold for label in labels], dtype=torch.float64)
        limits[torch.tensor([label.muted for label in labels])] = 1.0
        #: logits from which a tag is final [T]; a threshold of 1 can never fire
        self._limits = limits.logit().float()
        self._guess = Guess(model.token_width, len(labels))
        self._needed: deque[int] = deque(maxlen=config.window)
        self._seen = self._audited = self._tags = self._missed = 0

    @property
    def num_kept(self) -> int:
        """K."""
        num_tags = len(self._limits)
        if not self._needed:
            return num_tags
        return min(
            num_tags, max(self.config.num_kept, round(self.config.slack * max(self._needed)))
        )

    @property
    def report(self) -> CascadeReport:
        """What was done so far."""
        return CascadeReport(
            num_images=self._seen,
            num_audited=self._audited,
            num_tags=self._tags,
            num_missed=self._missed,
            num_kept=self.num_kept,
        )

    def score(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Probabilities [B, T] of images uint8 [B, S, S, 3]; NaN for tags that were not asked."""
        with torch.inference_mode():
            tokens = self._model.network.encoder(self._model.images(pixels))
            logits = torch.stack([self._logits(one[None]) for one in tokens])
            scores: npt.NDArray[np.float32] = logits.sigmoid().numpy()
            return scores

    def _logits(self, tokens: Tensor) -> Tensor:
        """Logits [T] on the CPU of one image's tokens [1, 1 + N, D]."""
        mean = tokens[0, 0].float().cpu()
        guessed = self._guess(mean)
        since = self._seen - self.config.warm_up
        self._seen += 1
        if guessed is None or since < 0 or since % self.config.audit_every == 0:
            found = self._model.decode(tokens, self._state)[0].float().cpu()
            self._audit(guessed, found, warm=since < 0)
            self._guess.show(mean, found)
            return found
        kept = self.rank(guessed)[: self.num_kept].sort().values
        found = torch.full_like(guessed, torch.nan)
        part = self._state.take(kept.tolist())
        found[kept] = self._model.decode(tokens, part)[0].float().cpu()
        return found

    def rank(self, guessed: Tensor) -> Tensor:
        """Ids [T] by guessed distance from the threshold, likeliest first."""
        return (guessed - self._limits).argsort(descending=True, stable=True)

    def _audit(self, guessed: Tensor | None, logits: Tensor, *, warm: bool) -> None:
        self._audited += 1
        if guessed is None:
            return
        final = logits >= self._limits
        places = final[self.rank(guessed)].nonzero()[:, 0]
        if not warm:
            self._tags += len(places)
            self._missed += int((places >= self.num_kept).sum())
        self._needed.append(int(places.max()) + 1 if len(places) else 0)
