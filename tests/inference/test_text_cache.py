"""The store of text embeddings: hits, other encoders, damage, and many processes at once."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from anytag.files import sha256_bytes
from anytag.inference import text_cache
from anytag.inference.text_cache import CachedTextEncoder, cache_folder, embed_cached


class Encoder:
    """A vector for each text, and a note of what was asked."""

    dim = 8

    def __init__(self, fingerprint: str = "one") -> None:
        self.fingerprint = fingerprint
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.asked += texts
        rows = [
            list(bytes.fromhex(sha256_bytes((self.fingerprint + t).encode())[:16])) for t in texts
        ]
        return np.array(rows, np.float32).reshape(len(texts), 8)


def test_each_text_is_computed_once(tmp_path: Path) -> None:
    encoder = Encoder()
    first = embed_cached(["b", "a", "b"], encoder, tmp_path)
    assert encoder.asked == ["b", "a"]
    np.testing.assert_array_equal(first, Encoder().encode(["b", "a", "b"]))
    again = embed_cached(["a", "c", "b"], encoder, tmp_path)
    assert encoder.asked == ["b", "a", "c"]
    np.testing.assert_array_equal(again, Encoder().encode(["a", "c", "b"]))
    assert embed_cached([], encoder, tmp_path).shape == (0, 8)


def test_more_texts_than_a_query_or_a_chunk_holds(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(1100)]
    encoder = Encoder()
    for _ in range(2):
        np.testing.assert_array_equal(
            embed_cached(texts, encoder, tmp_path), Encoder().encode(texts)
        )
    assert len(encoder.asked) == 1100


def test_another_encoder_has_another_store(tmp_path: Path) -> None:
    embed_cached(["a"], Encoder("one"), tmp_path)
    other = Encoder("two")
    np.testing.assert_array_equal(
        CachedTextEncoder(other, tmp_path).encode(["a"]), Encoder("two").encode(["a"])
    )
    assert other.asked == ["a"]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", ["bit", "short", "type"])
def test_a_damaged_entry_is_computed_anew(tmp_path: Path, damage: str) -> None:
    embed_cached(["a", "b"], Encoder(), tmp_path)
    (path,) = tmp_path.iterdir()
    with sqlite3.connect(path) as database:
        key, value = database.execute("SELECT key, value FROM embeddings").fetchone()
        wrong = {"bit": value[:-1] + bytes([value[-1] ^ 1]), "short": value[:9], "type": "text"}
        database.execute("UPDATE embeddings SET value = ? WHERE key = ?", (wrong[damage], key))
    database.close()
    for expected in (1, 0):  # once, then it is whole again
        encoder = Encoder()
        rows = embed_cached(["a", "b"], encoder, tmp_path)
        np.testing.assert_array_equal(rows, Encoder().encode(["a", "b"]))
        assert len(encoder.asked) == expected


@pytest.mark.parametrize("content", [b"no database at all" * 100, b""])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    embed_cached(["a"], Encoder(), tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    for expected in (1, 0):
        encoder = Encoder()
        embed_cached(["a"], encoder, tmp_path)
        assert len(encoder.asked) == expected


def test_a_file_in_place_of_the_folder_is_no_obstacle(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("")
    rows = embed_cached(["a"], Encoder(), tmp_path / "cache")
    np.testing.assert_array_equal(rows, Encoder().encode(["a"]))
    assert "cannot write the cache" in caplog.text


def test_many_processes_write_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from test_text_cache import Encoder, embed_cached\n"
        "start = int(sys.argv[3])\n"
        "for n in range(20):\n"
        "    embed_cached([f't{start + n}', f't{n}'], Encoder(), Path(sys.argv[1]))\n"
    )
    folder = str(Path(__file__).parent)
    command = [sys.executable, "-c", code, str(tmp_path), folder]
    running = [subprocess.Popen([*command, str(start)]) for start in (0, 10, 20)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    encoder = Encoder()
    embed_cached([f"t{n}" for n in range(40)], encoder, tmp_path)
    assert encoder.asked == []


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "anytag"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    if os.name == "posix" and sys.platform != "darwin":
        assert cache_folder() == tmp_path / ".cache" / "anytag"
    monkeypatch.setattr(text_cache.sys, "platform", "darwin")
    assert cache_folder() == Path.home() / "Library" / "Caches" / "anytag"


def test_the_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    embed_cached(["a"], Encoder())
    assert [path.suffix for path in (tmp_path / "anytag" / "text").iterdir()] == [".sqlite"]
