"""Writing a caption: greedy, beam search, sampling.

Beam search keeps the rules under which the released captioners were published (those of
transformers 4.30), so that captions are the same token by token; newer libraries leave the prompt
out of the length and can choose another caption. Every image of a batch has its own beams: the
public code captions image 2, 3, ... of a batch from image 1, which is not repeated here.

Shapes: B images, M memory tokens, L caption tokens, V vocabulary, D width, K beams, R = B * K rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from anytag.errors import UsageError
from anytag.models.captioner import TextDecoder

#: start score of all beams but the first, which would otherwise all be the same
NEVER = -1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationConfig:
    """How a caption is searched; lengths are in tokens and count the prompt."""

    #: token that ends a caption
    eos_id: int
    #: token after the end
    pad_id: int
    #: hypotheses kept at each step; 1 is greedy
    num_beams: int = 3
    max_length: int = 30
    #: no end before this length
    min_length: int = 10
    #: above 1 makes tokens that occurred (in the prompt too) less likely
    repetition_penalty: float = 1.0
    #: exponent of the length in a hypothesis' score; above 1 prefers long captions
    length_penalty: float = 1.0
    #: draw each token instead of searching the best caption
    sample: bool = False
    #: when sampling: only the k likeliest tokens; 0 = all
    top_k: int = 50
    #: when sampling: only the likeliest tokens that together reach this probability
    top_p: float = 0.9

    def __post_init__(self) -> None:
        if self.num_beams < 1 or self.max_length < 1:
            raise UsageError("num_beams and max_length must be at least 1")
        if self.min_length > self.max_length:
            raise UsageError(f"min_length {self.min_length} is above max_length {self.max_length}")
        if self.repetition_penalty <= 0 or not 0 < self.top_p <= 1 or self.top_k < 0:
            raise UsageError(
                "expected repetition_penalty > 0, top_p in (0, 1] and top_k >= 0, got "
                f"{self.repetition_penalty}, {self.top_p} and {self.top_k}"
            )


@dataclass(frozen=True, slots=True)
class Generated:
    """Captions as tokens."""

    #: [B, L] int64: prompt, caption, end mark where it fits, padding
    ids: Tensor
    #: [B] float32: sum of log-probabilities over length ** length_penalty; the length counts the
    #: prompt and not the end mark
    scores: Tensor


@torch.no_grad()
def generate(
    decoder: TextDecoder,
    memory: Tensor,
    prompt: Tensor,
    config: GenerationConfig,
    generator: torch.Generator | None = None,
) -> Generated:
    """Write one caption for each image.

    Args:
        decoder: the text decoder, in evaluation mode
        memory: [B, M, D] from the tag encoder
        prompt: [P] int64, the tokens every caption starts with
        config: how to search
        generator: source of randomness for sampling

    Raises:
        UsageError: the prompt leaves no room for a caption
    """
    if len(prompt) >= config.max_length:
        raise UsageError(
            f"max_length {config.max_length} leaves no room after a prompt of {len(prompt)} tokens"
        )
    if config.sample or config.num_beams == 1:
        return _one_by_one(decoder, memory, prompt, config, generator)
    return _beam_search(decoder, memory, prompt, config)


def adjust_scores(scores: Tensor, ids: Tensor, config: GenerationConfig) -> Tensor:
    """Apply repetition penalty and least length to next-token scores [R, V] after ids [R, L]."""
    if config.repetition_penalty != 1.0:
        seen = scores.gather(1, ids)
        penalty = config.repetition_penalty
        seen = torch.where(seen < 0, seen * penalty, seen / penalty)
        scores = scores.scatter(1, ids, seen)
    if ids.shape[1] < config.min_length:
        scores = scores.index_fill(1, torch.tensor([config.eos_id], device=ids.device), -torch.inf)
    return scores


def keep_likely(logits: Tensor, top_k: int, top_p: float) -> Tensor:
    """Set all but the likeliest tokens to -inf (nucleus sampling, arXiv 1904.09751): [R, V].

    First the ``top_k`` best are kept; of these, the smallest set of best tokens that reaches
    ``top_p`` of their probability. At least one token is kept.
    """
    if 0 < top_k < logits.shape[1]:
        worst = logits.topk(top_k).values[:, -1:]
        logits = logits.masked_fill(logits < worst, -torch.inf)
    ordered, order = logits.sort(descending=True)
    probabilities = ordered.softmax(-1)
    reached_before = probabilities.cumsum(-1) - probabilities
    drop = torch.zeros_like(logits, dtype=torch.bool).scatter(1, order, reached_before >= top_p)
    return logits.masked_fill(drop, -torch.inf)


def _one_by_one(
    decoder: TextDecoder,
    memory: Tensor,
    prompt: Tensor,
    config: GenerationConfig,
    generator: torch.Generator | None,
) -> Generated:
    """Greedy choice or sampling: one token after the other, none taken back."""
    ids = prompt.to(memory.device).expand(len(memory), -1)
    state, new = decoder.start(memory), ids
    total = torch.zeros(len(memory), device=memory.device)
    length = torch.full_like(total, ids.shape[1])
    running = torch.ones_like(total, dtype=torch.bool)
    while running.any() and ids.shape[1] < config.max_length:
        logits, state = decoder.step(new, state)
        raw = logits[:, -1].float()
        scores = adjust_scores(raw, ids, config)
        if config.sample:
            kept = keep_likely(scores, config.top_k, config.top_p)
            chosen = torch.multinomial(kept.softmax(-1), 1, generator=generator)
        else:
            chosen = scores.argmax(-1, keepdim=True)
        gain = raw.log_softmax(-1).gather(1, chosen)[:, 0]
        total = total + gain * running
        new = chosen.masked_fill(~running[:, None], config.pad_id)
        ids = torch.cat([ids, new], 1)
        running = running & (new[:, 0] != config.eos_id)
        length = length + running
    return Generated(ids, total / length**config.length_penalty)


@dataclass(slots=True)
class _Finished:
    """The best finished captions of one image, at most ``size``."""

    size: int
    #: (score, tokens), best first; among equal scores the latest first
    best: list[tuple[float, Tensor]] = field(default_factory=list)
    done: bool = False

    def add(self, score: float, ids: Tensor) -> None:
        if len(self.best) < self.size or score > self.best[-1][0]:
            place = sum(1 for kept, _ in self.best if kept > score)
            self.best.insert(place, (score, ids))
            del self.best[self.size :]

    def cannot_improve(self, attainable: float) -> bool:
        """Whether no running beam can beat what is kept, if ``attainable`` is its best score."""
        return len(self.best) == self.size and self.best[-1][0] >= attainable


def _beam_search(
    decoder: TextDecoder, memory: Tensor, prompt: Tensor, config: GenerationConfig
) -> Generated:
    """Keep the K likeliest beginnings of each image until K finished captions are better."""
    batch, beams = len(memory), config.num_beams
    ids = prompt.to(memory.device).expand(batch * beams, -1)
    state, new = decoder.start(memory.repeat_interleave(beams, 0)), ids
    sums = torch.full((batch, beams), NEVER, device=memory.device)
    sums[:, 0] = 0.0
    finished = [_Finished(beams) for _ in range(batch)]
    while ids.shape[1] < config.max_length and not all(image.done for image in finished):
        logits, state = decoder.step(new, state)
        scores = adjust_scores(logits[:, -1].float().log_softmax(-1), ids, config)
        totals = (sums.reshape(-1, 1) + scores).reshape(batch, -1)
        # Twice as many as beams: even if K of them end here, K beginnings go on.
        values, places = totals.topk(2 * beams)
        rows, new, sums = _choose(values, places, ids, scores.shape[1], finished, config)
        state = state.reorder(rows)
        ids = torch.cat([ids[rows], new], 1)
    for number, image in enumerate(finished):
        if not image.done:
            scale = ids.shape[1] ** config.length_penalty
            for beam in range(beams):
                image.add(float(sums[number, beam]) / scale, ids[number * beams + beam])
    return _best(finished, config)


def _choose(
    values: Tensor,
    places: Tensor,
    ids: Tensor,
    vocab_size: int,
    finished: list[_Finished],
    config: GenerationConfig,
) -> tuple[Tensor, Tensor, Tensor]:
    """Sort candidates into finished captions and beams that go on.

    Args:
        values: [B, 2K] summed log-probabilities, best first
        places: [B, 2K] beam * V + token of each candidate
        ids: [R, L] what the beams hold
        vocab_size: V
        finished: finished captions of each image; added to
        config: how to search

    Returns:
        rows [R] to go on with, their new tokens [R, 1] and sums [B, K]
    """
    beams, length = config.num_beams, ids.shape[1]
    rows, tokens, sums = [], [], []
    for number, (row_values, row_places) in enumerate(
        zip(values.tolist(), places.tolist(), strict=True)
    ):
        image, going_on = finished[number], 0
        for rank, (value, place) in enumerate(zip(row_values, row_places, strict=True)):
            beam, token = divmod(place, vocab_size)
            row = number * beams + beam
            if token == config.eos_id:
                if rank < beams and not image.done:
                    image.add(value / length**config.length_penalty, ids[row])
            elif going_on < beams:
                rows.append(row)
                tokens.append(token)
                sums.append(value)
                going_on += 1
        attainable = row_values[0] / (length + 1) ** config.length_penalty
        image.done = image.done or image.cannot_improve(attainable)
    device = ids.device
    return (
        torch.tensor(rows, device=device),
        torch.tensor(tokens, device=device)[:, None],
        torch.tensor(sums, device=device).reshape(-1, beams),
    )


def _best(finished: list[_Finished], config: GenerationConfig) -> Generated:
    """The best caption of each image, ended and padded."""
    winners = [image.best[0] for image in finished]
    longest = min(max(len(ids) for _, ids in winners) + 1, config.max_length)
    device = winners[0][1].device
    output = torch.full((len(winners), longest), config.pad_id, device=device)
    for row, (_, ids) in zip(output, winners, strict=True):
        row[: len(ids)] = ids
        if len(ids) < longest:
            row[len(ids)] = config.eos_id
    return Generated(output, torch.tensor([score for score, _ in winners], device=device))
