"""Google's own library against this server; it works by changing the address (docs/serve.md)."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.serve.servers import Running, photo, running

from anytag.serve.security import digest

pytestmark = pytest.mark.slow

KEY = "a-key-that-is-long-enough"
PAGE = Path(__file__).parents[2] / "docs" / "serve.md"
#: of the errors that an image alone has, and of those of the whole request
ERRORS = """
from google.api_core.exceptions import GoogleAPICallError

label, face = ({"type_": kind} for kind in (
    vision.Feature.Type.LABEL_DETECTION, vision.Feature.Type.FACE_DETECTION))
requests = [
    {"image": {"content": b"no image"}, "features": [label]},
    {"image": image, "features": [face]},
    {"image": {"source": {"image_uri": "https://example.org/a.jpg"}}, "features": [label]},
    {"image": image, "features": [face, label]},
]
for one in client.batch_annotate_images(requests=requests).responses:
    print(one.error.code, len(one.label_annotations) > 0)
try:
    client.batch_annotate_images(requests=requests * 20)
except GoogleAPICallError as error:
    print(type(error).__name__, error.message.partition(": ")[2])
"""


def is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even what it lies in
        return False


@pytest.fixture(scope="module")
def example() -> str:
    """The documentation's own."""
    if not is_installed("google.cloud.vision"):
        pytest.skip("pip install google-cloud-vision")
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    (found,) = [block for block in blocks if "google.cloud" in block]
    assert isinstance(found, str)
    return found


def run(code: str, url: str, folder: Path, key: str = "any") -> subprocess.CompletedProcess[str]:
    (folder / "photo.jpg").write_bytes(photo(1))
    code = code.replace("http://127.0.0.1:8000", url).replace('"any"', repr(key))
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_labels(example: str, shared: Running, tmp_path: Path) -> None:
    done = run(example, shared.url, tmp_path)
    assert done.returncode == 0, done.stderr
    tags = shared.tag(photo(1), threshold="auto", top_k=3).json()["tags"]
    assert tags
    assert done.stdout == "".join(f"{tag['score']:.2f}  {tag['name']}\n" for tag in tags)


def test_errors(example: str, shared: Running, tmp_path: Path) -> None:
    done = run(example + ERRORS, shared.url, tmp_path)
    assert done.returncode == 0, done.stderr
    *images, last = done.stdout.splitlines()[-5:]
    assert images == ["3 False", "12 False", "7 False", "0 True"]
    assert last.endswith("80 images; the limit is 64 a request")


@pytest.mark.parametrize(("key", "code"), [(KEY, 0), ("any", 1)])
def test_keys(example: str, tiny_model: Path, tmp_path: Path, key: str, code: int) -> None:
    with running({"tiny": tiny_model}, key_digests=(digest(KEY),)) as client:
        done = run(example, client.url, tmp_path, key)
    assert done.returncode == code
    assert ("Unauthorized" in done.stderr) == bool(code)
