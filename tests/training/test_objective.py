"""The objective of every family: its terms, means over processes, what is trained and what is not.

The numbers of the published code are under tests/parity.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from anytag.data.transforms import HALF, normalize
from anytag.errors import ConfigError, LabelError
from anytag.models.config import CaptionerConfig, DecoderConfig, EncoderConfig, TaggerConfig
from anytag.models.released import ReleasedConfig, build_released
from anytag.models.reweight import Descriptions
from anytag.models.swin import Swin, SwinConfig
from anytag.models.tagging import TaggingNetwork
from anytag.training.asking import Asked
from anytag.training.batch import Batch, Texts
from anytag.training.blocks import set_trainable
from anytag.training.config import LossConfig
from anytag.training.losses import asymmetric_loss
from anytag.training.objective import Objective

TAGS, TEXT, SIDE, LENGTH = 5, 12, 32, 9
FAMILIES = ("plain", "ram", "ram_plus", "tag2text")
CAPTIONER = CaptionerConfig(
    hidden=8,
    num_layers=2,
    num_heads=2,
    ffn=16,
    vocab_size=11,
    max_positions=LENGTH,
    token_width=12,
    num_shared_layers=1,
)
TAGGER = TaggerConfig(
    encoder=EncoderConfig(backbone="swin", image_size=SIDE, token_width=12),
    decoder=DecoderConfig(hidden=8, num_layers=1, num_heads=2, ffn=16),
    text_width=TEXT,
)
SWIN = SwinConfig(
    image_size=SIDE, embed_dim=4, depths=(2, 2), num_heads=(1, 2), window_size=4, drop_path_rate=0.3
)


@dataclass
class Teacher:
    """Mean colours, tiled; keeps what it was shown."""

    width: int = 12
    seen: list[Tensor] = field(default_factory=list)

    def __call__(self, images: Tensor) -> Tensor:
        self.seen.append(images)
        return images.float().mean((2, 3)).repeat(1, self.width // 3) / 255


@dataclass
class Encoder:
    """A unit vector of the letters of a text."""

    dim: int = TEXT

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        assert all(texts)
        rows = np.zeros((len(texts), self.dim), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for letter in text:
                row[ord(letter) % self.dim] += 1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def build(family: str) -> Any:
    torch.manual_seed(0)
    if family == "plain":
        network: nn.Module = TaggingNetwork(replace(TAGGER, captioner=CAPTIONER), Swin(SWIN))
    else:
        config = ReleasedConfig(
            family=family,
            tagger=TAGGER,
            swin=SWIN,
            num_tags=TAGS if family == "tag2text" else None,
            captioner=None if family == "ram_plus" else CAPTIONER,
        )
        network = build_released(config)
    for parameter in network.parameters():  # so that all terms have a say
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.2)
    return network


def rows_of(family: str) -> Tensor | None:
    torch.manual_seed(1)
    shapes = {"plain": (TAGS, TEXT), "ram": (TAGS, TEXT), "ram_plus": (TAGS, 3, TEXT)}
    return torch.randn(shapes[family]) if family in shapes else None


def terms_of(family: str, **changes: Any) -> LossConfig:
    captions = family != "ram_plus"
    values = {"captioning": captions, "distillation": True, "teacher": "given"}
    return LossConfig(**{**values, "alignment": not captions, **changes})


def make(family: str, network: Any = None, **options: Any) -> Objective:
    config = options.pop("config", None) or terms_of(family)
    given = {"teacher": Teacher(), "text_encoder": Encoder(), **options}
    rows = given.pop("rows", rows_of(family))
    return Objective(network or build(family), rows, config, normalization=HALF, **given)


def make_batch(lengths: Sequence[int] = (9, 7, 0, 6), weights: bool = True) -> Batch:
    """A batch of pictures with captions of so many tokens."""
    torch.manual_seed(2)
    count = len(lengths)
    captions = tuple(f"caption {i}" if n else "" for i, n in enumerate(lengths))
    texts = Texts(
        caption_ids=torch.randint(1, 11, (count, LENGTH)),
        caption_mask=torch.arange(LENGTH) < torch.tensor(lengths)[:, None],
        tag_ids=torch.randint(1, 11, (count, 4)),
        tag_mask=torch.arange(4) < torch.tensor(lengths)[:, None].clamp(max=3),
    )
    return Batch(
        images=torch.randint(0, 256, (count, 3, SIDE, SIDE), dtype=torch.uint8),
        targets=torch.randint(0, 2, (count, TAGS)).float(),
        weights=torch.randint(0, 2, (count, TAGS)).float() if weights else None,
        texts=texts,
        captions=captions,
        positions=torch.arange(count),
    )


def part_of(batch: Batch, rows: slice) -> Batch:
    assert batch.texts is not None
    texts = Texts(**{k: getattr(batch.texts, k)[rows] for k in Texts.__dataclass_fields__})
    weights = None if batch.weights is None else batch.weights[rows]
    return Batch(
        images=batch.images[rows],
        targets=batch.targets[rows],
        weights=weights,
        texts=texts,
        captions=batch.captions[rows],
        positions=batch.positions[rows],
    )


def gradients(objective: Objective, batch: Batch) -> dict[str, Tensor]:
    objective.zero_grad()
    objective(batch)["total"].backward()
    named = objective.named_parameters()
    return {name: p.grad.clone() for name, p in named if p.grad is not None}


@pytest.mark.parametrize("family", FAMILIES)
def test_terms_and_their_sum(family: str) -> None:
    objective = make(family).eval()
    found = objective(make_batch())
    other = "alignment" if family == "ram_plus" else "captioning"
    assert set(found) == {"total", "tagging", other, "distillation"}
    for name, value in found.items():
        assert value.shape == ()
        assert value.dtype == torch.float32
        assert value.requires_grad == (name == "total")
        assert value > 0, name
    shares = {name: value.item() for name, value in found.items()}
    expected = shares["distillation"] + shares[other]
    expected += shares["tagging"] if family == "ram_plus" else shares["captioning"]
    assert shares["total"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_tagging_is_the_mean_loss_of_what_is_predicted(family: str) -> None:
    objective, batch = make(family).eval(), make_batch()
    logits = objective.predict(batch)
    network, rows = objective.network, rows_of(family)
    state = network.prepare() if rows is None else network.prepare(rows)
    plain = network(normalize(batch.images.permute(0, 2, 3, 1).numpy(), HALF), state)
    torch.testing.assert_close(logits, plain)
    loss = asymmetric_loss(
        logits, batch.targets, gamma_neg=7, gamma_pos=0, clip=0.05, weights=batch.weights
    )
    torch.testing.assert_close(objective(batch)["tagging"], loss.mean().detach())


def test_only_chosen_terms_are_computed() -> None:
    objective = make("plain", config=LossConfig(tagging_weight=3.0), teacher=None)
    batch = replace(make_batch(), texts=None)
    found = objective.eval()(batch)
    assert set(found) == {"total", "tagging"}
    torch.testing.assert_close(found["total"].detach(), 3 * found["tagging"])


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_reaches_every_parameter(family: str) -> None:
    objective = make(family).train()
    found = gradients(objective, make_batch())
    for name, parameter in objective.named_parameters():
        gradient = found[name]
        assert gradient.shape == parameter.shape
        assert gradient.isfinite().all(), name
        # Every key moved by the same amount leaves a softmax as it is.
        assert gradient.any() or name.endswith("key.bias"), name


def test_captions_alone_reach_the_whole_captioner() -> None:
    objective = make("ram", config=terms_of("ram", distillation=False), teacher=None).eval()
    batch = make_batch()
    assert batch.texts is not None
    objective.captioning(
        objective.encode(objective.normalize(batch.images)), batch.texts
    ).backward()
    captioner = objective.network.captioner
    assert isinstance(captioner, nn.Module)
    reached = [name for name, p in captioner.named_parameters() if p.grad is not None]
    assert len(reached) == len(list(captioner.parameters()))
    shared = objective.network.decoder.layers[0]
    assert all(parameter.grad is not None for parameter in shared.parameters())
    assert objective.network.encoder.backbone.norm.weight.grad.any()
    assert objective.network.decoder.logit.weight.grad is None


def test_pictures_without_a_caption_count_nothing() -> None:
    objective, batch = make("plain").eval(), make_batch()
    texts = batch.texts
    assert texts is not None
    other = replace(texts, caption_ids=texts.caption_ids.clone(), tag_ids=texts.tag_ids.clone())
    other.caption_ids[2] = 3
    other.tag_ids[2] = 3
    expected = objective(batch)["captioning"]
    assert torch.equal(objective(replace(batch, texts=other))["captioning"], expected)
    kept = [0, 1, 3]
    short = Texts(**{k: getattr(texts, k)[kept] for k in Texts.__dataclass_fields__})
    alone = replace(
        batch,
        images=batch.images[kept],
        targets=batch.targets[kept],
        weights=None,
        texts=short,
        captions=tuple(batch.captions[i] for i in kept),
        positions=batch.positions[kept],
    )
    torch.testing.assert_close(objective(alone)["captioning"], expected)


def test_attention_always_has_something_to_look_at() -> None:
    """Over nothing at all it is NaN with some of torch's kernels."""
    objective = make("plain").eval()
    masks: list[Tensor] = []
    captioner = objective.network.captioner
    for part, place in ((captioner.encoder, 1), (captioner.decoder, 2)):
        part.register_forward_pre_hook(lambda _, inputs, place=place: masks.append(inputs[place]))
    objective(make_batch((9, 7, 0, 6)))
    assert [mask.any(1).all() for mask in masks] == [True, True]
    assert masks[1].sum(1).tolist() == [9, 7, 1, 6]


def test_a_batch_without_any_caption() -> None:
    objective, batch = make("plain").eval(), make_batch((0, 0, 0))
    found = objective(batch)
    assert found["captioning"] == 0
    torch.testing.assert_close(found["total"].detach(), found["tagging"] + found["distillation"])
    # Zeros and not nothing: DDP waits for a gradient of every parameter.
    collected = gradients(objective, batch)
    assert collected.keys() == dict(objective.named_parameters()).keys()
    assert not collected["network.captioner.decoder.bias"].any()


class Exchange:
    """Means over threads that stand for processes."""

    def __init__(self, num_processes: int) -> None:
        self.barrier = threading.Barrier(num_processes, timeout=30)
        self.values: list[Tensor] = [torch.zeros(())] * num_processes

    def of(self, rank: int) -> Callable[[Tensor], Tensor]:
        def mean(value: Tensor) -> Tensor:
            self.values[rank] = value
            self.barrier.wait()
            result = torch.stack(self.values).mean(0)
            self.barrier.wait()
            return result

        return mean


@pytest.mark.parametrize("cut", [2, 3])
@pytest.mark.parametrize("lengths", [(9, 7, 0, 6), (0, 0, 0, 8), (0, 0, 0, 0)])
@pytest.mark.parametrize("family", ["plain", "ram", "tag2text", "ram_plus"])
def test_processes_with_parts_equal_one_with_all(
    family: str, lengths: tuple[int, ...], cut: int
) -> None:
    """Also where the parts have other numbers of pictures and of caption tokens."""
    changes = {"alignment": False}  # its queries are the captions of one process
    config = terms_of(family, **changes)
    batch, network = make_batch(lengths), build(family)
    whole = make(family, copy.deepcopy(network), config=config).eval()
    expected_loss = {k: v.detach() for k, v in whole(batch).items()}
    expected = gradients(whole, batch)
    exchange = Exchange(2)
    results: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = [({}, {})] * 2

    # Made one after the other: threads share the random numbers that they are made with.
    copies = [
        make(family, copy.deepcopy(network), config=config, reduce=exchange.of(rank)).eval()
        for rank in range(2)
    ]

    def run(rank: int, part: Batch) -> None:
        losses = copies[rank](part)
        losses["total"].backward()
        named = copies[rank].named_parameters()
        grads = {name: p.grad for name, p in named if p.grad is not None}
        results[rank] = ({k: v.detach() for k, v in losses.items()}, grads)

    parts = [part_of(batch, slice(0, cut)), part_of(batch, slice(cut, None))]
    threads = [threading.Thread(target=run, args=(i, part)) for i, part in enumerate(parts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, value in expected_loss.items():
        mean = (results[0][0][name] + results[1][0][name]) / 2
        torch.testing.assert_close(mean, value, rtol=1e-5, atol=1e-7)
    for name, value in expected.items():
        mean = (results[0][1][name] + results[1][1][name]) / 2
        torch.testing.assert_close(mean, value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision(family: str) -> None:
    objective, batch = make(family).eval(), make_batch()
    exact = objective(batch)["total"].item()
    objective.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        found = objective(batch)
    assert found["total"].dtype == torch.float32
    assert found["total"].item() == pytest.approx(exact, rel=0.05)
    found["total"].backward()
    for name, parameter in objective.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all(), name


def test_frozen_parts_stay_as_in_evaluation() -> None:
    network = build("ram")
    set_trainable(network, 1)
    objective = make("ram", network).train()
    blocks = [block for stage in network.encoder.backbone.layers for block in stage.blocks]
    assert [block.training for block in blocks] == [False, False, False, True]
    assert not blocks[1].drop_path.training
    assert network.decoder.training
    found = gradients(objective, make_batch())
    assert not any(name.startswith("network.encoder.backbone.patch_embed") for name in found)
    assert any(name.startswith("network.encoder.backbone.layers.1") for name in found)
    objective.eval()
    assert not network.decoder.training


@pytest.mark.parametrize("family", FAMILIES)
def test_recomputed_activations_give_equal_gradients(family: str) -> None:
    network, batch = build(family), make_batch()
    found = []
    for again in (False, True):
        objective = make(family, copy.deepcopy(network), checkpoint_activations=again).train()
        torch.manual_seed(3)
        found.append(gradients(objective, batch))
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        assert torch.equal(found[1][name], value), name


def test_text_rows_are_frozen_and_not_saved() -> None:
    objective = make("ram_plus")
    gradients(objective, make_batch())
    assert not any("rows" in name for name in objective.state_dict())
    assert not any("rows" in name for name, _ in objective.named_parameters())
    assert {"label_rows", "label_rows_0"} <= {name for name, _ in objective.named_buffers()}
    assert objective.state_dict().keys() == {
        f"network.{name}" for name in objective.network.state_dict()
    }


def test_teachers_of_another_width_get_an_adapter() -> None:
    teacher = Teacher(width=18)
    objective, batch = make("plain", teacher=teacher).eval(), make_batch()
    assert objective.adapter is not None
    found = gradients(objective, batch)
    assert found["adapter.weight"].shape == (18, 12)
    assert found["adapter.weight"].any()
    assert not any("adapter" in name for name in objective.network.state_dict())
    assert make("plain").adapter is None


def test_the_teacher_sees_the_same_crop_and_is_not_trained() -> None:
    teacher = Teacher()
    objective, batch = make("plain", teacher=teacher), make_batch()
    objective(batch)
    assert len(teacher.seen) == 1
    assert torch.equal(teacher.seen[0], batch.images)
    expected = teacher(batch.images)
    tokens = objective.eval().encode(objective.normalize(batch.images))
    distance = (tokens[:, 0] - expected).abs().mean()
    torch.testing.assert_close(objective(batch)["distillation"], distance.detach())


@pytest.mark.parametrize("family", ["plain", "ram_plus"])
def test_alignment_asks_for_each_caption(family: str) -> None:
    config = LossConfig(alignment=True)
    objective = make(family, config=config, teacher=None).eval()
    batch = replace(make_batch(), captions=("a cat", "a dog", "", "a cat"))
    network, places = objective.network, [0, 1, 3]
    tokens = objective.encode(objective.normalize(batch.images))
    rows = torch.from_numpy(Encoder().encode(["a cat", "a dog", "a cat"]))
    logits = network.decoder(network.decoder.prepare(network.queries(rows)), tokens[places])
    targets = torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 0, 1]])
    expected = asymmetric_loss(logits, targets, gamma_neg=4, gamma_pos=0, clip=0.05).mean()
    torch.testing.assert_close(objective(batch)["alignment"], expected.detach())
    silent = objective(replace(batch, captions=("",) * 4))
    assert silent["alignment"] == 0
    assert silent["total"].isfinite()


def test_descriptions_of_any_number() -> None:
    counts = [1, 3, 2, 1, 2]
    descriptions = Descriptions.from_rows(torch.randn(sum(counts), TEXT), counts)
    objective = make("ram_plus", rows=descriptions).eval()
    logits = objective.predict(make_batch())
    network = objective.network
    expected = network(objective.normalize(make_batch().images), descriptions)
    torch.testing.assert_close(logits, expected)


def test_tag2text_can_learn_some_of_its_tags() -> None:
    objective = make("tag2text", rows=torch.tensor([4, 1])).eval()
    whole = make("tag2text", objective.network).eval()
    batch = make_batch()
    torch.testing.assert_close(objective.predict(batch), whole.predict(batch)[:, [4, 1]])


def test_training_lowers_every_term() -> None:
    """A few dozen steps on one batch, as it would be trained."""
    objective, batch = make("plain").train(), make_batch(weights=False)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=1e-2)
    torch.manual_seed(4)
    first = objective.eval()(batch)
    objective.train()
    for _ in range(60):
        optimizer.zero_grad()
        objective(batch)["total"].backward()
        optimizer.step()
    last = objective.eval()(batch)
    for name in ("tagging", "captioning", "distillation"):
        assert last[name] < 0.7 * first[name], (name, first[name], last[name])


@pytest.mark.parametrize(
    ("family", "options", "error", "message"),
    [
        ("plain", {"rows": None}, ConfigError, "needs the text embeddings"),
        (
            "plain",
            {"rows": torch.eye(TAGS, TEXT) * 0},
            LabelError,
            "5 text embeddings are all zero",
        ),
        ("ram_plus", {"rows": torch.zeros(TAGS, 2, TEXT)}, LabelError, r"first at \[0, 0\]"),
        ("plain", {"teacher": None}, ConfigError, "there is no teacher"),
        ("ram_plus", {"text_encoder": None}, ConfigError, "there is no text encoder"),
        ("ram_plus", {"text_encoder": Encoder(7)}, ConfigError, "gives 7 numbers"),
        ("ram_plus", {"config": LossConfig(captioning=True)}, ConfigError, "no captioner"),
        ("tag2text", {"config": LossConfig(alignment=True)}, ConfigError, "queries made of texts"),
    ],
)
def test_terms_that_a_network_cannot_have(
    family: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make(family, **options)


def test_captions_need_texts() -> None:
    with pytest.raises(ConfigError, match="the batch holds no texts"):
        make("plain")(replace(make_batch(), texts=None))


@pytest.mark.parametrize("family", FAMILIES)
def test_some_tags_can_be_asked(family: str) -> None:
    """Each draw's loss is that of its tags alone; their mean is that of all tags."""
    batch = make_batch(weights=False)
    batch = replace(batch, targets=torch.eye(4, TAGS) * torch.tensor([1.0, 1, 0, 0])[:, None])
    alone = {"captioning": False, "distillation": False, "alignment": False, "gamma_neg": 1.0}
    every = make(family, config=terms_of(family, **alone)).eval()
    asking = make(family, every.network, config=terms_of(family, num_asked_tags=4, **alone)).eval()
    whole = every(batch)["tagging"]
    found = torch.stack([asking(batch)["tagging"] for _ in range(60)])
    assert len(found.unique()) == 3  # one of the three tags that do not occur is left out
    assert torch.isclose(found.unique().mean(), whole, rtol=1e-5)


@pytest.mark.parametrize("family", ["plain", "ram"])
def test_each_picture_can_be_asked_its_own_tags(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss is that of the tags that were chosen for each picture, and of no others."""
    batch = make_batch()
    alone = {"captioning": False, "distillation": False, "alignment": False, "gamma_neg": 1.0}
    every = make(family, config=terms_of(family, **alone)).eval()
    config = terms_of(family, num_asked_tags=2, asked_by="picture", **alone)
    own = make(family, every.network, config=config).eval()
    ids = torch.tensor([[0, 3], [4, 1], [2, 0], [3, 4]])
    share = torch.tensor([1.0, 4.0])
    monkeypatch.setattr(
        "anytag.training.objective.choose_own_tags", lambda targets, number: Asked(ids, share)
    )
    weights = torch.zeros(4, TAGS).scatter(1, ids, share.expand(4, -1))
    assert batch.weights is not None
    expected = asymmetric_loss(
        every.predict(batch),
        batch.targets,
        gamma_neg=1.0,
        gamma_pos=config.gamma_pos,
        clip=config.clip,
        weights=weights * batch.weights,
    )
    assert torch.isclose(own(batch)["tagging"], expected.mean(), rtol=1e-5)


@pytest.mark.parametrize("family", ["ram_plus", "tag2text"])
def test_who_cannot_ask_each_picture_other_tags(family: str) -> None:
    config = terms_of(family, num_asked_tags=2, asked_by="picture")
    with pytest.raises(ConfigError, match=r"loss\.asked_by"):
        make(family, config=config)
