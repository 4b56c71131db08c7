"""`Objective`: a network, its tags and what it learns from, as one module that gives a loss.

Sources: RAM (arXiv 2306.03514), section 4; RAM++ (arXiv 2310.15200), section 3; Tag2Text
(arXiv 2303.05657). One pass of the image encoder serves all terms:

    tagging        asymmetric loss of the tags, summed over tags, mean over images
    captioning     cross-entropy of the caption's tokens, mean over tokens; the tag texts of the
                   batch and the image are what is read
    distillation   distance of the mean token to the teacher's feature of the same crop
    alignment      the captions of the batch as queries for each of its images

Means are over all processes: a sum is divided by the number of its images or tokens averaged over
processes, so that the average of gradients that DDP and FSDP take is the gradient of the whole
batch. Alignment alone differs, as in the published code: its queries are the captions of one
process.

Shapes: B images, S side in pixels, N image tokens, T tags, Q captions, E text width.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from anytag.data.transforms import Normalization, normalize
from anytag.errors import ConfigError, LabelError
from anytag.inference.vocabulary import Rows, TextEncoder
from anytag.models.captioner import Captioner
from anytag.models.released import Ram, RamPlus, ReleasedNetwork, Tag2Text, read_tags
from anytag.models.reweight import Descriptions
from anytag.models.tagging import TaggingNetwork
from anytag.training.asking import choose_own_tags, choose_tags
from anytag.training.batch import Batch, Texts
from anytag.training.blocks import (
    checkpoint_blocks,
    in_chunks,
    is_frozen,
    put_channels_last,
    rest_frozen,
)
from anytag.training.config import LossConfig
from anytag.training.features import cut_backbone
from anytag.training.losses import (
    Reduce,
    alignment_loss,
    asymmetric_loss,
    caption_loss,
    count_answers,
    distillation_loss,
    joint_loss,
    same_captions,
)
from anytag.training.teacher import ImageTeacher

#: positions of "[DEC] a picture of" in bert-base-uncased
PROMPT_LENGTH = 4

Network = TaggingNetwork | ReleasedNetwork


class Objective(nn.Module):
    """What a step minimises.

    Args:
        network: what is trained; freeze parts of it before (`anytag.training.blocks`)
        rows: what its ``prepare`` takes: text embeddings [T, E], RAM++'s descriptions, or
            Tag2Text's tag numbers [T] int64, None = all. They are frozen; Tag2Text's own queries
            are trained
        config: terms of the loss
        normalization: statistics of the network's input
        teacher: for distillation
        text_encoder: embeds captions for alignment, as it embedded the rows
        prompt_length: positions at the start of every caption that are given: start mark and prompt
        checkpoint_activations: compute the backbone's activations again in the backward pass
        reduce: mean of a value over processes

    Raises:
        ConfigError: a term that this network cannot have, or lacks its teacher
        LabelError: a row is all zeros
    """

    def __init__(
        self,
        network: Network,
        rows: Rows | None,
        config: LossConfig,
        *,
        normalization: Normalization,
        teacher: ImageTeacher | None = None,
        text_encoder: TextEncoder | None = None,
        prompt_length: int = PROMPT_LENGTH,
        checkpoint_activations: bool = False,
        reduce: Reduce = lambda value: value,
    ) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.normalization = normalization
        self.prompt_length = prompt_length
        self.reduce = reduce
        # Neither is a submodule: both are frozen, and saved states hold neither.
        self.teacher = teacher
        self.text_encoder = text_encoder
        self.adapter: nn.Linear | None = None
        _check_terms(network, config, teacher, text_encoder)
        self._keep_rows(rows)
        if config.distillation and teacher is not None:
            width = network.encoder.token_width
            if width != teacher.width:
                self.adapter = nn.Linear(width, teacher.width)
        put_channels_last(network.encoder.backbone)
        if checkpoint_activations:
            checkpoint_blocks(network.encoder.backbone)

    def train(self, mode: bool = True) -> Objective:
        """Training mode for what is trained; frozen parts stay in evaluation mode."""
        super().train(mode)
        if mode:
            rest_frozen(self.network)
        return self

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The loss of a batch.

        Returns:
            "total", which has a gradient, and each term that is trained ("tagging", "captioning",
            "distillation", "alignment") before its weight: float32 scalars whose mean over
            processes is that of the whole batch

        Raises:
            ConfigError: captions are learned and the batch has no texts
        """
        config = self.config
        tokens = self.see(batch)
        num_images, num_answers, num_captions = self._count(batch)
        terms = {"tagging": self.tagging(tokens, batch) / num_images}
        if config.captioning:
            terms["captioning"] = self.captioning(tokens, _texts(batch)) / num_answers
        if config.distillation:
            terms["distillation"] = self.distillation(tokens, _images(batch)) / num_images
        if config.alignment:
            terms["alignment"] = self.alignment(tokens, batch.captions) / num_captions
        total = joint_loss(
            **terms,
            tagging_weight=config.tagging_weight,
            distillation_weight=config.distillation_weight,
            reduce=self.reduce,
        )
        return {"total": total, **{name: value.detach() for name, value in terms.items()}}

    def predict(self, batch: Batch) -> Tensor:
        """Logits [B, T]."""
        return self._tag(self.see(batch), self.rows)

    def see(self, batch: Batch) -> Tensor:
        """Image tokens [B, 1 + N, D] of a batch's images, or of their features."""
        if batch.features is None:
            return self.encode(self.normalize(_images(batch)))
        encoder = self.network.encoder
        return encoder.project(cut_backbone(encoder.backbone).upper(batch.features.float()))

    def normalize(self, images: Tensor) -> Tensor:
        """uint8 [B, 3, S, S] to what the network takes."""
        return normalize(images.permute(0, 2, 3, 1), self.normalization)

    def encode(self, images: Tensor) -> Tensor:
        """Normalised images to image tokens [B, 1 + N, D]."""
        encoder = self.network.encoder
        wanted = torch.is_grad_enabled() and not is_frozen(encoder.backbone)
        with torch.set_grad_enabled(wanted):
            tokens = in_chunks(encoder.backbone, images)
        return encoder.project(tokens)

    def tagging(self, tokens: Tensor, batch: Batch) -> Tensor:
        """Sum over images."""
        config = self.config
        targets, weights, rows = batch.targets, batch.weights, self.rows
        is_own = config.asked_by == "picture"
        choose = choose_own_tags if is_own else choose_tags
        asked = choose(targets, config.num_asked_tags)
        if asked is None:
            logits = self._tag(tokens, rows)
        else:
            ids = asked.ids if is_own else asked.ids.expand(len(targets), -1)
            known = 1.0 if weights is None else weights.gather(1, ids)
            targets = targets.gather(1, ids)
            weights = (known * asked.weights).expand_as(targets)
            logits = (
                self._tag_each(tokens, rows, ids)
                if is_own
                else self._tag(tokens, _take(rows, asked.ids))
            )
        return asymmetric_loss(
            logits,
            targets,
            gamma_neg=config.gamma_neg,
            gamma_pos=config.gamma_pos,
            clip=config.clip,
            weights=weights,
        ).sum()

    def captioning(self, tokens: Tensor, texts: Texts) -> Tensor:
        """Sum over the tokens of captions."""
        captioner = cast(Captioner, self.network.captioner)
        # Images without a caption go through as well, and count nothing: every process then has
        # the same graph. Their start mark stays visible, for attention to nothing is NaN.
        memory = read_tags(self.network, tokens, texts.tag_ids, _with_start(texts.tag_mask))
        logits = captioner.decoder(texts.caption_ids, memory, _with_start(texts.caption_mask))
        total, _ = caption_loss(
            logits,
            texts.caption_ids,
            texts.caption_mask,
            num_ignored=self.prompt_length,
            label_smoothing=self.config.label_smoothing,
        )
        return total

    def distillation(self, tokens: Tensor, images: Tensor) -> Tensor:
        """Sum over images."""
        teacher = cast(ImageTeacher, self.teacher)
        mean_token = tokens[:, 0]
        feature = mean_token if self.adapter is None else self.adapter(mean_token)
        return distillation_loss(feature, teacher(images)).sum()

    def alignment(self, tokens: Tensor, captions: tuple[str, ...]) -> Tensor:
        """Sum over the images that have a caption; equal captions are right for each other."""
        places = [place for place, text in enumerate(captions) if text]
        if not places:
            return tokens.new_zeros((), dtype=torch.float32)
        network = cast(TaggingNetwork, self.network)
        texts = tuple(captions[place] for place in places)
        rows = torch.tensor(cast(TextEncoder, self.text_encoder).encode(texts))
        queries = network.queries(rows.to(tokens.device))
        logits = network.decoder(network.decoder.prepare(queries), tokens[places])
        positives = same_captions(texts).to(tokens.device)
        return alignment_loss(
            logits, positives, gamma_neg=self.config.alignment_gamma_neg, clip=self.config.clip
        ).sum()

    def _tag(self, tokens: Tensor, rows: Rows | None) -> Tensor:
        """Logits [B, T]; the label state is computed anew, since what makes it is trained."""
        network = self.network
        if isinstance(network, RamPlus):
            return network.tag(tokens, network.prepare(cast(Descriptions, rows)))
        if isinstance(network, Tag2Text):
            chosen: Tensor = network.decoder(network.prepare(cast("Tensor | None", rows)), tokens)
            return chosen
        logits: Tensor = network.decoder(network.prepare(cast(Tensor, rows)), tokens)
        return logits

    def _tag_each(self, tokens: Tensor, rows: Rows | None, ids: Tensor) -> Tensor:
        """Logits [B, K] of tags [B, K] of each image's own."""
        network = cast("TaggingNetwork | Ram", self.network)
        state = network.prepare(cast(Tensor, rows))
        logits: Tensor = network.decoder(state.take_each(ids), tokens)
        return logits

    @property
    def rows(self) -> Rows | None:
        """What the network's ``prepare`` takes."""
        # Any: modules give their attributes as tensors or modules
        held: Any = self
        if self._num_groups == 0:
            return cast("Tensor | None", held.label_rows)
        groups = tuple(getattr(held, f"label_rows_{i}") for i in range(self._num_groups))
        return Descriptions(groups, held.label_rows)

    def _keep_rows(self, rows: Rows | None) -> None:
        """As buffers: they move with the module, and are neither saved nor sent with it."""
        if isinstance(self.network, RamPlus) and isinstance(rows, Tensor):
            rows = self.network.prepare(rows)
        if rows is None and not isinstance(self.network, Tag2Text):
            raise ConfigError("this network needs the text embeddings of its tags")
        groups = rows.groups if isinstance(rows, Descriptions) else ()
        first = rows.order if isinstance(rows, Descriptions) else rows
        self._num_groups = len(groups)
        buffers = {"label_rows": first, **{f"label_rows_{i}": g for i, g in enumerate(groups)}}
        for name, values in buffers.items():
            if values is not None and values.is_floating_point():
                _check_rows(values)
            self.register_buffer(name, values, persistent=False)
        # DDP would send them from the first process to all others before each step.
        self._ddp_params_and_buffers_to_ignore = list(buffers)

    def _count(self, batch: Batch) -> Tensor:
        """Images, caption tokens to be learned and captions: their mean over processes, [3]."""
        device = batch.targets.device
        answers = torch.zeros((), device=device)
        if batch.texts is not None:
            answers = count_answers(batch.texts.caption_mask, self.prompt_length)
        images = torch.tensor(float(len(batch)), device=device)
        captions = torch.tensor(float(sum(map(bool, batch.captions))), device=device)
        counts = self.reduce(torch.stack([images, answers, captions]))
        return torch.where(counts > 0, counts, 1.0)  # a sum over nothing is 0 and stays 0


def _take(rows: Rows | None, ids: Tensor) -> Rows:
    if rows is None:  # all of Tag2Text's
        return ids
    return rows.take(ids.tolist()) if isinstance(rows, Descriptions) else rows[ids]


def _images(batch: Batch) -> Tensor:
    assert batch.images is not None  # the loader gives them wherever it gives no features
    return batch.images


def _texts(batch: Batch) -> Texts:
    if batch.texts is None:
        raise ConfigError(
            "captioning is on, and the batch holds no texts: the data need captions, and the "
            "loader a WordPiece vocabulary"
        )
    return batch.texts


def _with_start(mask: Tensor) -> Tensor:
    seen = mask.bool().clone()
    seen[:, 0] = True
    return seen


def _check_rows(rows: Tensor) -> None:
    zero = ~rows.any(-1)
    if zero.any():
        place = zero.nonzero()[0].tolist()
        raise LabelError(
            f"{int(zero.sum())} text embeddings are all zeros, the first at {place}: such tags "
            "cannot be told apart; embed their names with the model's text encoder"
        )


def _check_terms(
    network: Network,
    config: LossConfig,
    teacher: ImageTeacher | None,
    text_encoder: TextEncoder | None,
) -> None:
    if config.captioning and network.captioner is None:
        raise ConfigError(
            "captioning is on, and the network has no captioner; give a new one its width "
            "(model.captioner_width), or turn loss.captioning off"
        )
    if config.distillation and teacher is None:
        raise ConfigError("distillation is on, and there is no teacher")
    if config.asked_by == "picture" and isinstance(network, RamPlus | Tag2Text):
        raise ConfigError(
            "loss.asked_by: RAM++ and Tag2Text can ask all pictures of a step the same tags alone; "
            "use batch"
        )
    if not config.alignment:
        return
    if isinstance(network, Tag2Text):
        raise ConfigError("alignment needs queries made of texts; Tag2Text's are learned")
    if text_encoder is None:
        raise ConfigError("alignment is on, and there is no text encoder")
    width = network.queries.projection.in_features
    if text_encoder.dim != width:
        raise ConfigError(
            f"the text encoder for alignment gives {text_encoder.dim} numbers, the network's "
            f"queries take {width}; use the encoder that its tags were embedded with"
        )
