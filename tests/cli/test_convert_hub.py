"""``anytag convert hf:...`` and ``Tagger.from_pretrained("org/name")``, against a hub of our own.

In processes of their own, because huggingface_hub reads its address when it is imported.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.test_convert import publish, sizes
from tests.hub_server import Hub, serve

Call = Any


@pytest.fixture
def hub(released_files: Any, tmp_path: Path) -> Iterator[Hub]:
    """RAM++'s checkpoint in one repository, its lists in a Space, RAM with its lists in a third."""
    publish(released_files["ram_plus"], tmp_path / "hub/spaces/org/space/ram/data")
    checkpoint = tmp_path / "hub/spaces/org/space/ram/data/ram_plus.pth"
    (tmp_path / "hub/org/plus").mkdir(parents=True)
    checkpoint.rename(tmp_path / "hub/org/plus/ram_plus.pth")
    publish(released_files["ram"], tmp_path / "hub/org/ram")
    with serve(tmp_path / "hub") as server:
        yield server


@pytest.fixture
def call(hub: Hub, tmp_path: Path) -> Call:
    """Run Python in a folder and with caches of its own."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }

    def run(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=tmp_path,
            env={**environment, **more},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


MAIN = "from anytag.cli.main import main; main()"
LOAD = """
from anytag import Tagger
tagger = Tagger.from_pretrained("org/ram")
print(tagger.model_name, len(tagger.labels), tagger.labels[0].display_name("zh"))
"""


@pytest.mark.slow
def test_from_the_hub(call: Call, hub: Hub, released_files: Any, tmp_path: Path) -> None:
    files = released_files["ram_plus"]
    convert = ["-c", MAIN, "convert", "hf:org/plus/ram_plus.pth", *sizes(files)]
    done = call(*convert, "--lists", "hf:spaces/org/space", "--mute", "dog", "-o", "model")
    assert (done.returncode, done.stdout) == (0, "model\n"), done.stderr
    assert "ram/data/ram_tag_list.txt" in done.stderr
    assert "ram/data/ram_tag_list_chinese.txt" in done.stderr
    local = files.convert(tmp_path / "local")
    expected = (local.path / "labels.json").read_bytes()
    assert (tmp_path / "model/labels.json").read_bytes() == expected
    assert hub.sent.count("org/plus/ram_plus.pth") == 1

    done = call(*convert, "-o", "other")
    assert done.returncode == 2
    assert "hf:org/plus has no ram_tag_list.txt; give --tag-list FILE, or --lists" in done.stderr
    assert hub.sent.count("org/plus/ram_plus.pth") == 1  # it is in the cache

    done = call("-c", LOAD)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ram-")
    assert done.stdout.endswith("20 男人\n")
    sent = len(hub.sent)
    for name in ("org/ram", "hf:org/ram/ram.pth"):
        again = call("-c", LOAD.replace("org/ram", name), HF_HUB_OFFLINE="1")
        assert (again.stdout, len(hub.sent)) == (done.stdout, sent), again.stderr


def test_what_is_not_there(call: Call) -> None:
    done = call("-c", MAIN, "convert", "hf:org/plus/missing.pth", "-o", "model")
    assert (done.returncode, done.stdout) == (1, "")
    assert "hf:org/plus/missing.pth: could not be downloaded: 404" in done.stderr
    assert done.stderr.count("\n") == 1
