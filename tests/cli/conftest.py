"""The command line, in this process and in others, and folders of small images."""

from __future__ import annotations

import io
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from anytag.cli.main import main

_FAKE = Path(__file__).with_name("fake_anytag.py")
_REAL = "from anytag.cli.main import main; main()"


@dataclass(frozen=True)
class Ended:
    """A command line that has ended."""

    code: int
    out: str
    err: str


class Cli:
    """Runs ``anytag`` in a folder with the model of fake_anytag.py."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch
        self._capfd = capfd

    def __call__(self, *arguments: str, stdin: bytes = b"") -> Ended:
        """Run to the end, in this process: a new one takes a second."""
        self._monkeypatch.setattr(sys, "argv", ["anytag", *arguments])
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        self._monkeypatch.chdir(self._folder)
        self._capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = self._capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, captured.out, captured.err)

    def start(self, *arguments: str, delay: float = 0.0, **options: Any) -> subprocess.Popen[bytes]:
        """A process of its own; its output streams are pipes of bytes."""
        command = [sys.executable, str(_FAKE), str(delay), *arguments]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.Popen(command, cwd=self._folder, stdin=subprocess.DEVNULL, **streams)

    def real(self, *arguments: str) -> Ended:
        """A process with the embedded model, to its end."""
        done = subprocess.run(
            [sys.executable, "-c", _REAL, *arguments],
            cwd=self._folder, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def cli(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    fake_tagger: None,
) -> Cli:
    """The command line, run in the test's folder."""
    for name in ("tag_model", "tag_run"):  # they hold the real model's class once imported
        monkeypatch.delitem(sys.modules, f"anytag.cli.{name}", raising=False)
    return Cli(tmp_path, monkeypatch, capfd)


@pytest.fixture
def real_model() -> None:
    """Skips where the embedded model is not built in."""
    spec = find_spec("anytag")
    assert spec is not None
    assert spec.origin is not None
    if not (Path(spec.origin).parent / "assets" / "nano" / "model.safetensors").exists():
        pytest.skip("the embedded model is not in this checkout")


@pytest.fixture
def make_photos(tmp_path: Path) -> Callable[..., Path]:
    """``make(num)`` gives a folder of that many images, every twentieth of them broken."""

    def make(num: int, name: str = "photos") -> Path:
        folder = tmp_path / name
        draw = random.Random(num)
        for number in range(num):
            path = folder / f"{number % 3}" / f"{number:05}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (9, 7), (draw.randrange(256), 200, draw.randrange(256))).save(path)
            if number % 20 == 7:
                content = path.read_bytes()
                path.write_bytes([b"", b"no image", content[: len(content) // 2]][number // 20 % 3])
        return folder

    return make
