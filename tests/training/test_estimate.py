"""The estimate: published counts, the built network's own, real data, and what it says."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from anytag.data.transforms import CLIP
from anytag.errors import ConfigError, UsageError
from anytag.models.config import DecoderConfig, EncoderConfig, TaggerConfig
from anytag.models.tagging import TaggingNetwork
from anytag.training.config import (
    DataConfig,
    LossConfig,
    ModelConfig,
    RunConfig,
    SourceConfig,
    TrainConfig,
)
from anytag.training.config_file import changed
from anytag.training.estimate import EFFICIENCY, USABLE, Estimate, estimate_run
from anytag.training.estimate_cluster import DEVICES, parse_cluster
from anytag.training.estimate_data import RAM_TAGS, plan_data
from anytag.training.estimate_model import ClipTower, Plan, count_parameters, plan_run
from anytag.training.meta_step import MemoryPeak, count_flops, measure_parts, measure_step
from anytag.training.model_io import open_trainable
from anytag.training.objective import Objective
from anytag.training.presets import ram_14m

GIGA = 1e9


def tiny(model: Path, *changes: str, data: str = "nowhere.csv") -> TrainConfig:
    config = TrainConfig(
        output="runs/none",
        model=ModelConfig(start=str(model)),
        data=DataConfig(train=(SourceConfig(path=data),), val_every=4),
        run=RunConfig(batch_size=8, epochs=2),
    )
    return changed(config, changes)


def released(network: str, image_size: int, **loss: bool) -> TrainConfig:
    return TrainConfig(
        output="runs/none",
        model=ModelConfig(network=network, image_size=image_size),
        data=DataConfig(train=(SourceConfig(path="nowhere"),), labels="data"),
        loss=LossConfig(**loss),
    )


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A CSV of 40 pictures with three tags."""
    path = tmp_path / "pictures" / "my.csv"
    path.parent.mkdir()
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "tags"])
        for number in range(40):
            Image.new("RGB", (8, 8)).save(path.parent / f"{number}.png")
            table.writerow([f"{number}.png", ("a", "b", "c")[number % 3]])
    return path


@pytest.fixture(scope="module")
def ram() -> Plan:
    return plan_run(released("ram_swin_large", 384, captioning=True), RAM_TAGS)


def test_ram_has_the_published_numbers_of_parameters(ram: Plan) -> None:
    counts = count_parameters(ram)
    assert counts["backbone"][0] / 1e6 == pytest.approx(195.20, abs=0.005)
    label_rows = RAM_TAGS * 512  # frozen; the released file counts them
    total = sum(one[0] for one in counts.values()) + label_rows
    assert total / 1e6 == pytest.approx(469.15, abs=0.005)


def test_ram_does_the_published_work(ram: Plan) -> None:
    flops = measure_parts(ram.objective, image_size=384, num_tags=RAM_TAGS, num_tokens=40)
    assert flops["backbone"] / 2 / GIGA == pytest.approx(103.9, abs=0.05)
    # "head": projection of 145 tokens and of 4,585 labels, and the decoder
    head = flops["projection"] + flops["tagging"]
    assert head / 2 / GIGA == pytest.approx(58.3, abs=0.05)


@pytest.mark.parametrize(("size", "millions", "gmac"), [(224, None, 15.4), (384, 86.88, 47.1)])
def test_swin_base(size: int, millions: float | None, gmac: float) -> None:
    plan = plan_run(released("tag2text_swin_base", size), 10)
    backbone = plan.objective.network.encoder.backbone
    if millions is not None:
        assert count_parameters(plan)["backbone"][0] / 1e6 == pytest.approx(millions, abs=0.005)
    images = torch.empty(1, 3, size, size, device="meta")
    assert count_flops(lambda: backbone(images)) / 2 / GIGA == pytest.approx(gmac, abs=0.05)


def test_clip_tower_is_as_published() -> None:
    with torch.device("meta"):
        tower = ClipTower(768, 12, 16, 224, 512)
    images = torch.empty(1, 3, 224, 224, device="meta")
    assert sum(p.numel() for p in tower.parameters()) == 86_192_640
    assert count_flops(lambda: tower(images)) / 2 / GIGA == pytest.approx(17.6, abs=0.05)
    assert tower(images).shape == (1, 512)


def test_parameters_are_those_of_the_network_that_would_be_trained(tiny_model: Path) -> None:
    config = tiny(tiny_model)
    network = open_trainable(config.model, None, captions=False).network
    counts = count_parameters(plan_run(config, 5))
    assert sum(one[0] for one in counts.values()) == sum(p.numel() for p in network.parameters())
    assert all(total == trained for total, trained in counts.values())


@pytest.mark.parametrize("captions", [True, False])
def test_a_captioner_counts_where_it_is_trained(captions: bool) -> None:
    """Without captions the start's is left out."""
    config = tiny(Path("nano"), f"loss.captioning={str(captions).lower()}")
    network = open_trainable(config.model, None, captions=captions).network
    counts = count_parameters(plan_run(config, 5))
    assert ("captioner" in counts) is captions
    assert sum(one[0] for one in counts.values()) == sum(p.numel() for p in network.parameters())


def test_frozen_backbone_costs_no_backward_pass(tiny_model: Path) -> None:
    def measure(*changes: str) -> tuple[tuple[int, int], int]:
        plan = plan_run(tiny(tiny_model, *changes), 5)
        cost = measure_step(
            plan.objective, image_size=64, num_tags=5, batch_size=8, num_tokens=40,
            precision="float32",
        )  # fmt: skip
        return count_parameters(plan)["backbone"], cost.backward_flops

    (total, trained), backward = measure("model.num_trainable_blocks=0")
    (_, all_trained), whole_backward = measure()
    assert trained == 0
    assert all_trained == total
    assert backward < whole_backward / 4


def make_objective(device: str) -> Objective:
    config = TaggerConfig(
        encoder=EncoderConfig(backbone="mobilenet_v2", image_size=64, token_width=24),
        decoder=DecoderConfig(hidden=32, num_layers=2, num_heads=4, ffn=48),
        text_width=16,
    )
    objective = Objective(
        TaggingNetwork(config), torch.ones(7, 16), LossConfig(), normalization=CLIP
    )
    return objective.to(device).train()


@pytest.mark.parametrize("network", ["ram_swin_base", "tag2text_swin_base"])
def test_asking_fewer_tags_makes_the_head_cheaper(network: str) -> None:
    config = released(network, 224)
    some = replace(config, loss=LossConfig(num_asked_tags=256))
    flops = []
    for one in (config, some):
        plan = plan_run(one, 4585)
        sizes = {"image_size": 224, "num_tags": plan.num_asked, "num_tokens": 40}
        flops.append(measure_parts(plan.objective, **sizes)["tagging"])
    assert flops[1] / flops[0] == pytest.approx(256 / 4585, rel=0.1)


def test_forward_work_is_that_of_a_real_step() -> None:
    from anytag.training.meta_step import make_batch

    images = torch.zeros(3, 3, 64, 64, dtype=torch.uint8)
    batch = replace(make_batch(64, 7, 3, None), images=images, targets=torch.zeros(3, 7))
    with FlopCounterMode(display=False) as counter:
        make_objective("cpu")(batch)
    found = measure_step(
        make_objective("meta"), image_size=64, num_tags=7, batch_size=3, num_tokens=40,
        precision="float32",
    )  # fmt: skip
    assert found.forward_flops == counter.get_total_flops()


def test_memory_is_followed() -> None:
    def vector() -> torch.Tensor:
        return torch.empty(1000, device="meta")  # 4,000 bytes

    with MemoryPeak() as memory:
        a = vector()
        b = a * 2
        del a
        c = (b * 2).reshape(10, 100)[0]  # a view is no memory of its own
        assert memory.peak == 8000
        del b, c
        weight = torch.nn.Parameter(vector())  # 4,000
        loss = weight.exp().sin().exp().sum()  # keeps exp, sin's argument, exp: 8,000; loss 4
        assert memory.peak == 16_000  # with sin's result, which nothing needs
        loss.backward()
    # weight and the two results that were kept, two gradients at a time, loss and its gradient
    assert memory.peak == 20_008


def test_low_precision_takes_less_memory_and_the_same_work(tiny_model: Path) -> None:
    plan = plan_run(tiny(tiny_model), 500)
    costs = [
        measure_step(
            plan.objective, image_size=64, num_tags=500, batch_size=16, num_tokens=40,
            precision=one,
        )
        for one in ("float32", "bfloat16")
    ]  # fmt: skip
    assert 0.4 < costs[1].peak_bytes / costs[0].peak_bytes < 0.9
    assert costs[1].forward_flops == costs[0].forward_flops
    assert costs[1].backward_flops == costs[0].backward_flops


def test_checkpointing_adds_a_forward_pass_and_saves_memory(
    released_models: dict[str, Path],
) -> None:
    costs, forward = [], 0
    for choice in ("false", "true"):
        config = tiny(released_models["ram"], f"run.checkpoint_activations={choice}")
        plan = plan_run(config, 5)
        sizes = {"image_size": plan.image_size, "num_tags": 5, "num_tokens": 40}
        forward = measure_parts(plan.objective, **sizes)["backbone"] * 64
        costs.append(measure_step(plan.objective, **sizes, batch_size=64, precision="bfloat16"))
    more = costs[1].backward_flops - costs[0].backward_flops
    assert 0.5 * forward < more <= forward  # what is outside of blocks is not computed again
    assert costs[1].forward_flops == costs[0].forward_flops
    assert costs[1].peak_bytes < 0.9 * costs[0].peak_bytes  # one block at a time, but a large one


def test_depthwise_convolutions_cost_twice_as_much_backward_as_forward() -> None:
    layer = torch.nn.Conv2d(6, 6, 3, groups=6, padding=1, bias=False, device="meta")
    images = torch.empty(2, 6, 5, 5, device="meta", requires_grad=True)
    forward = 2 * (2 * 5 * 5) * 6 * 9
    assert count_flops(lambda: layer(images)) == forward
    assert count_flops(lambda: layer(images).sum().backward()) == 3 * forward
    frozen = images.detach()
    assert count_flops(lambda: layer(frozen).sum().backward()) == 2 * forward


@pytest.mark.parametrize(
    "loss",
    [{"captioning": True}, {"alignment": True, "distillation": True}, {"distillation": True}],
)
def test_terms_of_the_loss_add_work(loss: dict[str, bool]) -> None:
    name = "ram_plus_swin_large" if "alignment" in loss else "ram_swin_base"
    config = released(name, 224)
    terms = replace(LossConfig(teacher="clip:openai/clip-vit-base-patch16"), **loss)
    plain = plan_run(config, 3)
    plan = plan_run(replace(config, loss=terms), 3)
    sizes = {"image_size": 224, "num_tags": 3, "num_tokens": 40}
    before = measure_parts(plain.objective, **sizes)
    after = measure_parts(plan.objective, **sizes)
    assert before.items() <= after.items()
    extra = set(after) - set(before)
    assert extra == {"captioning": {"captioner"}, "alignment": {"alignment"}}.get(
        next(iter(loss)), set()
    )
    assert (plan.teacher is not None) == ("distillation" in loss)


@pytest.mark.parametrize(
    ("text", "num", "peak", "memory"),
    [
        ("8xA100", 8, 312, 80),
        ("h200", 1, 989, 141),
        ("4xRTX4090", 4, 165, 24),
        ("1xA100-40GB", 1, 312, 40),
        ("2x0.3", 2, 0.3, None),
        ("2x0.3TFLOPS", 2, 0.3, None),
    ],
)
def test_clusters(text: str, num: int, peak: float, memory: float | None) -> None:
    cluster = parse_cluster(text)
    assert (cluster.num, cluster.device.low, cluster.device.memory) == (num, peak, memory)


@pytest.mark.parametrize("text", ["", "8x", "0xA100", "8xB9000", "-1xA100", "2x0", "A100x8"])
def test_wrong_clusters_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--cluster"):
        parse_cluster(text)


def test_every_device_is_found_by_its_name() -> None:
    assert all(parse_cluster(f"3x{one.name}").device is one for one in DEVICES)


def test_pictures_and_tags_are_counted_and_nothing_is_left(
    pictures: Path, tiny_model: Path, tmp_path: Path
) -> None:
    config = replace(
        tiny(tiny_model, "data.labels=data", data=str(pictures)), output=str(tmp_path / "run")
    )
    plan = plan_data(config)
    assert plan.num_tags == 3
    assert plan.assumed == []
    assert not (tmp_path / "run").exists()
    both = replace(config.data, val=config.data.train)
    assert plan_data(replace(config, data=both)).num_images == 40
    assert plan.num_images is not None
    assert 20 <= plan.num_images < 40  # one in four by a hash of the name is for validation


def test_tags_of_the_model_or_of_a_list(pictures: Path, tiny_model: Path, tmp_path: Path) -> None:
    config = tiny(tiny_model, data=str(pictures))
    assert plan_data(config).num_tags == 5
    (tmp_path / "tags.txt").write_text("one\ntwo\n")
    listed = replace(config, data=replace(config.data, labels=str(tmp_path / "tags.txt")))
    assert plan_data(listed).num_tags == 2


def test_what_is_not_there_is_assumed_and_said(tmp_path: Path) -> None:
    config = ram_14m([str(tmp_path / "nothing")], str(tmp_path / "run"))
    plan = plan_data(config)
    counted = (113_000, 101_000, 3_000_000, 849_000, 10_000_000)
    assert plan.num_images == sum(one - one // 1000 for one in counted)
    assert plan.num_tags == RAM_TAGS
    assert any("as the paper counts" in one for one in plan.assumed)
    assert any("4,585 tags" in one for one in plan.assumed)
    model = plan_run(tiny(tmp_path / "no-model"), 9)
    assert any("is not here" in one for one in model.assumed)


@pytest.fixture
def estimate(tiny_model: Path, pictures: Path) -> Estimate:
    config = tiny(tiny_model, "optim.ema_decay=0.99", "data.labels=data", data=str(pictures))
    return estimate_run(config, "2x0.5")


def test_time_follows_from_work(estimate: Estimate) -> None:
    rate = 2 * 0.5e12 * EFFICIENCY / estimate.image_flops
    assert estimate.images_per_second == pytest.approx(rate)
    assert estimate.data.num_images is not None
    assert estimate.steps_per_epoch == estimate.data.num_images // 8
    assert estimate.num_steps == 2 * estimate.steps_per_epoch
    assert estimate.hours == pytest.approx(estimate.num_steps * 8 / rate / 3600)
    cut = replace(estimate.config, run=replace(estimate.config.run, max_steps=3))
    assert replace(estimate, config=cut).num_steps == 3


def test_held_memory(estimate: Estimate) -> None:
    total, trained = estimate.num_parameters
    assert estimate.held["weights"] == 4 * total
    assert estimate.held["AdamW"] == 8 * trained
    assert estimate.held["moving average"] == 4 * trained
    assert estimate.held["gradients on their way (DDP)"] == 4 * trained
    assert estimate.device_bytes == sum(estimate.held.values()) + max(
        estimate.step.peak_bytes, 8 * trained
    )


def test_sharding_divides_what_is_held(tiny_model: Path) -> None:
    shared = estimate_run(tiny(tiny_model, "run.shard=full"), "4xA100")
    assert shared.held["AdamW"] == 8 * shared.num_parameters[1] // 4
    assert "gradients on their way (DDP)" not in shared.held
    assert "gathered weights" in shared.held


def test_fit_is_judged_by_the_memory(estimate: Estimate) -> None:
    found = estimate
    assert (found.fits, found.most_images) == (None, None)
    assert "is not known" in found.text()
    need = found.device_bytes / 1e9 / USABLE

    def on(memory: float) -> Estimate:
        device = replace(found.cluster.device, memory=memory)
        return replace(found, cluster=replace(found.cluster, device=device))

    assert on(need * 1.0001).fits is True
    assert on(need * 0.9999).fits is False
    pictures = found.image_bytes / 1e9 / USABLE
    assert on(need + 5.5 * pictures).most_images == found.step.num_images + 5
    text = on(need - 0.5 * pictures).text()
    assert "does not fit" in text
    assert "about 3 pictures at a time would: raise run.accumulate" in text  # of 4
    assert on(1e-6).most_images == 0
    assert "not even one picture" in on(1e-6).text()


def test_slope_foretells_the_memory_of_another_batch(tiny_model: Path) -> None:
    small = estimate_run(tiny(tiny_model, "run.batch_size=32"), "1xA100")
    sizes = {"image_size": 64, "num_tags": 5, "num_tokens": 40, "precision": "float32"}
    large = measure_step(plan_run(tiny(tiny_model), 5).objective, batch_size=64, **sizes)  # type: ignore[arg-type]
    foretold = small.step.peak_bytes + 32 * small.image_bytes
    assert large.peak_bytes == pytest.approx(foretold, rel=0.02)


def test_text_says_what_would_be_refused(estimate: Estimate) -> None:
    run = estimate.config.run

    def with_run(**changes: int) -> Estimate:
        return replace(estimate, config=replace(estimate.config, run=replace(run, **changes)))

    assert "refuse" not in estimate.text()
    assert "cannot be divided by 2 devices" in with_run(batch_size=9).text()
    assert "less than a step" in with_run(batch_size=64).text()
    unknown = replace(estimate, data=replace(estimate.data, num_images=None))
    assert "a million pictures" in unknown.text()
    assert unknown.hours is None


def test_settings_that_cannot_be_are_an_error(tiny_model: Path) -> None:
    with pytest.raises(ConfigError, match="num_trainable_blocks"):
        estimate_run(tiny(tiny_model, "model.num_trainable_blocks=99"), "1x1")
    with pytest.raises(ConfigError, match=r"loss\.teacher"):
        plan_run(tiny(tiny_model, "loss.distillation=true", "loss.teacher=model:no/such/model"), 5)


def test_teacher_may_be_a_model_directory(tiny_model: Path) -> None:
    config = tiny(tiny_model, "loss.distillation=true", f"loss.teacher=model:{tiny_model}")
    found = estimate_run(config, "1x1")
    encoder = ("backbone", "projection")
    assert found.teacher_parameters == sum(found.parameters[part][0] for part in encoder)
    assert found.teacher_flops == sum(found.part_flops[part] for part in encoder)
    passed = found.step.forward_flops + found.step.backward_flops
    assert found.image_flops == passed / found.step.num_images + found.teacher_flops


def test_cached_views_cost_disk_and_one_pass(tiny_model: Path, pictures: Path) -> None:
    def estimated(views: str) -> Estimate:
        changes = ("model.num_trainable_blocks=4", f"data.cached_views={views}")
        return estimate_run(tiny(tiny_model, *changes, data=str(pictures)), "1x0.5")

    plain, cached = estimated("null"), estimated("3")
    saved = plain.step.forward_flops - cached.step.forward_flops
    assert saved == 8 * cached.view_flops > 0
    assert cached.step.backward_flops == plain.step.backward_flops
    assert cached.view_bytes == 2 * 96 * 4 * 4  # float16 after 13 blocks, at 1/16 of 64 pixels
    assert cached.data.num_images is not None
    assert cached.num_views == 3 * cached.data.num_images
    assert (plain.num_views, plain.view_bytes) == (0, 0)
    assert plain.hours is not None
    assert cached.hours is not None
    rate = 0.5e12 * EFFICIENCY * 3600
    steps = cached.num_steps * 8 * cached.image_flops / rate  # type: ignore[operator]
    assert cached.hours == pytest.approx(steps + cached.num_views * cached.view_flops / rate)
    assert "3 views of a picture go through the frozen part" in cached.text()
    assert "frozen part" not in plain.text()
