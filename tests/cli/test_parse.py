"""``anytag parse``: formats, exit codes, resuming, processes."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anytag.cli.main import main
from anytag.cli.parse_batches import Output, ParserSpec, Worker
from anytag.data import caption_blocks
from anytag.data.caption_blocks import CaptionBlock, row_blocks
from anytag.data.captions import Caption

Run = Callable[..., tuple[int, str, str]]
CAPTIONS = "Two dogs without a leash run.\n\nA red bus.\n"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["anytag", "parse", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return int(ended.value.code or 0), out, err

    return call


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_records_on_standard_output(run: Run) -> None:
    code, out, err = run("-", stdin=CAPTIONS.encode())
    assert code == 0
    first, second = records(out)
    assert first["source"] == "-"
    assert first["row"] == 1
    assert first["error"] is first["image"] is None
    assert first["tags"][0] == {
        "name": "dog",
        "kind": "object",
        "span": [4, 8],
        "negated": False,
        "quantity": 2,
    }
    assert [tag["name"] for tag in first["tags"] if tag["negated"]] == ["leash"]
    assert [tag["name"] for tag in second["tags"]] == ["red", "bus"]
    assert "2 captions, 5 tags" in err


def test_closed_mode_gives_ids(run: Run, tmp_path: Path) -> None:
    (tmp_path / "tags.txt").write_text("bus\ndog\n")
    _, out, _ = run("-", "--labels", "tags.txt", stdin=CAPTIONS.encode())
    assert [[(tag["name"], tag["id"]) for tag in row["tags"]] for row in records(out)] == [
        [("dog", 1)],
        [("bus", 0)],
    ]


def test_closed_mode_of_a_model(run: Run, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "labels.json").write_text('[{"name": "bus", "kind": "object"}]')
    _, out, _ = run("-", "--model", "model", stdin=CAPTIONS.encode())
    assert [len(row["tags"]) for row in records(out)] == [0, 1]


def test_csv_has_a_row_for_every_caption(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"caption": "a dog", "id": 7}\n{\n{"caption": "!"}\n')
    code, _, err = run("a.jsonl", "-o", "out.csv")
    assert code == 1
    assert "a.jsonl, row 2" in err
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert [(row["row"], row["image"], row["tag"], row["error"]) for row in rows] == [
        ("1", "7", "dog", ""),
        ("2", "", "", "bad_json"),
        ("3", "", "", ""),
    ]


def test_hostile_rows_are_counted_and_never_fatal(run: Run, tmp_path: Path) -> None:
    data = b"a dog\n\xff\xfe\x00 caf\xe9\n" + b"cat " * 250_000 + "\nكلب 😀 שלום\n".encode()
    (tmp_path / "a.txt").write_bytes(data)
    code, out, err = run("a.txt", "gone.txt")
    assert code == 1
    assert [row["error"] is None for row in records(out)] == [True] * 4 + [False]
    assert "1 rows without a caption; 1 not UTF-8" in err


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_resumed_run_equals_an_uninterrupted_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(caption_blocks, "_CHUNK", 100)
    monkeypatch.setattr(caption_blocks, "BLOCK_BYTES", 300)
    lines = [f"{number} dogs on a bench" if number % 9 else "{" for number in range(95)]
    rows = [json.dumps({"caption": line}) if line != "{" else line for line in lines]
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    whole, part = tmp_path / f"whole.{form}", tmp_path / f"part.{form}"
    assert run("a.jsonl", "-o", whole)[0] == 1

    calls = 0
    real = Worker.__call__

    def dies(self: Worker, block: CaptionBlock) -> Output:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return real(self, block)

    monkeypatch.setattr(Worker, "__call__", dies)
    assert run("a.jsonl", "-o", part)[0] == 130
    with part.open("ab") as file:
        file.write(b'{"half a record')
    assert 0 < part.stat().st_size < whole.stat().st_size
    code, _, err = run("a.jsonl", "-o", part, "--resume")
    assert code == 1
    assert "84 captions" in err
    assert part.read_bytes() == whole.read_bytes()
    assert run("a.jsonl", "-o", part, "--resume")[0] == 1
    assert part.read_bytes() == whole.read_bytes()


def test_another_run_is_not_mixed_in(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a dog\n")
    assert run("a.txt", "-o", "out.jsonl")[0] == 0
    assert "exists" in run("a.txt", "-o", "out.jsonl")[2]
    (tmp_path / "b.txt").write_text("a cat\n")
    code, _, err = run("b.txt", "-o", "out.jsonl", "--resume")
    assert (code, "another inputs" in err) == (2, True)
    assert run("b.txt", "-o", "out.jsonl", "--overwrite")[0] == 0
    assert "cat" in (tmp_path / "out.jsonl").read_text()
    (tmp_path / "out.jsonl").write_text("")
    assert "shorter" in run("b.txt", "-o", "out.jsonl", "--resume")[2]
    (tmp_path / "out.jsonl.run.json").unlink()
    assert "missing or broken" in run("b.txt", "-o", "out.jsonl", "--resume")[2]


def test_processes_give_the_same_bytes_in_the_same_order(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caption_blocks, "_CHUNK", 100)
    monkeypatch.setattr(caption_blocks, "BLOCK_BYTES", 200)
    (tmp_path / "a.txt").write_text("".join(f"{n} cats and no dog\n" for n in range(100)))
    assert run("a.txt", "-o", "one.jsonl")[0] == 0
    assert run("a.txt", "-o", "two.jsonl", "--processes", 2)[0] == 0
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()


def test_hand_made_json_is_what_json_would_write() -> None:
    caption = Caption(source='a"\\b', row=3, text='two "dogs"\n\u2028 \x00😀 no cat', image="é")
    (block,) = row_blocks([caption])
    done = Worker(ParserSpec())(block)
    record = json.loads(done.data)
    assert done.data.decode() == json.dumps(record, ensure_ascii=False) + "\n"
    assert record["caption"] == caption.text
    assert record["image"] == "é"
    assert [tag["name"] for tag in record["tags"]] == ["dog", "cat"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.docx"], "captions are read from"),
        (["-", "-"], "only once"),
        (["a.txt", "--resume"], "needs the file"),
        (["a.txt", "--mode", "open", "--model", "nano"], "takes neither"),
        (["a.txt", "--labels", "a", "--model", "b"], "exclude each other"),
        (["a.txt", "--parser", "other"], "expected builtin"),
        (["a.txt", "-o", "none/out.jsonl"], "does not exist"),
    ],
)
def test_wrong_usage(run: Run, arguments: list[str], message: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_a_missing_spacy_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    code, _, err = run("-", "--parser", "spacy:en_core_web_sm", stdin=b"a dog\n")
    assert code == 1
    assert "pip install 'anytag[spacy]'" in err
