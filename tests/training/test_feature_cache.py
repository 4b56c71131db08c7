"""A cache of features: what it holds, its name, and that it is filled on from where it was left."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from anytag.data.record_files import write_jsonl
from anytag.data.records import Record
from anytag.errors import ImageError, TrainingError
from anytag.labels.labelset import LabelSet
from anytag.training import feature_cache, feature_fill
from anytag.training.augment import augment
from anytag.training.config import AugmentConfig, SourceConfig
from anytag.training.examples import Examples, open_examples
from anytag.training.feature_cache import FeatureCache, Wanted
from anytag.training.feature_fill import fill
from anytag.training.loader import Loader, ValidationLoader
from anytag.training.targets import TargetMaker

SIZE, NUM, VIEWS = 8, 13, 3
#: unreadable ones
BAD = (3, 4)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_cache, "ROWS", 10)
    monkeypatch.setattr(feature_fill, "_CHUNK", 4)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for number in range(NUM):
        pixels = random.integers(0, 256, (6, 5, 3), np.uint8)
        Image.fromarray(pixels).resize((40, 50)).save(folder / f"{number}.png")
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:100])
    (folder / "4.png").unlink()
    rows = (Record(image=str(folder / f"{n}.png"), tags=(f"n{n}",)) for n in range(NUM))
    write_jsonl(folder / "a.jsonl", rows)
    return open_examples([SourceConfig(path=str(folder / "a.jsonl"))], folder / "cache")


def wish(of: Examples, /, **changes: object) -> Wanted:
    plain: dict[str, object] = {
        "examples": of,
        "network": "some",
        "shape": (3, 2),
        "size": SIZE,
        "normalization": ((0.5,) * 3, (0.5,) * 3),
        "augment": AugmentConfig(),
        "num_views": VIEWS,
        "seed": 7,
    }
    return Wanted(**(plain | changes))  # type: ignore[arg-type]


def compute(images: Tensor) -> Tensor:
    """Means and deviations of colours, [R, 3, 2]."""
    values = images.flatten(2).double()
    return torch.stack([values.mean(2), values.std(2)], dim=2)


class Filled:
    """A cache that was filled, and how many views each call of `advance` told."""

    def __init__(self, folder: Path, wanted: Wanted, num_workers: int = 0) -> None:
        self.cache = FeatureCache(folder, wanted)
        self.cache.folder.mkdir(parents=True, exist_ok=True)
        self.told: list[int] = []
        self.fill(wanted, self.cache.missing(), num_workers)

    def fill(self, wanted: Wanted, parts: list[int], num_workers: int = 0) -> None:
        fill(self.cache, wanted, parts, compute, advance=self.told.append, num_workers=num_workers)


def contents(cache: FeatureCache) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in cache.folder.iterdir()}


def view(examples: Examples, number: int, which: int) -> Tensor:
    generator = np.random.default_rng([7, number, which, 0])
    pixels = augment(examples[number].picture, SIZE, AugmentConfig(), generator)
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]


def test_what_it_holds(examples: Examples, tmp_path: Path) -> None:
    filled = Filled(tmp_path, wish(examples))
    cache = filled.cache
    assert sum(filled.told) == cache.num_rows == NUM * VIEWS
    assert len(list(cache.folder.glob("*.npy"))) == 4
    assert not cache.missing()
    for number in range(NUM):
        if number in BAD:
            with pytest.raises(ImageError) as caught:
                cache.get(number, 1)
            assert caught.value.kind == {3: "truncated", 4: "missing"}[number]
            continue
        rows = [cache.get(number, which) for which in range(VIEWS)]
        for which, row in enumerate(rows):
            expected = compute(view(examples, number, which))[0].half()
            assert np.array_equal(row, expected.numpy())
        assert not np.array_equal(rows[0], rows[1])


def test_whoever_fills_it_and_whenever(examples: Examples, tmp_path: Path) -> None:
    wanted = wish(examples)
    whole = contents(Filled(tmp_path / "whole", wanted).cache)
    assert contents(Filled(tmp_path / "workers", wanted, num_workers=2).cache) == whole

    cut = FeatureCache(tmp_path / "cut", wanted)
    cut.folder.mkdir(parents=True)

    def stop(num: int, told: list[int] = []) -> None:  # noqa: B006
        told.append(num)
        if sum(told) > 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill(cut, wanted, cut.missing(), compute, advance=stop)
    assert cut.missing() == [1, 2, 3]  # ten rows were whole
    again = Filled(tmp_path / "cut", wanted)
    assert sum(again.told) == NUM * VIEWS - 10
    assert contents(again.cache) == whole

    shared = FeatureCache(tmp_path / "shared", wanted)
    shared.folder.mkdir(parents=True)
    for rank in (1, 0):
        assert list(shared.share(rank, 2)) == [rank, rank + 2]
        fill(shared, wanted, shared.missing(rank, 2), compute, advance=lambda num: None)
    assert contents(shared) == whole


def test_the_key_is_of_all_that_decides(examples: Examples, tmp_path: Path) -> None:
    training, validation = examples.split(3)
    changes: list[dict[str, object]] = [
        {},
        {"network": "other"},
        {"shape": (3, 4)},
        {"size": 9},
        {"normalization": ((0.4,) * 3, (0.5,) * 3)},
        {"augment": AugmentConfig(flip=False)},
        {"augment": None},
        {"num_views": 2},
        {"seed": 8},
        {"examples": training},
        {"examples": validation},
    ]
    assert len({wish(examples, **change).key for change in changes}) == len(changes)
    again = open_examples([SourceConfig(path=examples.spools[0].path)], tmp_path)
    assert wish(again).key == wish(examples).key
    whole = {wish(examples, augment=None, seed=seed).key for seed in (1, 2)}
    assert len(whole) == 1  # validation does not depend on the seed


def test_batches_are_of_its_views(examples: Examples, tmp_path: Path) -> None:
    cache = Filled(tmp_path, wish(examples)).cache
    labels = LabelSet.from_names([f"n{number}" for number in range(NUM)])

    def loader(num_workers: int = 0) -> Loader:
        return Loader(
            examples, TargetMaker(labels), size=SIZE, augment=AugmentConfig(), batch_size=4,
            seed=7, num_workers=num_workers, cache=cache,
        )  # fmt: skip

    drawn = set()
    one = loader()
    for epoch in range(8):
        for batch in one.batches(epoch):
            assert batch.images is None
            assert batch.features is not None
            assert batch.features.dtype == torch.float16
            for features, targets in zip(batch.features, batch.targets, strict=True):
                number = int(targets.argmax())  # also of the one in place of an unreadable one
                assert number not in BAD
                found = [np.array_equal(features, cache.get(number, v)) for v in range(VIEWS)]
                assert sum(found) == 1
                drawn.add((number, found.index(True)))
    assert len(drawn) > 0.8 * (NUM - len(BAD)) * VIEWS
    assert set(one.skipped.failures) == {examples.record(number)[1].image for number in BAD}
    for start in (0, 2):
        pairs = zip(loader(2).batches(1, start), list(one.batches(1))[start:], strict=True)
        for first, second in pairs:
            assert torch.equal(first.features, second.features)  # type: ignore[arg-type]
            assert torch.equal(first.targets, second.targets)


def test_validation_is_of_whole_pictures(examples: Examples, tmp_path: Path) -> None:
    cache = Filled(tmp_path, wish(examples, augment=None, num_views=1)).cache
    targets = TargetMaker(LabelSet.from_names(["n0"]))
    loader = ValidationLoader(examples, targets, size=SIZE, batch_size=5, cache=cache)
    numbers = []
    for batch in loader:
        assert batch.features is not None
        for number, features in zip(batch.positions.tolist(), batch.features, strict=True):
            pixels = torch.from_numpy(examples[number].pixels(SIZE)).permute(2, 0, 1)[None]
            assert torch.equal(features, compute(pixels)[0].half())
            numbers.append(number)
    assert numbers == [number for number in range(NUM) if number not in BAD]
    assert loader.skipped.total == len(BAD)


def test_it_is_pickled_without_what_is_mapped(examples: Examples, tmp_path: Path) -> None:
    cache = Filled(tmp_path, wish(examples)).cache
    row = cache.get(1, 2)
    content = pickle.dumps(cache)
    assert len(content) < 1000
    assert np.array_equal(pickle.loads(content).get(1, 2), row)
    assert not row.flags.owndata  # it is mapped


def test_features_that_do_not_fit(examples: Examples, tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, wish(examples))
    cache.folder.mkdir(parents=True)
    with pytest.raises(TrainingError, match=r"up to 1e\+06 and do not fit.*cached_views=null"):
        fill(
            cache, wish(examples), cache.missing(), lambda images: 0 * compute(images) + 1e6,
            advance=lambda num: None,
        )  # fmt: skip


def test_mostly_unreadable_pictures_end_it(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", (Record(image=f"/no/{n}.png") for n in range(5)))
    examples = open_examples([SourceConfig(path=str(tmp_path / "a.jsonl"))], tmp_path / "spool")
    with pytest.raises(TrainingError, match=r"cannot be read, for instance: .*does not exist"):
        Filled(tmp_path, wish(examples))


def test_failures_are_noted_by_row(examples: Examples, tmp_path: Path) -> None:
    cache = Filled(tmp_path, wish(examples)).cache
    rows = {
        int(row): failure
        for file in cache.folder.glob("*.json")
        for row, failure in json.loads(file.read_text()).items()
    }
    assert set(rows) == {number * VIEWS + which for number in BAD for which in range(VIEWS)}
    assert rows[4 * VIEWS][:2] == [examples.record(4)[1].image, "missing"]


def test_wanted_sizes(examples: Examples) -> None:
    wanted = wish(examples, shape=(49, 1280), num_views=4)
    assert wanted.row_bytes == 125_440
    assert replace(wanted, num_views=1).num_rows == NUM
