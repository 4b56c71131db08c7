"""The transform, other tags' embeddings, and ``import ram``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import anytag.compat
from anytag.compat.ram import get_transform
from anytag.compat.ram.utils import (
    build_openset_label_embedding,
    build_openset_llm_label_embedding,
)
from anytag.errors import LabelError, UsageError
from anytag.inference.prompts import ensemble

#: pictures through the public package's transform
GOLDEN = Path(__file__).parents[1] / "golden/preprocess"


def test_transform_is_resize_and_imagenet_statistics() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
    image = Image.fromarray(pixels)
    result = get_transform(image_size=48)(image)
    assert (result.shape, result.dtype) == ((3, 48, 48), torch.float32)
    resized = np.asarray(image.resize((48, 48), Image.Resampling.BILINEAR)) / 255
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(result.permute(1, 2, 0), (resized - mean) / std, atol=1e-6)


@pytest.mark.parametrize("name", ["img0", "img1", "img2", "img3", "img_gray", "img_rgba"])
def test_golden_preprocessing(name: str) -> None:
    inputs, outputs = (load_file(GOLDEN / f"{part}.safetensors") for part in ("inputs", "outputs"))
    (pixels,) = (value for key, value in inputs.items() if key.startswith(f"{name}."))
    result = get_transform(image_size=48)(Image.fromarray(pixels.numpy()))
    assert torch.equal(result, outputs[f"{name}.out"])


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_transform_takes_all_modes(mode: str) -> None:
    assert get_transform()(Image.new(mode, (9, 5))).shape == (3, 384, 384)


def test_transform_refuses_other_things() -> None:
    with pytest.raises(UsageError, match="expected a PIL image, found ndarray"):
        get_transform(32)(np.zeros((3, 3, 3)))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="at least 1"):
        get_transform(0)


class Encoder:
    dim = 4
    fingerprint = "test_compat"

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        rows = np.array([[len(text), *map(ord, text[-4:-1])] for text in texts], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_embeddings_of_categories() -> None:
    rows, names = build_openset_label_embedding(["red panda", "Fox"], Encoder())
    assert names == ["red panda", "Fox"]
    np.testing.assert_array_equal(rows, ensemble(names, Encoder()))
    with pytest.raises(UsageError, match="give the categories"):
        build_openset_label_embedding()


def test_embeddings_of_descriptions() -> None:
    given = [{"fox": ["a red fox.", "a sly fox."]}, {"sea": ["much water.", "blue."]}]
    rows, names = build_openset_llm_label_embedding(given, Encoder())
    assert names == ["fox", "sea"]
    texts = ["a red fox.", "a sly fox.", "much water.", "blue."]
    np.testing.assert_array_equal(rows, Encoder().encode(texts))
    for wrong in ([{"fox": ["one."], "sea": ["one.", "two."]}], [], [{"fox": []}]):
        with pytest.raises(LabelError, match="equally many"):
            build_openset_llm_label_embedding(wrong, Encoder())


def test_import_ram_only_after_install() -> None:
    code = """
import sys
import anytag.compat
assert "torch" not in sys.modules
try:
    import ram
    raise SystemExit("ram is there before install()")
except ImportError:
    pass
anytag.compat.install()
anytag.compat.install()
from ram.models import ram_plus, ram, tag2text
from ram import get_transform, inference_ram, inference_tag2text
from ram import inference_ram as inference
from ram.inference import inference_ram_openset
from ram.transform import get_transform as again
from ram.utils import build_openset_label_embedding
from ram.models.ram_plus import ram_plus as third
from ram.models.tag2text import tag2text as fourth
import ram.models.ram
assert again is get_transform and third is ram_plus and fourth is tag2text
assert "torchvision" not in sys.modules and "transformers" not in sys.modules
anytag.compat.uninstall()
assert not [name for name in sys.modules if name == "ram" or name.startswith("ram.")]
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_another_package_named_ram(monkeypatch: pytest.MonkeyPatch) -> None:
    other = ModuleType("ram")
    monkeypatch.setitem(sys.modules, "ram", other)
    with pytest.raises(UsageError, match="another package named 'ram' is imported already"):
        anytag.compat.install()
    anytag.compat.uninstall()
    assert sys.modules["ram"] is other
