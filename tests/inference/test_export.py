"""Exported models beside the ones they were made from: every family, any tags, without torch."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from onnx import numpy_helper
from PIL import Image
from tests.checkpoints import plain_released as plain
from tests.checkpoints.plain_released import Sizes

from anytag import Tagger
from anytag.checkpoints.released_conversion import TagLists, convert_released
from anytag.checkpoints.sizes import ConvertOptions
from anytag.errors import LabelError, ModelError, OutputError, UsageError
from anytag.inference import export as exporting
from anytag.inference.export import ExportOptions, export_model
from anytag.inference.export_int8 import encoder_nodes
from anytag.inference.export_parity import made_pictures
from anytag.inference.open_model import OpenModel

# OpenVINO and ONNX Runtime beside torch in one long process: kept out of the default run
pytestmark = pytest.mark.slow

BACKENDS = ("onnx", "openvino")
TEXT = 33
Pixels = npt.NDArray[np.uint8]
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def original(tiny_model: Path) -> Tagger:
    return Tagger.from_pretrained(tiny_model, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def graphs(original: Tagger) -> dict[str, onnx.ModelProto]:
    """Made once: torch takes some seconds for each."""
    assert isinstance(original.model, OpenModel)
    return {
        "image_graph": exporting.image_graph(original.model),
        "label_graph": exporting.label_graph(original.model),
    }


@pytest.fixture(scope="module")
def folders(
    graphs: dict[str, onnx.ModelProto], original: Tagger, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The tiny model, exported for each backend; tests copy it before they change it."""
    root = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        for name, graph in graphs.items():
            patch.setattr(exporting, name, lambda model, graph=graph: graph)
        for backend in BACKENDS:
            export_model(original, root / backend, ExportOptions(backend=backend))
    return {backend: root / backend for backend in BACKENDS}


@pytest.fixture
def write(
    graphs: dict[str, onnx.ModelProto],
    original: Tagger,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Write:
    """Exports the tiny model with graphs that were made before."""
    for name, graph in graphs.items():
        monkeypatch.setattr(exporting, name, lambda model, graph=graph: copy.deepcopy(graph))

    def run(backend: str = "onnx", tagger: Tagger = original, **options: Any) -> Path:
        photos = options.pop("photos", None)
        folder = tmp_path / options.pop("name", "exported")
        export_model(tagger, folder, ExportOptions(backend=backend, **options), photos)
        return folder

    return run


@pytest.mark.parametrize("backend", BACKENDS)
def test_scores_and_tags_are_the_same(
    backend: str, folders: dict[str, Path], original: Tagger, pixels: Pixels
) -> None:
    tagger = Tagger.from_pretrained(folders[backend])
    assert tagger.model_name == original.model_name == "tiny-1"
    assert tagger.labels == original.labels
    assert (str(tagger.device), tagger.dtype, tagger.image_size) == ("cpu", "float32", 64)
    for count in (0, 1, 3, 5):
        part = pixels[:count]
        np.testing.assert_allclose(tagger.score(part), original.score(part), atol=1e-5)
    for ours, theirs in zip(tagger.look(pixels), original.look(pixels), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    image = Image.fromarray(pixels[0])
    assert [tag.name for tag in tagger(image).tags] == [tag.name for tag in original(image).tags]


@pytest.mark.parametrize("backend", BACKENDS)
def test_other_tags_need_no_other_graph(
    backend: str, folders: dict[str, Path], original: Tagger, pixels: Pixels
) -> None:
    folder = folders[backend]
    graph = folder / {"onnx": "model.onnx", "openvino": "model.xml"}[backend]
    before = graph.read_bytes()
    tagger = Tagger.from_pretrained(folder)
    assert tagger.own_tags == "any"
    vector = np.random.default_rng(1).normal(size=16).astype(np.float32)
    cases: list[tuple[Any, bool]] = [
        (["dog"], False),
        (["red panda", "beach", "tree of dogs"], False),
        ({"zebra": ["a striped horse", "red panda"], "mine": vector, "cat": []}, False),
        (["tabby"], True),
        ([f"tag {number}" for number in range(200)], True),
    ]
    for tags, extend in cases:
        ours = tagger.with_tags(tags, extend=extend)
        theirs = original.with_tags(tags, extend=extend)
        assert ours.labels == theirs.labels
        np.testing.assert_allclose(ours.score(pixels), theirs.score(pixels), atol=1e-5)
    assert graph.read_bytes() == before


def test_graph_says_what_it_takes(folders: dict[str, Path]) -> None:
    graph = onnx.load(folders["onnx"] / "model.onnx")
    onnx.checker.check_model(graph, full_check=True)
    shapes = {
        one.name: [axis.dim_param or axis.dim_value for axis in one.type.tensor_type.shape.dim]
        for one in [*graph.graph.input, *graph.graph.output]
    }
    assert shapes == {
        "pixels": ["images", 64, 64, 3],
        "queries": ["tags", 32],
        "projected": ["tags", 32],
        "logits": ["images", "tags"],
        "embedding": ["images", 24],
    }
    assert {one.domain for one in graph.opset_import} == {""}
    assert graph.opset_import[0].version == 18
    weights = {one.name: numpy_helper.to_array(one) for one in graph.graph.initializer}
    assert not any(array.shape[:1] == (5,) for array in weights.values())  # no tag is baked in


def test_card_says_how_equal_the_two_are(
    write: Write, folders: dict[str, Path], pixels: Pixels, original: Tagger
) -> None:
    made = json.loads((folders["onnx"] / "export.json").read_text())
    assert made["parity"]["images"] == "made"
    assert made["parity"]["num_images"] == 8
    card = json.loads((write(photos=pixels, name="other") / "export.json").read_text())
    parity = card["parity"]
    limits = [label.threshold for label in original.labels]
    assert parity["num_given"] == (original.score(pixels) >= limits).sum()
    assert (parity["images"], parity["num_images"], parity["num_tags"]) == ("photos", 5, 5)
    assert parity["num_tags_changed"] == parity["num_images_changed"] == 0
    assert 0 <= parity["max_logit_difference"] < 1e-4
    assert card["family"] == "plain"
    assert (card["mean"], card["std"]) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def test_a_graph_that_differs_is_an_error(
    write: Write,
    graphs: dict[str, onnx.ModelProto],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """One weight of the last layer, wrong by little."""
    wrong = copy.deepcopy(graphs["image_graph"])
    last = next(one for one in wrong.graph.initializer if tuple(one.dims) == (32, 1))
    last.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(last) * 1.02, last.name))
    monkeypatch.setattr(exporting, "image_graph", lambda model: wrong)
    with pytest.raises(
        ModelError, match=r"other logits than torch: they differ by up to 0\..*noth"
    ):
        write()
    assert [path for path in tmp_path.iterdir() if "exported" in path.name] == []


def test_8_bits_in_the_encoder_alone(write: Write, original: Tagger) -> None:
    photos = made_pictures(9, 64)
    folder = write(int8=True, photos=photos, max_changed=9.0)
    tagger = Tagger.from_pretrained(folder)
    assert (tagger.model_name, tagger.dtype) == ("tiny-1+int8", "int8")
    card = json.loads((folder / "export.json").read_text())
    assert card["int8"] is True
    assert card["parity"]["num_images"] == 4  # the other five have calibrated
    assert card["parity"]["max_logit_difference"] > 1e-5
    error = np.abs(tagger.score(photos) - original.score(photos))
    assert 0 < error.mean() < 0.1
    graph = onnx.load(folder / "model.onnx")
    inner = {node.name for node in encoder_nodes(graph)}
    eight = [node for node in graph.graph.node if node.op_type == "QuantizeLinear"]
    assert len(eight) > 50
    assert {node.name for node in eight} <= inner
    float_size = sum(w.nbytes for w in original.model.network.encoder.parameters())
    assert (folder / "model.onnx").stat().st_size < 0.5 * float_size


def test_another_tag_list_and_thresholds_are_exported(
    write: Write, original: Tagger, pixels: Pixels
) -> None:
    mine = original.with_tags(["red panda", "cat"])
    mine = mine.with_labels(mine.labels.with_thresholds({"cat": 0.123}))
    tagger = Tagger.from_pretrained(write(tagger=mine))
    assert tagger.labels.names == ["red panda", "cat"]
    assert tagger.labels[1].threshold == 0.123
    np.testing.assert_allclose(tagger.score(pixels), mine.score(pixels), atol=1e-5)


def make_released(family: str, folder: Path) -> Path:
    """A small network with shifted and unshifted windows."""
    sizes = Sizes(
        family=family, text=TEXT, tags=6, window=4, depths=(2, 1), swin_heads=(3, 4), size=32
    )
    torch.save({"model": plain.make(sizes)}, folder / "released.pth")
    (folder / "tags.txt").write_text("\n".join(f"tag {number}" for number in range(6)))
    convert_released(
        folder / "released.pth",
        TagLists(tags=folder / "tags.txt"),
        folder / family,
        options=ConvertOptions(num_heads=sizes.heads),
    )
    return folder / family


@pytest.mark.slow
@pytest.mark.parametrize("family", ["ram_plus", "tag2text", "ram"])
def test_released_models(family: str, tmp_path: Path) -> None:
    source = Tagger.from_pretrained(make_released(family, tmp_path), device="cpu", dtype="float32")
    export_model(source, tmp_path / "out", ExportOptions(backend="onnx"))
    tagger = Tagger.from_pretrained(tmp_path / "out")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    random = np.random.default_rng(1)
    few, many = (random.normal(size=(count, TEXT)).astype(np.float32) for count in (1, 9))
    pairs = [(tagger, source)]
    pairs.append((tagger.with_tags(["tag 4", "tag 1"]), source.with_tags(["tag 4", "tag 1"])))
    if family == "tag2text":
        assert tagger.own_tags == "none"
        with pytest.raises(LabelError, match="zebra"):
            tagger.with_tags(["zebra"])
    else:
        assert tagger.own_tags == "no text encoder"
        with pytest.raises(ModelError, match="'zebra' is not among this model's tags"):
            tagger.with_tags(["zebra"])
        own: dict[str, Any] = {"few": few, "many": many, "tag 2": []}
        pairs += [
            (tagger.with_tags(own, extend=extend), source.with_tags(own, extend=extend))
            for extend in (False, True)
        ]
    for ours, theirs in pairs:
        assert ours.labels.names == theirs.labels.names
        for count in (1, 3):
            scores = theirs.score(pixels[:count])
            np.testing.assert_allclose(ours.score(pixels[:count]), scores, atol=1e-5)
        assert np.ptp(scores) > 0.01  # not all the same


def test_tags_with_different_numbers_of_descriptions_are_exported(tmp_path: Path) -> None:
    source = Tagger.from_pretrained(make_released("ram_plus", tmp_path), device="cpu")
    random = np.random.default_rng(1)
    own = {
        name: random.normal(size=(count, TEXT)).astype(np.float32)
        for name, count in (("one", 1), ("nine", 9), ("four", 4))
    }
    mixed = source.with_tags(own, extend=True).with_tags(["nine", "tag 3", "one"])
    assert mixed.labels.names == ["nine", "tag 3", "one"]
    found = exporting.embedding_arrays(mixed.rows)
    assert found["num_descriptions"].tolist() == [9, 7, 1]
    np.testing.assert_array_equal(found["label_embeddings"][0], own["nine"])
    np.testing.assert_array_equal(found["label_embeddings"][2, :1], own["one"])
    assert not found["label_embeddings"][2, 1:].any()


_WITHOUT_TORCH = """
import json, sys
sys.modules["torch"] = None
from anytag import Tagger
tagger = Tagger.from_pretrained(sys.argv[1])
extended = tagger.with_tags(["red panda"], extend=True)
result = extended(sys.argv[2], threshold=0.0)
print(json.dumps([[tag.name, tag.score] for tag in result.tags]))
try:
    tagger.caption(sys.argv[2])
except Exception as error:
    print(type(error).__name__)
try:
    Tagger.from_pretrained("nano")
except Exception as error:
    print(type(error).__name__, error)
sys.argv = ["anytag", "tag", sys.argv[2], "--model", sys.argv[1], "--format", "json"]
from anytag.cli.main import main

main()
"""


@pytest.mark.parametrize("backend", ["onnx", pytest.param("openvino", marks=pytest.mark.slow)])
def test_no_torch_is_needed(
    backend: str, folders: dict[str, Path], original: Tagger, pixels: Pixels, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(pixels[0]).save(photo)
    command = [sys.executable, "-W", "error", "-c", _WITHOUT_TORCH]
    command += [str(folders[backend]), str(photo)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    tags, caption, refused, *rest = done.stdout.splitlines()
    expected = original.with_tags(["red panda"], extend=True)(photo, threshold=0.0)
    scores = {tag.name: tag.score for tag in expected.tags}
    assert dict(json.loads(tags)) == pytest.approx(scores, abs=1e-5)
    assert caption == "ModelError"
    assert refused.startswith("ModelError")
    assert "needs torch, which is not installed" in refused
    given = json.loads("\n".join(rest))
    assert [tag["name"] for tag in given[0]["tags"]] == [tag.name for tag in original(photo).tags]


def _without(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def _with(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def _card(**values: Any) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        card = json.loads((folder / "export.json").read_text())
        (folder / "export.json").write_text(json.dumps(card | values))

    return change


@pytest.mark.parametrize(
    ("damage", "options", "error", "message"),
    [
        (_without("labels.onnx"), {}, ModelError, "labels.onnx: missing"),
        (_with("model.onnx", "no graph"), {}, ModelError, "onnxruntime cannot load it"),
        (_without("export.json"), {}, ModelError, "no export.json; not a directory of anytag"),
        (_with("export.json", "{"), {}, ModelError, "export.json: cannot be read"),
        (_card(family="sam"), {}, ModelError, "'sam' is none of plain, ram"),
        (_card(format=9), {}, ModelError, "format 9 is not known"),
        (_card(colour=1), {}, ModelError, "unknown key 'colour'"),
        (_card(text_width=7), {}, ModelError, r"expected 'label_embeddings' \[5, 7\]"),
        (_card(family="ram_plus"), {}, ModelError, r"\[5, 'descriptions', 16\], found \[5, 16\]"),
        (_card(family="tag2text"), {}, ModelError, "label_inputs.safetensors: missing"),
        (_without("label_embeddings.safetensors"), {}, ModelError, "missing from the model"),
        (_with("label_embeddings.safetensors", "x"), {}, ModelError, "no safetensors file"),
        (_with("labels.json", "[]"), {}, ModelError, r"expected 'label_embeddings' \[0, 16\]"),
        (None, {"backend": "torch"}, ModelError, "exported for onnx and without model.safetensors"),
        (None, {"backend": "openvino"}, ModelError, "no model.xml, so openvino cannot run it"),
        (None, {"backend": "tvm"}, UsageError, "expected auto, torch, onnx, openvino"),
        (None, {"device": "tpu"}, UsageError, "unknown device 'tpu' for onnx"),
        (None, {"device": "cuda"}, UsageError, "install onnxruntime-gpu instead of onnxruntime"),
        (None, {"dtype": "bfloat16"}, UsageError, "compute in float32 or int8"),
        (None, {"normalization": "clip"}, UsageError, "pixel statistics are inside"),
    ],
)
def test_what_cannot_be_opened(
    damage: Callable[[Path], object] | None,
    options: dict[str, str],
    error: type[Exception],
    message: str,
    folders: dict[str, Path],
    tmp_path: Path,
) -> None:
    folder = folders["onnx"]
    if damage is not None:
        folder = Path(shutil.copytree(folder, tmp_path / "copy"))
        damage(folder)
    with pytest.raises(error, match=message):
        Tagger.from_pretrained(folder, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "tpu"}, "unknown device 'tpu' for openvino"),
        ({"dtype": "int4"}, "unknown dtype 'int4': expected auto, float32, bfloat16, float16"),
        ({"device": "gpu:7"}, "OpenVINO finds CPU"),
    ],
)
def test_what_openvino_cannot(
    options: dict[str, str], message: str, folders: dict[str, Path]
) -> None:
    with pytest.raises(UsageError, match=message):
        Tagger.from_pretrained(folders["openvino"], **options)


def test_openvino_in_bfloat16(folders: dict[str, Path], original: Tagger, pixels: Pixels) -> None:
    tagger = Tagger.from_pretrained(folders["openvino"], dtype="bfloat16")
    assert tagger.dtype == "bfloat16"
    np.testing.assert_allclose(tagger.score(pixels), original.score(pixels), atol=0.1)


def test_what_an_exported_model_cannot(folders: dict[str, Path], pixels: Pixels) -> None:
    tagger = Tagger.from_pretrained(folders["onnx"])
    with pytest.raises(ModelError, match="exported models write no captions"):
        tagger.caption(Image.fromarray(pixels[0]))
    with pytest.raises(ModelError, match="give no attention maps"):
        tagger.attention(pixels)
    with pytest.raises(UsageError, match=r"uint8 \[images, 64, 64, 3\], found uint8 \[4, 32, 64"):
        tagger.score(pixels[:, :32])
    with pytest.raises(UsageError, match="only a model that torch runs on the CPU in float32"):
        export_model(tagger, Path("nowhere"), ExportOptions(backend="onnx"))


def test_what_cannot_be_exported(
    write: Write, original: Tagger, tiny_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="'tensorrt': expected onnx or openvino"):
        write("tensorrt")
    with pytest.raises(UsageError, match="8 bits are calibrated on photos"):
        write(int8=True)
    half = Tagger.from_pretrained(tiny_model, device="cpu", dtype="bfloat16")
    with pytest.raises(UsageError, match="on the CPU in float32"):
        write(tagger=half)
    folder = write()
    with pytest.raises(OutputError, match="exists; replace it with --overwrite"):
        write()
    (folder / "old.txt").write_text("of the earlier export")
    write(overwrite=True)
    assert not (folder / "old.txt").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("not to be lost")
    with pytest.raises(OutputError, match="exists and is no earlier export"):
        write(name="mine", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["exported", "mine"]


def test_directory_with_both_uses_torch(
    folders: dict[str, Path], tiny_model: Path, tmp_path: Path, original: Tagger, pixels: Pixels
) -> None:
    both = tmp_path / "both"
    shutil.copytree(tiny_model, both)
    exported = folders["onnx"]
    for name in ("model.onnx", "labels.onnx", "export.json"):
        shutil.copy(exported / name, both / name)
    assert isinstance(Tagger.from_pretrained(both, device="cpu").model, OpenModel)
    tagger = Tagger.from_pretrained(both, backend="onnx")
    assert not isinstance(tagger.model, OpenModel)
    np.testing.assert_allclose(tagger.score(pixels), original.score(pixels), atol=1e-5)
    with pytest.raises(ModelError, match=r"no model.onnx, so onnx cannot run it; .*export nano"):
        Tagger.from_pretrained("nano", backend="onnx")


@pytest.mark.parametrize("backend", BACKENDS)
def test_networks_too_large_for_one_file(
    backend: str, write: Write, original: Tagger, pixels: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their weights stand in a second file, and the directory can be moved."""
    monkeypatch.setattr("anytag.inference.export_graph.MAX_BYTES", 1000)
    folder = write(backend)
    graphs = {path.name: path.stat().st_size for path in folder.glob("*.onnx*")}
    assert set(graphs) == (
        {"model.onnx", "model.onnx.data", "labels.onnx", "labels.onnx.data"}
        if backend == "onnx"
        else set()
    )
    if backend == "onnx":
        assert graphs["model.onnx"] < graphs["model.onnx.data"]
    moved = folder.rename(folder.with_name("moved"))
    tagger = Tagger.from_pretrained(moved)
    np.testing.assert_allclose(tagger.score(pixels), original.score(pixels), atol=1e-5)
    for file in moved.glob("*.data"):
        file.unlink()
        with pytest.raises(ModelError, match="onnxruntime cannot load it"):
            Tagger.from_pretrained(moved)


def test_8_bits_in_openvino(write: Write, original: Tagger) -> None:
    photos = made_pictures(9, 64)
    tagger = Tagger.from_pretrained(write("openvino", int8=True, photos=photos, max_changed=9.0))
    assert (tagger.model_name, tagger.dtype) == ("tiny-1+int8", "int8")
    error = np.abs(tagger.score(photos) - original.score(photos))
    assert 0 < error.mean() < 0.1


def test_8_bits_of_a_large_network(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = made_pictures(4, 64)
    one_file = Tagger.from_pretrained(write(int8=True, photos=photos, max_changed=9.0))
    monkeypatch.setattr("anytag.inference.export_graph.MAX_BYTES", 1000)
    folder = write(int8=True, photos=photos, max_changed=9.0, name="large")
    assert (folder / "model.onnx.data").is_file()
    scores = Tagger.from_pretrained(folder).score(photos)
    np.testing.assert_allclose(scores, one_file.score(photos), atol=1e-5)


def test_8_bits_that_change_too_many_tags_are_refused(
    write: Write, original: Tagger, tmp_path: Path
) -> None:
    """Thresholds at the scores of one photo, so that the smallest change loses or wins a tag."""
    photos = made_pictures(8, 64)
    limits = dict(zip(original.labels.names, original.score(photos)[1].tolist(), strict=True))
    tagger = original.with_labels(original.labels.with_thresholds(limits))
    options = {"tagger": tagger, "int8": True, "photos": photos}
    with pytest.raises(ModelError, match=r"8 bits change \d+ of \d+ tags on 4 .*--max-changed"):
        write(**options, max_changed=0.0)
    assert not (tmp_path / "exported").exists()
    card = json.loads((write(**options, max_changed=9.0) / "export.json").read_text())
    assert card["parity"]["num_tags_changed"] > 0
    with pytest.raises(UsageError, match="max_changed must be 0 or more"):
        ExportOptions(backend="onnx", max_changed=-0.1)
