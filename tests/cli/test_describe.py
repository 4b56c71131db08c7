"""``anytag describe`` against a real server: whole runs, failures, kill and resume."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anytag.inference.descriptions import PROMPTS, read_descriptions, write_descriptions

sys.path.insert(0, str(Path(__file__).parents[1]))
from chat_server import ChatServer, Reply, Request, obedient

FAST = ("--model", "m", "--retries", "0")


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as server:
        yield server


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def expected(tag: str, samples: int = 10) -> list[str]:
    answers = [f"{p.format(tag=tag)} #{n}" for p in PROMPTS for n in range(samples)]
    return [f"a photo of a {tag}.", *answers]


def test_51_texts_for_each_tag_in_the_released_form(
    cli: Any, server: ChatServer, tmp_path: Path
) -> None:
    (tmp_path / "tags.txt").write_text("forklift\nForklift\n# a comment\nred_panda\n")
    done = cli("describe", "tags.txt", "sea", "-o", "d.json", "--url", server.url, *FAST)
    assert (done.code, done.out) == (0, "")
    content = json.loads((tmp_path / "d.json").read_text())
    assert [list(entry) for entry in content] == [["forklift"], ["red panda"], ["sea"]]
    described = read_descriptions(tmp_path / "d.json")
    assert described == {tag: expected(tag) for tag in ("forklift", "red panda", "sea")}
    assert all(len(texts) == 51 for texts in described.values())
    assert len(server.requests) == 15
    assert done.err == "3 of 3 tags described\n"  # no bar where there is no terminal
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.json", "tags.txt"]


def test_some_tags_fail_and_resume_asks_for_them_alone(
    cli: Any, server: ChatServer, tmp_path: Path
) -> None:
    def refuse(request: Request) -> Reply:
        refused = "sea" in request.prompt and PROMPTS[3][:10] in request.prompt
        return Reply(status=400, body={"error": "no sea"}) if refused else obedient(request)

    server.reply = refuse
    command = ("describe", "sea", "fox", "-o", "d.json", "--url", server.url, *FAST)
    done = cli(*command, "--samples", "1")
    assert done.code == 1
    assert "anytag: sea: " in done.err
    assert "no sea" in done.err
    assert read_descriptions(tmp_path / "d.json") == {"fox": expected("fox", 1)}
    assert cli(*command).code == 2  # neither --resume nor --overwrite
    assert cli(*command, "--resume", "--samples", "2").code == 2  # other settings

    server.reply = obedient
    server.requests.clear()
    done = cli(*command, "--resume", "--samples", "1")
    assert (done.code, len(server.requests)) == (0, 1)
    described = read_descriptions(tmp_path / "d.json")
    assert list(described.items()) == [("sea", expected("sea", 1)), ("fox", expected("fox", 1))]
    assert not (tmp_path / "d.json.journal").exists()

    server.requests.clear()
    assert cli(*command, "--overwrite", "--samples", "2").code == 0
    assert read_descriptions(tmp_path / "d.json")["fox"] == expected("fox", 2)


def test_a_prepared_file_works_offline(cli: Any, tmp_path: Path) -> None:
    write_descriptions(tmp_path / "all.json", {"Sea": ["s"], "other": ["o"], "red panda": ["p"]})
    done = cli("describe", "red_panda", "sea", "-o", "d.json", "--from", "all.json", "--url",
               "http://127.0.0.1:9/v1")  # fmt: skip
    assert (done.code, done.out) == (0, "")
    assert read_descriptions(tmp_path / "d.json") == {"red panda": ["p"], "sea": ["s"]}


def test_only_what_a_prepared_file_lacks_is_asked_for(
    cli: Any, server: ChatServer, tmp_path: Path
) -> None:
    write_descriptions(tmp_path / "all.json", {"sea": ["s"]})
    done = cli("describe", "fox", "sea", "-o", "d.json", "--from", "all.json",
               "--url", server.url, "--samples", "1", *FAST)  # fmt: skip
    assert done.code == 0
    assert read_descriptions(tmp_path / "d.json") == {"fox": expected("fox", 1), "sea": ["s"]}
    assert len(server.requests) == 5


def test_nobody_listens(cli: Any, tmp_path: Path) -> None:
    write_descriptions(tmp_path / "all.json", {"sea": ["s"]})
    done = cli("describe", "fox", "sea", "-o", "d.json", "--from", "all.json",
               "--url", "http://127.0.0.1:9/v1", "--model", "m")  # fmt: skip
    assert done.code == 1
    assert "ended early: http://127.0.0.1:9/v1: nothing listens there" in done.err
    assert read_descriptions(tmp_path / "d.json") == {"sea": ["s"]}
    assert "1 of 2 tags described; ask for the others" in done.err


def test_texts_that_were_to_be_overwritten_do_not_come_back(
    cli: Any, server: ChatServer, tmp_path: Path
) -> None:
    write_descriptions(tmp_path / "d.json", {"sea": ["old"]})
    command = ("describe", "sea", "-o", "d.json", "--url", server.url, "--samples", "1", *FAST)
    server.reply = lambda request: Reply(status=500, body={})
    assert cli(*command, "--overwrite").code == 1
    server.reply = obedient
    assert cli(*command, "--resume").code == 0
    assert read_descriptions(tmp_path / "d.json") == {"sea": expected("sea", 1)}


def test_help_has_examples(cli: Any) -> None:
    done = cli("describe", "--help")
    assert done.code == 0
    assert "anytag describe tags.txt -o descriptions.json" in done.out


def test_a_server_that_only_fails_ends_the_run(
    cli: Any, server: ChatServer, tmp_path: Path
) -> None:
    server.reply = lambda request: Reply(status=500, body={"error": "broken"})
    tags = [f"tag{number}" for number in range(50)]
    done = cli("describe", *tags, "-o", "d.json", "--url", server.url, *FAST)
    assert done.code == 1
    assert "20 failures in a row" in done.err
    assert len(server.requests) < 40
    assert not (tmp_path / "d.json").exists()


def test_the_only_model_is_taken(cli: Any, server: ChatServer) -> None:
    models = ["llama"]

    def reply(request: Request) -> Reply:
        if request.path.endswith("/models"):
            return Reply(body={"data": [{"id": name} for name in models]})
        return obedient(request)

    server.reply = reply
    command = ("describe", "fox", "-o", "d.json", "--url", server.url, "--overwrite")
    assert cli(*command).code == 0
    assert {request.body.get("model") for request in server.requests[1:]} == {"llama"}
    models.append("other")
    done = cli(*command)
    assert done.code == 2
    assert "choose with --model" in done.err
    assert "llama, other" in done.err


def test_keys(cli: Any, server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("describe", "fox", "-o", "d.json", "--url", server.url, "--overwrite", *FAST)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-default")
    monkeypatch.setenv("MY_KEY", "sk-mine")
    for more, key in (((), "sk-default"), (("--api-key-env", "MY_KEY"), "sk-mine")):
        server.requests.clear()
        done = cli(*command, *more)
        assert done.code == 0
        assert {r.headers["Authorization"] for r in server.requests} == {f"Bearer {key}"}
        assert key not in done.out + done.err
    assert cli(*command, "--api-key-env", "NOT_SET").code == 2


def test_an_unnamed_key_is_not_sent_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    from anytag.cli.describe_run import DescribeOptions, _find_key

    monkeypatch.setenv("OPENAI_API_KEY", "sk-default")
    given = dict.fromkeys(DescribeOptions.__slots__)
    for url, key in (
        ("http://example.com/v1", None),
        ("https://example.com/v1", "sk-default"),
        ("http://localhost/v1", "sk-default"),
    ):
        assert _find_key(DescribeOptions(**{**given, "url": url})) == key  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments",
    [
        ("fox",),  # no -o
        ("-o", "d.json"),
        ("fox", "-o", "no/folder/d.json"),
        ("fox", "-o", "."),
        ("missing.txt", "-o", "d.json"),
        ("_", "-o", "d.json"),
        ("fox", "-o", "d.json", "--url", "localhost"),
        ("fox", "-o", "d.json", "--samples", "0"),
        ("fox", "-o", "d.json", "--resume", "--overwrite"),
    ],
)
def test_wrong_usage(cli: Any, arguments: tuple[str, ...]) -> None:
    done = cli("describe", *arguments)
    assert (done.code, done.out) == (2, "")


def start(folder: Path, server: ChatServer, *more: str) -> subprocess.Popen[bytes]:
    tags = [f"tag{number}" for number in range(12)]
    code = "from anytag.cli.main import main; main()"
    command = [sys.executable, "-c", code, "describe", *tags, "-o", "d.json", "--url", server.url]
    return subprocess.Popen(
        [*command, "--samples", "2", *FAST, *more], cwd=folder, stderr=subprocess.PIPE
    )


@pytest.mark.parametrize("how", ["kill", "interrupt"])
def test_kill_and_resume(server: ChatServer, tmp_path: Path, how: str) -> None:
    def slow(request: Request) -> Reply:
        return Reply(body=obedient(request).body, delay=0.05)

    server.reply = slow
    process = start(tmp_path, server)
    deadline = time.monotonic() + 60
    while len(server.requests) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    if how == "kill":
        process.kill()
    else:
        process.send_signal(2)
    _, err = process.communicate(timeout=60)
    if how == "interrupt":
        assert process.returncode == 130
        assert b"go on with --resume" in err
    journal = tmp_path / "d.json.journal"
    rows = [
        json.loads(line) for line in journal.read_bytes().splitlines(True) if line[-1:] == b"\n"
    ]
    have = {PROMPTS[row["prompt"]].format(tag=row["tag"]) for row in rows[1:]}
    assert len(have) >= 10
    with journal.open("ab") as file:
        file.write(b'{"tag": "tag11", "prompt": 4, "tex')  # as a crash leaves it

    server.requests.clear()
    process = start(tmp_path, server, "--resume")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    asked = {request.prompt for request in server.requests}
    assert len(asked) == 12 * 5 - len(have)
    assert not asked & have
    described = read_descriptions(tmp_path / "d.json")
    assert described == {f"tag{n}": expected(f"tag{n}", 2) for n in range(12)}
    assert not journal.exists()
