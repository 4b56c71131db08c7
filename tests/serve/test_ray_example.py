"""examples/ray_serve.py on a real Ray: a replica, its batches, and its answers over HTTP."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.serve.servers import photo

from anytag.inference.tagger import Tagger

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
]

EXAMPLES = Path(__file__).parents[2] / "examples"
#: starts the example at a free port, and asks: a photo many times at once, and what is none
_DRIVER = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor

import httpx
from ray import serve

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
serve.start(http_options={"host": "127.0.0.1", "port": port})
from ray_serve import MAX_BYTES, Tags

serve.run(Tags.bind(sys.argv[1]))
data = open("photo.png", "rb").read()

def ask(content):
    answer = httpx.post(f"http://127.0.0.1:{port}/?top_k=2", content=content, timeout=300)
    return answer.status_code, answer.json()

with ThreadPoolExecutor(9) as pool:
    answers = list(pool.map(ask, [data] * 8 + [b"no image"]))
answers.append(ask(bytes(MAX_BYTES + 1)))
print(json.dumps(answers))
serve.shutdown()
"""


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """Ray's sockets lie there, whose names must be short."""
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_records_of_the_library_and_errors(
    seeing_model: Path, tmp_path: Path, ray_folder: Path
) -> None:
    (tmp_path / "photo.png").write_bytes(photo(1))
    path = os.pathsep.join([str(EXAMPLES), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER, str(seeing_model)],
        cwd=tmp_path, capture_output=True, text=True, timeout=570, check=False,
        env={**os.environ, "PYTHONPATH": path, "RAY_TMPDIR": str(ray_folder),
             "RAY_USAGE_STATS_ENABLED": "0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-5000:]
    found = [line for line in done.stdout.splitlines() if line.startswith("[[")]
    *photos, broken, large = json.loads(found[0])
    expected = Tagger.from_pretrained(seeing_model)(photo(1)).record()
    expected["tags"] = expected["tags"][:2]
    assert len(expected["tags"]) == 2
    assert photos == [[200, expected]] * 8
    assert (broken[0], broken[1]["error"]["type"]) == (422, "not_an_image")
    assert large == [413, {"error": "the limit is 20,000,000 bytes"}]
