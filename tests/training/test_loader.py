"""Batches are functions of (seed, epoch, place), whoever makes them and wherever one begins."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from anytag.data.images import load_image
from anytag.data.problems import Problems
from anytag.data.record_files import write_jsonl
from anytag.data.records import Record
from anytag.data.shards import write_shards
from anytag.errors import TrainingError, UsageError
from anytag.inference.wordpiece import WordPiece
from anytag.labels.labelset import LabelSet
from anytag.training.batch import Batch
from anytag.training.config import AugmentConfig, SourceConfig
from anytag.training.examples import Examples, open_examples
from anytag.training.loader import Loader, ValidationLoader
from anytag.training.targets import Evidence, TargetMaker
from anytag.training.texts import TextMaker

SIZE = 24
NUM = 23
NAMES = ("red", "green", "blue", "cat")
PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "picture", "of", "number", *"0123456789")
PARTLY_KNOWN = Evidence(
    absence=np.array([[1, 0, 1, 0]], np.float32),
    settled=np.zeros((1, 4), np.bool_),
    scores=(None,),
)
TEXTS = TextMaker(WordPiece(PIECES), max_tokens=12)


def write_photo(path: Path, number: int) -> None:
    random = np.random.default_rng(number)
    image = Image.fromarray(random.integers(0, 256, (5, 7, 3), np.uint8)).resize((90, 70))
    image.save(path, "JPEG")


def make_record(folder: Path, number: int) -> Record:
    return Record(
        image=str(folder / f"{number}.jpg"),
        captions=(f"number {number % 10}", f"Number {number % 10}!", "a cat")[: number % 4],
        tags=(NAMES[number % 3],),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos")
    for number in range(NUM):
        write_photo(path / f"{number}.jpg", number)
    return path


@pytest.fixture(scope="module")
def examples(folder: Path) -> Examples:
    write_jsonl(folder / "a.jsonl", (make_record(folder, number) for number in range(NUM)))
    return open_examples([SourceConfig(path=str(folder / "a.jsonl"))], folder / "cache")


def open_loader(examples: Examples, **options: object) -> Loader:
    plain: dict[str, object] = {
        "size": SIZE,
        "augment": AugmentConfig(),
        "batch_size": 4,
        "seed": 7,
    }
    targets = TargetMaker(LabelSet.from_names(NAMES))
    return Loader(examples, targets, **(plain | options))  # type: ignore[arg-type]


def assert_same(first: Batch, second: Batch) -> None:
    assert first.captions == second.captions
    for name in ("images", "targets", "positions"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name
    assert (first.weights is None) == (second.weights is None)
    if first.texts is not None and second.texts is not None:
        for field in fields(first.texts):
            assert torch.equal(getattr(first.texts, field.name), getattr(second.texts, field.name))


def all_same(first: list[Batch], second: list[Batch]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert_same(one, other)


def test_what_a_batch_is(examples: Examples) -> None:
    loader = open_loader(examples, texts=TEXTS)
    assert loader.steps_per_epoch == 5
    batches = list(loader.batches(0))
    assert [batch.positions.tolist() for batch in batches] == [
        list(range(start, start + 4)) for start in range(0, 20, 4)
    ]
    seen = []
    for step, batch in enumerate(batches):
        assert batch.images.shape == (4, 3, SIZE, SIZE)
        assert batch.images.dtype == torch.uint8
        assert (batch.targets.shape, batch.targets.dtype) == ((4, 4), torch.float32)
        assert batch.weights is None
        assert batch.texts is not None
        assert len(set(loader.names(batch.positions.tolist(), step))) == 4
        for row, name in enumerate(loader.names(batch.positions.tolist(), step)):
            number = int(Path(name).stem)
            seen.append(number)
            has_cat = number % 4 == 3
            expected = [number % 3 == 0, number % 3 == 1, number % 3 == 2, has_cat]
            assert batch.targets[row].bool().tolist() == expected
            cleaned = {"", *(["a cat"] if has_cat else []), f"number {number % 10}"}
            assert batch.captions[row] in cleaned
            assert (batch.captions[row] == "") == (number % 4 == 0)
            assert bool(batch.texts.caption_mask[row].any()) == (batch.captions[row] != "")
    assert len(set(seen)) == 20
    other = next(iter(loader.batches(1)))
    assert not torch.equal(other.images, batches[0].images)


def test_each_caption_is_drawn(examples: Examples) -> None:
    loader = open_loader(examples)
    drawn = set()
    for epoch in range(12):
        for batch in loader.batches(epoch):
            numbers = [Path(n).stem for n in loader.names(batch.positions.tolist(), epoch * 5)]
            drawn |= {c for c, n in zip(batch.captions, numbers, strict=True) if n == "3"}
    assert drawn == {"number 3", "a cat"}


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(epoch=st.integers(0, 5), start=st.integers(0, 5), batch_size=st.integers(1, 8))
def test_an_epoch_begins_anywhere(
    examples: Examples, epoch: int, start: int, batch_size: int
) -> None:
    loader = open_loader(examples, batch_size=batch_size)
    whole = list(loader.batches(epoch))
    assert len(whole) == NUM // batch_size
    all_same(list(loader.batches(epoch, start)), whole[start:])


def test_number_of_workers_changes_nothing(examples: Examples) -> None:
    alone = open_loader(examples, texts=TEXTS)
    state = torch.get_rng_state()
    for num_workers in (1, 2):
        loader = open_loader(examples, texts=TEXTS, num_workers=num_workers)
        for epoch, start in ((0, 0), (1, 0), (1, 3)):
            all_same(list(loader.batches(epoch, start)), list(alone.batches(epoch, start)))
        stopped = loader.batches(2)  # an epoch that is left, as after a validation error
        next(stopped)
        all_same(list(loader.batches(3)), list(alone.batches(3)))
    assert torch.equal(torch.get_rng_state(), state)  # dropout draws the same after a restart


@pytest.mark.parametrize("world", [2, 4])
def test_processes_together_see_the_batch_of_one(examples: Examples, world: int) -> None:
    alone = open_loader(examples)
    ranks = [open_loader(examples, rank=rank, world=world) for rank in range(world)]
    parts = zip(*(rank.batches(1, 1) for rank in ranks), strict=True)
    for whole, shares in zip(alone.batches(1, 1), parts, strict=True):
        for name in ("images", "targets", "positions"):
            joined = torch.cat([getattr(share, name) for share in shares])
            assert torch.equal(joined, getattr(whole, name))
        assert sum((share.captions for share in shares), ()) == whole.captions


def test_unreadable_pictures(folder: Path, tmp_path: Path) -> None:
    records = [make_record(folder, number) for number in range(NUM)]
    (tmp_path / "cut.jpg").write_bytes((folder / "3.jpg").read_bytes()[:400])
    records[3] = Record(image=str(tmp_path / "cut.jpg"), tags=("red",))
    records[4] = Record(image=str(tmp_path / "none.jpg"), tags=("red",))
    write_jsonl(tmp_path / "a.jsonl", records)
    examples = open_examples([SourceConfig(path=str(tmp_path / "a.jsonl"))], tmp_path / "cache")
    loader = open_loader(examples, batch_size=1, num_workers=1)
    batches = list(loader.batches(0))
    assert len(batches) == NUM
    order = examples.order(seed=7, epoch=0).at(np.arange(NUM)).tolist()
    for bad in (3, 4):
        place = order.index(bad)
        following = [*order[place + 1 :], *order[:place]]
        used = next(number for number in following if number not in (3, 4))
        expected = [used % 3 == 0, used % 3 == 1, used % 3 == 2, used % 4 == 3]
        assert batches[place].targets[0].bool().tolist() == expected
    assert loader.skipped.total == 2
    assert {name: one.kind for name, one in loader.skipped.failures.items()} == {
        str(tmp_path / "cut.jpg"): "truncated",
        str(tmp_path / "none.jpg"): "missing",
    }
    all_same(list(open_loader(examples, batch_size=1).batches(0)), batches)

    val = ValidationLoader(
        examples, TargetMaker(LabelSet.from_names(NAMES)), size=SIZE, batch_size=5
    )
    positions = torch.cat([batch.positions for batch in val]).tolist()
    assert positions == [number for number in range(NUM) if number not in (3, 4)]
    assert val.skipped.total == 2


@pytest.mark.parametrize("num_workers", [0, 1])
def test_no_picture_at_all(tmp_path: Path, num_workers: int) -> None:
    write_jsonl(tmp_path / "a.jsonl", (make_record(tmp_path, number) for number in range(9)))
    examples = open_examples([SourceConfig(path=str(tmp_path / "a.jsonl"))], tmp_path / "cache")
    message = r"pictures cannot be read, for instance: .*jpg does not exist\. Check where"
    with pytest.raises(TrainingError, match=message):
        list(open_loader(examples, num_workers=num_workers).batches(0))
    targets = TargetMaker(LabelSet.from_names(NAMES))
    with pytest.raises(TrainingError, match=message):
        list(ValidationLoader(examples, targets, size=8, batch_size=2, num_workers=num_workers))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_validation_sees_what_inference_sees(
    examples: Examples, folder: Path, num_workers: int
) -> None:
    targets = TargetMaker(LabelSet.from_names(NAMES))
    loader = ValidationLoader(
        examples, targets, size=SIZE, batch_size=5, texts=TEXTS, num_workers=num_workers
    )
    batches = list(loader)
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 3]
    for batch in batches:
        for row, number in enumerate(batch.positions.tolist()):
            expected = load_image(folder / f"{number}.jpg", size=SIZE).pixels
            np.testing.assert_array_equal(batch.images[row].permute(1, 2, 0).numpy(), expected)
    assert batches[0].captions[:4] == ("", "number 1", "number 2", "number 3")
    shares = [
        ValidationLoader(examples, targets, size=SIZE, batch_size=5, rank=rank, world=2)
        for rank in (0, 1)
    ]
    positions = sorted(int(p) for share in shares for batch in share for p in batch.positions)
    assert positions == list(range(NUM))


def test_shards_and_files_give_the_same(folder: Path, examples: Examples, tmp_path: Path) -> None:
    records = [make_record(folder, number) for number in range(NUM)]
    write_shards(tmp_path / "web", records, Problems(), samples_per_shard=8)
    shards = open_examples([SourceConfig(path=str(tmp_path / "web"))], tmp_path / "cache")
    loader = open_loader(shards, texts=TEXTS, num_workers=1)
    all_same(list(loader.batches(0)), list(open_loader(examples, texts=TEXTS).batches(0)))


SPAWNED = """
import multiprocessing, sys
from pathlib import Path
import torch
from anytag.labels.labelset import LabelSet
from anytag.training.config import AugmentConfig, SourceConfig
from anytag.training.examples import open_examples
from anytag.training.loader import Loader
from anytag.training.targets import TargetMaker

if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    folder = Path(sys.argv[1])
    examples = open_examples([SourceConfig(path=str(folder / "a.jsonl"))], folder / "cache")
    loaders = [
        Loader(
            examples, TargetMaker(LabelSet.from_names(["red"])), size=16, augment=AugmentConfig(),
            batch_size=8, seed=0, num_workers=num_workers,
        )
        for num_workers in (0, 2)
    ]
    for one, other in zip(*(loader.batches(0) for loader in loaders), strict=True):
        assert torch.equal(one.images, other.images)
    print("same")
"""


@pytest.mark.slow
def test_workers_that_are_spawned(folder: Path, examples: Examples, tmp_path: Path) -> None:
    """As on macOS and Windows: all that they need is pickled."""
    script = tmp_path / "script.py"
    script.write_text(SPAWNED)
    assert len(examples) == NUM
    command = [sys.executable, "-W", "error", str(script), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "same\n", done.stderr


def test_weights_of_what_is_not_known(examples: Examples) -> None:
    targets = TargetMaker(LabelSet.from_names(NAMES), evidence=PARTLY_KNOWN)
    batch = next(iter(ValidationLoader(examples, targets, size=8, batch_size=4)))
    assert batch.weights is not None
    assert batch.weights.tolist() == [[1, 0, 1, 0], [1, 1, 1, 0], [1, 0, 1, 0], [1, 0, 1, 1]]


def test_every_tensor_of_a_batch_is_pinned(
    examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pinning needs a GPU; what is checked is that no tensor is forgotten."""
    pinned: list[int] = []

    def pin(self: torch.Tensor) -> torch.Tensor:
        pinned.append(self.data_ptr())
        return self.clone()

    targets = TargetMaker(LabelSet.from_names(NAMES), evidence=PARTLY_KNOWN)
    batch = next(iter(ValidationLoader(examples, targets, size=8, batch_size=4, texts=TEXTS)))
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    assert_same(batch.pin_memory(), batch)
    assert batch.texts is not None
    assert batch.weights is not None
    texts = [getattr(batch.texts, field.name) for field in fields(batch.texts)]
    assert set(pinned) == {
        one.data_ptr() for one in (batch.images, batch.targets, batch.weights, *texts)
    }


def test_wrong_sizes(examples: Examples) -> None:
    with pytest.raises(UsageError, match="23 training pictures make no batch of 24"):
        open_loader(examples, batch_size=24)
    with pytest.raises(UsageError, match="cannot be divided by 3"):
        open_loader(examples, world=3)
