"""Published files to a model directory: what is reported, and every way it can go wrong."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from anytag.checkpoints.released_conversion import convert_released
from anytag.checkpoints.released_directory import FILES, load_released
from anytag.data.transforms import CLIP
from anytag.errors import AnytagError, LabelError, ModelError, UsageError


def test_everything_is_reported(released_files: Any, tmp_path: Path) -> None:
    files = released_files["ram"]
    thresholds = tmp_path / "thresholds.txt"
    thresholds.write_text("\n".join(["1.0", "0.5", "1.0", *["0.7"] * 17]))
    lists = dataclasses.replace(files.lists, thresholds=thresholds)
    done = convert_released(
        files.checkpoint, lists, tmp_path / "my-ram", options=files.options, family="ram"
    )
    assert done.card.name == "my-ram"
    assert done.card.version.startswith("my-ram-")
    assert done.never_fire == ["man", "dog"]
    assert done.muted == ["dog"]
    assert done.num_descriptions is None
    assert not done.has_vocabulary
    assert set(done.excused) == {
        "index table; follows from the window size",
        "shift mask; follows from image and window size",
        "the numbers 0, 1, 2, ...",
        "the word embeddings again",
        "the output bias again",
        "borrowed from the tagging head",
    }
    assert sum(done.excused.values()) + len(load_file(done.path / "model.safetensors")) + 1 == len(
        torch.load(files.checkpoint, weights_only=True)["model"]
    )
    loaded = load_released(done.path)
    assert loaded.labels == done.labels
    assert loaded.card == done.card
    assert loaded.labels[0].display_name("zh") == "男人"


def test_descriptions_are_counted(released_files: Any, tmp_path: Path) -> None:
    assert released_files["ram_plus"].convert(tmp_path / "model").num_descriptions == 51


def test_exactly_these_files(released_models: dict[str, Path]) -> None:
    for family, path in released_models.items():
        missing = {"ram_plus": {"vocab.txt"}, "tag2text": {"label_embeddings.safetensors"}}
        assert {p.name for p in path.iterdir()} == set(FILES) - missing.get(family, set())


def test_half_precision_on_disk(released_files: Any, tmp_path: Path) -> None:
    files = released_files["ram"]
    half = files.convert(tmp_path / "half", name="ram", dtype=torch.bfloat16)
    loaded = load_released(half.path)
    assert {p.dtype for p in loaded.network.parameters()} == {torch.bfloat16}
    assert loaded.label_embeddings is not None
    assert loaded.label_embeddings.dtype == torch.bfloat16
    whole = files.convert(tmp_path / "whole", name="ram")
    assert half.card.version != whole.card.version


def test_normalization_is_stored(released_files: Any, tmp_path: Path) -> None:
    files = released_files["tag2text"]
    files.convert(tmp_path / "model", normalization=(CLIP.mean, CLIP.std))
    encoder = load_released(tmp_path / "model").card.network.tagger.encoder
    assert (encoder.mean, encoder.std) == (CLIP.mean, CLIP.std)


def test_safetensors_and_bare_state_dicts(released_files: Any, tmp_path: Path) -> None:
    files = released_files["ram"]
    state = torch.load(files.checkpoint, weights_only=True)["model"]
    state = {f"module.{key}": value.clone() for key, value in state.items()}
    save_file(state, tmp_path / "ram.safetensors")
    torch.save({"state_dict": state}, tmp_path / "ram.pth")
    versions = set()
    for number, name in enumerate(("ram.safetensors", "ram.pth")):
        same = dataclasses.replace(files, checkpoint=tmp_path / name)
        versions.add(same.convert(tmp_path / str(number), name="ram").card.version)
    assert len(versions) == 1


def test_a_model_is_replaced_only_on_request(released_files: Any, tmp_path: Path) -> None:
    files = released_files["ram"]
    files.convert(tmp_path / "model")
    with pytest.raises(UsageError, match="holds a model already"):
        files.convert(tmp_path / "model")
    plus = released_files["ram_plus"]
    plus.convert(tmp_path / "model", overwrite=True)
    assert not (tmp_path / "model/vocab.txt").exists()
    assert load_released(tmp_path / "model").card.network.family == "ram_plus"


def resave(files: Any, folder: Path, edit: Callable[[dict[str, Any]], Any]) -> Any:
    state = torch.load(files.checkpoint, weights_only=True)["model"]
    edit(state)
    torch.save({"model": state}, folder / "changed.pth")
    return dataclasses.replace(files, checkpoint=folder / "changed.pth")


def cut(files: Any, folder: Path) -> Any:
    data = files.checkpoint.read_bytes()
    (folder / "cut.pth").write_bytes(data[: len(data) // 2])
    return dataclasses.replace(files, checkpoint=folder / "cut.pth")


def with_code(files: Any, folder: Path) -> Any:
    torch.save({"model": {}, "run": dataclasses.dataclass}, folder / "code.pth")
    return dataclasses.replace(files, checkpoint=folder / "code.pth")


def with_tags(files: Any, folder: Path, names: list[str]) -> Any:
    (folder / "tags.txt").write_text("\n".join(names))
    lists = dataclasses.replace(
        files.lists, tags=folder / "tags.txt", thresholds=None, translations=None, muted=None
    )
    return dataclasses.replace(files, lists=lists)


CASES: list[tuple[str, Callable[[Any, Path], Any], dict[str, Any], type[AnytagError], str]] = [
    (
        "ram_plus",
        lambda f, p: f,
        {"family": "ram"},
        ModelError,
        r"is a RAM\+\+ checkpoint, not RAM",
    ),
    ("ram", lambda f, p: f, {"family": "ram_plus"}, ModelError, r"a RAM checkpoint, not RAM\+\+"),
    ("tag2text", lambda f, p: f, {"family": "ram"}, ModelError, "a Tag2Text checkpoint, not RAM"),
    ("ram", lambda f, p: f, {"family": "blip"}, UsageError, "unknown family 'blip'"),
    ("ram", cut, {}, ModelError, "the end of the file is missing .*; download it again"),
    ("ram", with_code, {}, ModelError, "refused: opening it would run code"),
    (
        "ram",
        lambda f, p: resave(f, p, lambda s: s.pop("wordvec_proj.weight")),
        {},
        ModelError,
        r"cut short .*: 1 weights missing \(wordvec_proj.weight\)$",
    ),
    (
        "ram",
        lambda f, p: resave(f, p, lambda s: s.pop("visual_encoder.patch_embed.proj.weight")),
        {},
        ModelError,
        r"not a RAM, RAM\+\+ or Tag2Text checkpoint",
    ),
    (
        "ram",
        lambda f, p: resave(f, p, lambda s: s["label_embed"][3].zero_()),
        {},
        ModelError,
        "label_embed is all zeros for tag 3",
    ),
    (
        "ram_plus",
        lambda f, p: resave(f, p, lambda s: s["label_embed"][2 * 51 + 7].zero_()),
        {},
        ModelError,
        "label_embed is all zeros for tag 2",
    ),
    ("ram", lambda f, p: with_tags(f, p, ["a"] * 19), {}, ModelError, "20 tags, .* list has 19"),
    ("ram_plus", lambda f, p: with_tags(f, p, ["a"] * 19), {}, ModelError, "which 19 tags do not"),
    ("tag2text", lambda f, p: with_tags(f, p, ["a"] * 21), {}, ModelError, "20 tags, .* has 21"),
    ("ram", lambda f, p: with_tags(f, p, ["a", "", "b"]), {}, LabelError, "line 2 is empty"),
    ("ram_plus", lambda f, p: f, {"vocabulary": Path("v")}, UsageError, "has no captioner"),
    ("ram", lambda f, p: f, {"vocabulary": Path("missing")}, ModelError, "cannot be read"),
    ("ram", lambda f, p: f, {"vocabulary": Path(__file__)}, ModelError, "was trained with 59"),
]


@pytest.mark.parametrize(("family", "prepare", "arguments", "error", "message"), CASES)
def test_what_goes_wrong_is_said_in_one_line(
    family: str,
    prepare: Callable[[Any, Path], Any],
    arguments: dict[str, Any],
    error: type[AnytagError],
    message: str,
    released_files: Any,
    tmp_path: Path,
) -> None:
    files = prepare(released_files[family], tmp_path)
    with pytest.raises(error, match=message) as caught:
        files.convert(tmp_path / "model", **arguments)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model").exists()


def test_a_zip_that_is_no_checkpoint(released_files: Any, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.pth", "w") as archive:
        archive.writestr("a.txt", "x")
    files = dataclasses.replace(released_files["ram"], checkpoint=tmp_path / "photos.pth")
    with pytest.raises(ModelError, match=r"photos\.pth: damaged"):
        files.convert(tmp_path / "model")
