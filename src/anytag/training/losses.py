"""The losses of RAM, RAM++ and Tag2Text: one function an equation, tensors in, float32 out.

Sources: asymmetric loss, Ridnik et al. 2021 (arXiv 2009.14119), eq. 4-7; captioning and the sum of
losses, Tag2Text (arXiv 2303.05657) and RAM (arXiv 2306.03514), section 4; alignment, RAM++
(arXiv 2310.15200), section 3.2. Every loss is computed in float32 whatever precision comes in, and
gives sums and not means, so that the caller can divide by what all processes have together.

Shapes: B images, T tags, Q captions as queries, L caption tokens, V vocabulary, W teacher width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

#: mean of a value over the processes of a run
Reduce = Callable[[Tensor], Tensor]


def asymmetric_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    gamma_neg: float,
    gamma_pos: float,
    clip: float,
    weights: Tensor | None = None,
    eps: float = 1e-8,
) -> Tensor:
    """Binary cross-entropy that forgets absent tags once they are scored low (eq. 7), [B].

    With p = sigmoid(logit) and m = min(1 - p + clip, 1):
    -(1 - p)^gamma_pos log p for present tags, -(1 - m)^gamma_neg log m for absent ones, summed over
    the tags. The focusing factor carries no gradient, as in the code of the paper's authors.

    Args:
        logits: [B, T]
        targets: [B, T] in [0, 1]
        gamma_neg: focusing of absent tags
        gamma_pos: focusing of present tags
        clip: probability below which an absent tag costs nothing
        weights: of each answer, [B, T]; 0 = not known; None = 1
        eps: least probability of which the logarithm is taken

    >>> loss = asymmetric_loss(
    ...     torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), gamma_neg=0, gamma_pos=0, clip=0
    ... )
    >>> round(loss.item(), 4)
    1.3863
    """
    targets = targets.float()
    present = logits.float().sigmoid()
    absent = (1 - present + clip).clamp(max=1)
    loss = -(targets * present.clamp(min=eps).log() + (1 - targets) * absent.clamp(min=eps).log())
    if gamma_neg or gamma_pos:
        with torch.no_grad():
            likely = targets * present + (1 - targets) * absent
            gamma = targets * gamma_pos + (1 - targets) * gamma_neg
            focus = (1 - likely) ** gamma
        loss = loss * focus
    if weights is not None:
        loss = loss * weights.float()
    return loss.sum(-1)


def caption_loss(
    logits: Tensor, ids: Tensor, mask: Tensor, *, num_ignored: int, label_smoothing: float
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each next token: sum over the tokens, and their number.

    The first ``num_ignored`` positions are given and not learned: the start mark and the prompt,
    "a picture of", that stands in front of every caption. (The published code leaves out as many
    positions of captions that have no prompt, and so never learns their first three word pieces.)

    Args:
        logits: [B, L, V]; position i is the answer to what stands at i + 1
        ids: the captions [B, L] int64
        mask: [B, L], 1 or True where there is text
        num_ignored: positions at the start that are not answers
        label_smoothing: share of the answer that is spread over the vocabulary

    Returns:
        the sum, and the number of answers as float32
    """
    learned = mask.bool().clone()
    learned[:, :num_ignored] = False
    answers = torch.where(learned, ids, -100)[:, 1:]
    total = F.cross_entropy(
        logits[:, :-1].float().flatten(0, 1),
        answers.flatten(),
        ignore_index=-100,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    return total, count_answers(mask, num_ignored)


def count_answers(mask: Tensor, num_ignored: int) -> Tensor:
    """How many tokens of captions [B, L] are answers, float32."""
    return mask[:, max(1, num_ignored) :].bool().sum().float()


def distillation_loss(feature: Tensor, teacher: Tensor) -> Tensor:
    """Mean absolute difference to a teacher's feature, which is not normalised: [B, W] -> [B]."""
    return (feature.float() - teacher.float()).abs().mean(-1)


def alignment_loss(logits: Tensor, positives: Tensor, *, gamma_neg: float, clip: float) -> Tensor:
    """RAM++: asymmetric loss over the captions of a batch as queries, [B, Q] -> [B].

    Args:
        logits: of each caption for each image [B, Q]
        positives: [B, Q] bool, the captions of an image
        gamma_neg: focusing of the others
        clip: as in `asymmetric_loss`
    """
    targets = positives.float()
    return asymmetric_loss(logits, targets, gamma_neg=gamma_neg, gamma_pos=0.0, clip=clip)


def same_captions(captions: tuple[str, ...]) -> Tensor:
    """Which captions say the same, [B, B] bool; those that are empty equal nothing.

    Two images with the same words are both right answers to them: the published code's identity
    matrix would teach one of the two that it is not what its own caption says.
    """
    numbers = {text: number for number, text in enumerate(dict.fromkeys(captions))}
    places = torch.tensor([numbers[text] for text in captions])
    there = torch.tensor([bool(text) for text in captions])
    return (places[:, None] == places) & there[:, None] & there


def joint_loss(
    tagging: Tensor,
    *,
    captioning: Tensor | None = None,
    distillation: Tensor | None = None,
    alignment: Tensor | None = None,
    tagging_weight: float = 1.0,
    distillation_weight: float = 1.0,
    reduce: Reduce = lambda value: value,
) -> Tensor:
    """The sum that is minimised.

    With captions (RAM, Tag2Text), tagging is scaled to the size of the caption loss of this step
    and no weight is needed: L_cap + L_tag stopgrad(L_cap / L_tag) + w_dis L_dis. Without (RAM++,
    and data without texts): w_tag (L_tag + L_align) + w_dis L_dis.

    Args:
        tagging: scalar
        captioning: scalar; None = not trained. 0, a batch without any caption, leaves nothing to
            scale to: `tagging_weight` counts then
        distillation: scalar or None
        alignment: scalar or None
        tagging_weight: see above; 1 for losses that are summed over images gives the published sum
        distillation_weight: see above
        reduce: mean over processes, so that all of them scale by the same ratio
    """
    if captioning is None:
        total = tagging_weight * (tagging if alignment is None else tagging + alignment)
    else:
        size, target = reduce(torch.stack([tagging.detach(), captioning.detach()]))
        ratio = target / size.clamp(min=torch.finfo(torch.float32).tiny)
        scale = torch.where(target > 0, ratio.clamp(max=MAX_RATIO), tagging_weight)
        total = captioning + scale * tagging
        if alignment is not None:
            total = total + tagging_weight * alignment
    if distillation is not None:
        total = total + distillation_weight * distillation
    return total


#: bounds the factor on a tagging loss that has all but vanished
MAX_RATIO = 1e6
