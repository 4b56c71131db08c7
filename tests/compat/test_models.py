"""The golden tags and captions, through the public package's interface."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from anytag.checkpoints.sizes import ConvertOptions
from anytag.compat.ram import inference_ram, inference_ram_openset, inference_tag2text
from anytag.compat.ram.models import ram, ram_plus, tag2text
from anytag.errors import AnytagError, LabelError, ModelError, UsageError

GOLDEN = Path(__file__).parents[1] / "golden"
FACTORIES: dict[str, Callable[..., Any]] = {
    "ram": ram,
    "ram_plus": ram_plus,
    "tag2text": tag2text,
}
#: the golden models are tiny; their numbers of heads are not those of the released ones
OPTIONS = ConvertOptions(num_heads=2, num_caption_heads=4)


@dataclass(frozen=True)
class Released:
    """A checkpoint file as it is released, with its lists beside it."""

    family: str
    checkpoint: Path
    settings: dict[str, Any]
    inputs: dict[str, Tensor]

    def load(self, **changes: Any) -> Any:
        arguments = {"pretrained": self.checkpoint, "options": OPTIONS, **changes}
        arguments.setdefault("delete_tag_index", self.settings["delete_tag_index"])
        return FACTORIES[self.family](**arguments)


def release(family: str, folder: Path) -> Released:
    source = GOLDEN / family
    settings = json.loads((source / "config.json").read_text())
    state = {
        **load_file(GOLDEN / "visual_encoder.safetensors"),
        **load_file(source / "weights.safetensors"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / f"{family}_swin_tiny.pth"
    torch.save({"model": state, "optimizer": {"state": {}}, "epoch": 4}, checkpoint)
    if family == "tag2text":
        lists = {"tag2text_ori_tag_list.txt": settings["tag_list"]}
        (folder / "vocab.txt").write_bytes((source / "vocab.txt").read_bytes())
    else:
        lists = {
            "ram_tag_list.txt": settings["tag_list"],
            "ram_tag_list_chinese.txt": settings["tag_list_chinese"],
            "ram_tag_list_threshold.txt": map(str, settings["class_threshold"]),
        }
    for name, lines in lists.items():
        (folder / name).write_text("\n".join(lines), encoding="utf-8")
    return Released(family, checkpoint, settings, load_file(source / "inputs.safetensors"))


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "compat-cache"))


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Released]:
    return {name: release(name, tmp_path_factory.mktemp("released")) for name in FACTORIES}


@pytest.mark.parametrize("family", ["ram", "ram_plus"])
def test_golden_tags(released: dict[str, Released], family: str) -> None:
    golden = released[family]
    model = golden.load().eval().to("cpu")
    expected = golden.settings["expected"]
    images = golden.inputs["image"]
    assert model.generate_tag(images) == (expected["tags_en"], expected["tags_zh"])
    for row in range(2):
        one = images[row : row + 1]
        assert inference_ram(one, model) == (expected["tags_en"][row], expected["tags_zh"][row])
    assert not model.training
    assert (model.image_size, model.num_class) == (128, 20)


def test_golden_open_set_tags(released: dict[str, Released]) -> None:
    """As users of the public package set other tags."""
    golden = released["ram_plus"]
    model = golden.load()
    model.tag_list = np.array([f"c{number}" for number in range(7)])
    model.label_embed = nn.Parameter(golden.inputs["openset_label_embed"].float())
    model.num_class = 7
    model.class_threshold = torch.ones(7) * 0.5
    model.delete_tag_index = []
    expected = golden.settings["expected"]["openset_tags"]
    assert model.generate_tag_openset(golden.inputs["image"]) == expected
    assert inference_ram_openset(golden.inputs["image"], model) == expected[0]
    assert model.generate_tag(golden.inputs["image"])[1] == expected  # no Chinese names for these


def captions() -> dict[str, Any]:
    settings = json.loads((GOLDEN / "tag2text/config.json").read_text())
    cases: dict[str, Any] = settings["expected"]["captions_out"]
    return {name: case for name, case in cases.items() if "args" in case}


@pytest.mark.parametrize("case", captions())
def test_golden_captions(released: dict[str, Released], case: str) -> None:
    golden = released["tag2text"]
    model = golden.load()
    # These were made with the thresholds of the golden list, which has other ids.
    model.class_threshold = torch.tensor(golden.settings["class_threshold"])
    expected = captions()[case]
    row = int(case[-1])
    arguments = dict(expected["args"])
    if "tag_input" in arguments:
        arguments["tag_input"] = [arguments["tag_input"]]
    image = golden.inputs["image"][row : row + 1]
    result = model.generate(image, **arguments, return_tag_predict=True)
    assert result == ([expected["caption"]], [expected["tags"]])


def test_tag2text_one_image(released: dict[str, Released]) -> None:
    golden = released["tag2text"]
    model = golden.load()
    model.class_threshold = torch.tensor(golden.settings["class_threshold"])
    image = golden.inputs["image"][:1]
    case = captions()["beam3_inference_pred.0"]
    for nothing in ("", "None", "none"):
        assert inference_tag2text(image, model, nothing) == (case["tags"], None, case["caption"])
    answer = inference_tag2text(image, model, "red car,street")
    case = captions()["beam3_usertags.0"]
    assert answer == (model.generate_tag(image)[0], "red car | street", case["caption"])


def test_each_image_of_a_batch_is_captioned_from_itself(released: dict[str, Released]) -> None:
    """The public package captions the second image from the first."""
    golden = released["tag2text"]
    model = golden.load()
    model.class_threshold = torch.tensor(golden.settings["class_threshold"])
    cases = [captions()[f"beam3_default_pred.{row}"] for row in range(2)]
    assert model.generate(golden.inputs["image"]) == [case["caption"] for case in cases]


def test_thresholds(released: dict[str, Released]) -> None:
    golden = released["ram"]
    images = golden.inputs["image"]
    model = golden.load()
    own = model.generate_tag(images)
    assert model.generate_tag(images, threshold=0.68) == own  # the public package's default
    assert model.generate_tag(images, threshold=1.0)[0] == ["", ""]
    everything = model.generate_tag(images, threshold=0.0)[0][0].split(" | ")
    assert len(everything) == 19  # one is deleted
    model.threshold = 1.0
    assert (model.generate_tag(images)[0], model.threshold) == (["", ""], 1.0)
    model.threshold = 0.68
    assert model.generate_tag(images) == own
    assert golden.load(threshold=1.0).generate_tag(images)[0] == ["", ""]
    with pytest.raises(UsageError, match=r"\[0, 1\]"):
        model.threshold = 2.0


def test_half_precision_and_lists_in_place_of_arrays(released: dict[str, Released]) -> None:
    golden = released["ram_plus"]
    model = golden.load().bfloat16()
    model.tag_list = list(model.tag_list)
    english, _ = model.generate_tag(golden.inputs["image"])
    expected = golden.settings["expected"]["tags_en"]
    for found, wanted in zip(english, expected, strict=True):
        assert len({*found.split(" | ")} ^ {*wanted.split(" | ")}) <= 2


def test_a_model_directory(released: dict[str, Released], tmp_path: Path) -> None:
    """A checkpoint is converted to a model directory, as ``anytag convert`` writes it."""
    golden = released["ram"]
    golden.load()
    cache = Path(golden.checkpoint).parents[1] / "compat-cache" / "anytag" / "converted"
    (folder,) = (path for path in cache.iterdir() if path.name.startswith("ram-"))
    model = ram(pretrained=str(folder), image_size=128, vit="swin_l", delete_tag_index=[2])
    english, chinese = model.generate_tag(golden.inputs["image"])
    expected = golden.settings["expected"]
    assert english == expected["tags_en"]
    # Directories hold the names without the blanks behind them; the list brings them back.
    assert [text.replace(" ", "") for text in chinese] == [
        text.replace(" ", "") for text in expected["tags_zh"]
    ]
    names = golden.checkpoint.with_name("ram_tag_list_chinese.txt")
    model = ram(folder, tag_list_chinese=names, delete_tag_index=[2])
    assert model.generate_tag(golden.inputs["image"])[1] == expected["tags_zh"]


def test_converted_once(
    released: dict[str, Released], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = tmp_path / "anytag" / "converted"
    golden = released["ram"]
    golden.load()
    (folder,) = cache.iterdir()
    written = (folder / "model.safetensors").stat().st_mtime_ns
    golden.load()
    golden.load(image_size=128)  # the size it was trained with
    assert [path.name for path in cache.iterdir()] == [folder.name]
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    golden.load(image_size=256)  # another size: another directory
    assert len(list(cache.iterdir())) == 2


def lone(golden: Released, folder: Path) -> Path:
    """The checkpoint without its lists."""
    copy = folder / golden.checkpoint.name
    copy.write_bytes(golden.checkpoint.read_bytes())
    return copy


@pytest.mark.parametrize("family", FACTORIES)
def test_the_tag_list_is_needed(released: dict[str, Released], tmp_path: Path, family: str) -> None:
    golden = released[family]
    copy = lone(golden, tmp_path)
    with pytest.raises(ModelError, match=r"Give tag_list=FILE, or put \w+_tag_list\.txt"):
        golden.load(pretrained=copy)
    name = "tag2text_ori_tag_list.txt" if family == "tag2text" else "ram_tag_list.txt"
    tags = golden.checkpoint.with_name(name)
    if family == "tag2text":
        model = golden.load(pretrained=copy, tag_list=tags)
        assert model.generate_tag(golden.inputs["image"])[0].startswith("man | woman")
        with pytest.raises(ModelError, match="give vocabulary=vocab"):
            model.generate(golden.inputs["image"])
        return
    # The other lists are looked for beside the published tag list, and beside no other.
    expected = golden.settings["expected"]
    model = golden.load(pretrained=copy, tag_list=tags)
    assert model.generate_tag(golden.inputs["image"]) == (expected["tags_en"], expected["tags_zh"])
    mine = copy.with_name("mine.txt")
    mine.write_bytes(tags.read_bytes())
    with pytest.raises(ModelError, match="Give thresholds=FILE"):
        golden.load(pretrained=copy, tag_list=mine)
    model = golden.load(pretrained=copy, tag_list=mine, threshold=0.6)
    english, chinese = model.generate_tag(golden.inputs["image"])
    assert english == chinese  # no Chinese list


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize(
    ("family", "changes", "kind", "message"),
    [
        ("ram", {"pretrained": ""}, UsageError, "pretrained= is empty"),
        ("ram", {"pretrained": "./nowhere"}, ModelError, "no model"),
        ("ram", {"pretrained": "nano"}, ModelError, "not a converted RAM"),
        ("ram", {"vit": "vit_l"}, UsageError, "expected swin_b or swin_l"),
        ("ram", {"image_size": 100}, ModelError, "image_size 100 does not fit"),
        ("ram", {"tag_list": "short.txt"}, AnytagError, "Give thresholds=FILE"),
        ("ram", {"tag_list": "short.txt", "threshold": 0.6}, AnytagError, "the tag list has 2"),
        (
            "ram",
            {"tag_list": "missing.txt", "threshold": 0.6},
            AnytagError,
            "missing.txt: cannot be read",
        ),
        ("ram", {"tag_list_chinese": "short.txt"}, LabelError, "2 lines for the 20 tags"),
        ("ram", {"thresholds": "short.txt"}, LabelError, "short.txt"),
        ("ram", {"delete_tag_index": [20]}, UsageError, "none of 0 to 19"),
    ],
)
def test_wrong_arguments(
    released: dict[str, Released],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    family: str,
    changes: dict[str, Any],
    kind: type[Exception],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("short.txt").write_text("one\ntwo\n")
    golden = released[family]
    with pytest.raises(kind, match=message):
        golden.load(**changes).generate_tag(golden.inputs["image"])


def test_another_family(released: dict[str, Released]) -> None:
    with pytest.raises(ModelError, match=r"RAM\+\+ checkpoint, not RAM"):
        ram(released["ram_plus"].checkpoint, options=OPTIONS)
    released["ram_plus"].load()
    cache = Path(released["ram"].checkpoint).parents[1] / "compat-cache" / "anytag" / "converted"
    folder = next(path for path in cache.iterdir() if path.name.startswith("ram_plus-"))
    with pytest.raises(ModelError, match=r"holds RAM\+\+, not RAM; load it with ram_plus\(\)"):
        ram(folder)
    with pytest.raises(ModelError, match="was converted for images of 128 pixels, not 384"):
        ram_plus(folder, image_size=384)


def test_lists_that_do_not_fit_one_another(released: dict[str, Released]) -> None:
    golden = released["ram_plus"]
    images = golden.inputs["image"]
    model = golden.load()
    model.num_class = 7
    with pytest.raises(ModelError, match="1020 rows, which num_class = 7 does not divide"):
        model.generate_tag(images)
    model.num_class = 10
    with pytest.raises(ModelError, match="num_class 10, tag_list 20, class_threshold 20"):
        model.generate_tag(images)
    with pytest.raises(UsageError, match=r"expected images \[B, 3, 128, 128\], found \[3, 128"):
        model.generate_tag(images[0])
    with pytest.raises(ModelError, match="for inference"):
        model(images, "a caption", None)
