"""``anytag convert`` and then ``tag``, ``caption`` and ``info`` with the result."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from anytag.cli.main import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """The command line in a folder of its own, with real models."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["anytag", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return int(ended.value.code or 0), out, err

    return call


def lists(files: Any) -> list[object]:
    return [files.checkpoint, "--tag-list", files.lists.tags]


def sizes(files: Any) -> list[object]:
    options = files.options
    return ["--heads", options.num_heads, "--caption-heads", options.num_caption_heads]


def test_from_checkpoint_to_tags_and_captions(
    run: Run, released_files: Any, tmp_path: Path
) -> None:
    files = released_files["ram"]
    code, out, err = run(
        "convert", *lists(files), *sizes(files), "--thresholds", files.lists.thresholds,
        "--translations", files.lists.translations["zh"], "--lang", "zh", "--mute", "dog",
        "--vocab", files.vocabulary, "--family", "ram", "--dtype", "float32", "-o", "model",
    )  # fmt: skip
    assert (code, out) == (0, "model\n")
    assert "RAM: 20 tags; Swin 12 at 128 pixels" in err
    assert "not used: 10 keys (index table; follows from the window size)" in err
    assert f"tags: {files.lists.tags}" in err
    assert f"names in zh: {files.lists.translations['zh']}" in err
    assert "1 tags are scored and not given: dog" in err
    assert "can never fire" not in err
    Image.new("RGB", (40, 30), "green").save(tmp_path / "photo.png")
    code, out, _ = run("tag", "photo.png", "--model", "model", "--format", "jsonl", "--lang", "zh")
    record = json.loads(out)
    assert code == 0
    assert record["model"].startswith("model-")
    assert record["tags"]
    assert {tag["name"] for tag in record["tags"]} <= {"男人", "女人", *_chinese(files)}
    code, out, _ = run("caption", "photo.png", "--model", "model", "--tags", "dog, cat", "--mix")
    assert code == 0
    path, tab, _ = out.rstrip("\n").partition("\t")
    assert (path, tab) == ("photo.png", "\t")
    code, out, err = run("caption", ".", "lost.png", "--model", "model", "--format", "jsonl")
    first, second = map(json.loads, out.splitlines())
    assert code == 1
    assert isinstance(first["caption"], str)
    assert second["error"]["type"] == "missing"
    assert "lost.png" in err
    code, out, _ = run("info", "--model", "model")
    assert code == 0
    assert "20" in out


def _chinese(files: Any) -> list[str]:
    return [name.strip() for name in files.settings["tag_list_chinese"]]


def test_what_can_never_fire_is_named(run: Run, released_files: Any, tmp_path: Path) -> None:
    files = released_files["ram_plus"]
    (tmp_path / "thresholds.txt").write_text("\n".join(["1.0"] * 2 + ["0.5"] * 18))
    code, _, err = run(
        "convert", *lists(files), *sizes(files), "--thresholds", "thresholds.txt", "-o", "model"
    )
    assert code == 0
    assert "RAM++: 20 tags, 51 descriptions each" in err
    assert "2 tags have threshold 1.0 and can never fire: man, woman" in err
    assert "no captioner" in err


@pytest.mark.parametrize(
    ("family", "more", "code", "message"),
    [
        ("ram_plus", ["--family", "ram"], 1, "is a RAM++ checkpoint, not RAM"),
        ("ram", ["--family", "blip"], 2, "blip"),
        ("ram", ["--dtype", "int8"], 2, "int8"),
        ("ram", ["--tag-list", "missing.txt"], 1, "missing.txt: cannot be read"),
        ("ram", ["--tag-list", "short.txt"], 1, "has 20 tags, the tag list has 2; give the list"),
        ("ram_plus", ["--tag-list", "three.txt"], 1, "which 3 tags do not divide"),
        ("ram", ["--translations", "short.txt"], 1, "short.txt: 2 lines for the 20 tags"),
        ("ram", ["--thresholds", "short.txt"], 1, "short.txt: 2 thresholds for 20 tags"),
        ("ram", ["--vocab", "short.txt"], 1, "short.txt: 2 lines, the captioner"),
        ("ram", ["--image-size", "100"], 1, "choose a multiple of 32"),
        ("ram", ["--heads", "7"], 1, "not divisible by 7 heads"),
    ],
)
def test_errors_are_one_line(
    family: str, more: list[str], code: int, message: str, run: Run, released_files: Any,
    tmp_path: Path,
) -> None:  # fmt: skip
    files = released_files[family]
    (tmp_path / "short.txt").write_text("a\nb\n")
    (tmp_path / "three.txt").write_text("\n".join("abcdefg"[:7]))
    if "three.txt" in more:
        message = message.replace("3 tags", "7 tags")
    found, out, err = run("convert", *lists(files), *sizes(files), "-o", "model", *more)
    assert (found, out) == (code, "")
    assert message in err
    if code == 1:
        assert err.count("\n") == 1
    assert not (tmp_path / "model").exists()


def test_existing_models_stay(run: Run, released_files: Any, tmp_path: Path) -> None:
    files = released_files["ram"]
    arguments = ["convert", *lists(files), *sizes(files), "--no-captioner", "-o", "model"]
    assert run(*arguments)[0] == 0
    before = (tmp_path / "model/config.json").read_bytes()
    code, _, err = run(*arguments, "--normalization", "clip")
    assert (code, (tmp_path / "model/config.json").read_bytes()) == (2, before)
    assert "holds a model already" in err
    assert run(*arguments, "--normalization", "clip", "--overwrite")[0] == 0
    encoder = json.loads((tmp_path / "model/config.json").read_text())["network"]["tagger"][
        "encoder"
    ]
    assert encoder["mean"] == [0.48145466, 0.4578275, 0.40821073]


def publish(files: Any, folder: Path) -> Path:
    """The checkpoint with its lists beside it, under their published names."""
    folder.mkdir(parents=True)
    shutil.copy(files.lists.tags, folder / "ram_tag_list.txt")
    shutil.copy(files.lists.thresholds, folder / "ram_tag_list_threshold.txt")
    shutil.copy(files.lists.translations["zh"], folder / "ram_tag_list_chinese.txt")
    return Path(shutil.copy(files.checkpoint, folder / files.checkpoint.name))


def test_lists_beside_the_checkpoint(run: Run, released_files: Any, tmp_path: Path) -> None:
    files = released_files["ram_plus"]
    publish(files, tmp_path / "released")
    arguments = ["convert", "released/ram_plus.pth", *sizes(files), "--mute", "dog"]
    code, out, err = run(*arguments, "-o", "found")
    assert (code, out) == (0, "found\n")
    assert "tags: released/ram_tag_list.txt\n" in err
    assert "thresholds: released/ram_tag_list_threshold.txt\n" in err
    assert "names in zh: released/ram_tag_list_chinese.txt\n" in err
    (tmp_path / "clone/ram").mkdir(parents=True)
    (tmp_path / "released").rename(tmp_path / "clone/ram/data")
    arguments = ["convert", files.checkpoint, *sizes(files), "--mute", "dog", "--lists", "clone"]
    assert run(*arguments, "-o", "other")[0] == 0
    labels = [(tmp_path / name / "labels.json").read_bytes() for name in ("found", "other")]
    assert labels[0] == labels[1]
    code, out, err = run("convert", files.checkpoint, *sizes(files), "-o", "third")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "has no ram_tag_list.txt; give --tag-list FILE, or --lists FOLDER" in err
    code, _, err = run("convert", files.checkpoint, "--lists", "nowhere", "-o", "third")
    assert (code, err) == (
        1,
        "anytag: nowhere: no such folder; expected one that holds the published lists\n",
    )


def test_without_a_threshold_file(run: Run, released_files: Any) -> None:
    files = released_files["ram"]
    code, _, err = run("convert", *lists(files), *sizes(files), "-o", "model")
    assert code == 0
    assert "thresholds: none; those of the published code (0.68)" in err


def test_a_checkpoint_as_model(
    run: Run, released_files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Image.new("RGB", (40, 30), "green").save(tmp_path / "photo.png")
    files = released_files["ram"]
    code, _, err = run("tag", "photo.png", "--model", files.checkpoint)
    assert code == 1
    assert "its tag list is needed too. Put ram_tag_list.txt of the public" in err
    checkpoint = publish(files, tmp_path / "released")
    found = []
    for _ in range(2):
        code, out, _ = run("tag", "photo.png", "--model", checkpoint, "--format", "jsonl")
        assert code == 0
        found.append(out)
        (directory,) = (tmp_path / "cache/anytag/converted").iterdir()
    assert found[0] == found[1]
    assert json.loads(out)["model"].startswith("ram-")
    code, out, _ = run("tag", "photo.png", "--model", directory, "--format", "jsonl")
    assert out == found[0]


def test_captions_beside_tags(run: Run, released_models: dict[str, Path], tmp_path: Path) -> None:
    for color in ("red", "green", "blue"):
        Image.new("RGB", (40, 30), color).save(tmp_path / f"{color}.png")
    arguments = ["red.png", "lost.png", "green.png", "blue.png", "--model", released_models["ram"]]
    code, out, _ = run("caption", *arguments, "--format", "jsonl")
    expected = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    code, out, _ = run("tag", *arguments, "--caption", "-o", "all.jsonl")
    records = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert code == 1
    assert [one["caption"] for one in records] == [one["caption"] for one in expected]
    assert [bool(one["caption"]) for one in records] == [True, False, True, True]
    assert [one["tags"] for one in records] == [one["tags"] for one in expected]
    code, _, err = run("tag", *arguments, "-o", "all.jsonl", "--resume")
    assert code == 2
    assert "caption" in err
    for form in ([], ["--format", "csv"], ["-o", "all.txt"]):
        code, _, err = run("tag", *arguments, "--caption", *form)
        assert code == 2
        assert "--caption needs a format that holds it: jsonl, json or parquet" in err
    arguments[-1] = released_models["ram_plus"]
    code, _, err = run("tag", *arguments, "--caption", "--format", "jsonl")
    assert code == 1
    assert "writes no captions" in err


def test_info_says_which_tags_can_be_added(run: Run, released_models: dict[str, Path]) -> None:
    rows = []
    for model in ("nano", released_models["ram"], released_models["tag2text"]):
        code, out, _ = run("info", "--model", model)
        rows.append(dict(line.split(None, 1) for line in out.splitlines())["tags"])
        assert code == 0
    assert rows[0].endswith(", and any of your own")
    assert rows[1:] == ["20, and your own with a text encoder", "20; a closed list"]


def test_own_tags_without_a_text_encoder(
    run: Run, released_models: dict[str, Path], tmp_path: Path
) -> None:
    Image.new("RGB", (40, 30), "green").save(tmp_path / "photo.png")
    code, _, err = run("tag", "photo.png", "--model", released_models["ram"], "--tag", "okapi")
    assert code == 1
    assert "own tags need the text encoder that it was trained with, CLIP ViT-B/16" in err
    code, _, err = run("tag", "photo.png", "--model", released_models["tag2text"], "--tag", "okapi")
    assert code == 2
    assert "Tag2Text knows no others" in err
    code, out, _ = run(
        "tag", "photo.png", "--model", released_models["tag2text"], "--tag", "dog", "--top-k", "5"
    )
    assert code == 0
    assert "dog" in out
