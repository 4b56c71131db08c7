"""The chat client against a real server: failures that pass, failures that stay, odd answers."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from anytag.errors import FetchError, UsageError
from anytag.inference.chat import ChatClient, ChatConfig, EndpointError
from anytag.inference.chat_http import is_private, retry_after

sys.path.insert(0, str(Path(__file__).parents[1]))
from chat_server import ChatServer, Reply, Request, answers, in_turn, obedient

KEY = "sk-secret-1234"


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as server:
        yield server


def make_client(server: ChatServer, **changes: object) -> ChatClient:
    settings = {"url": server.url, "model": "m", "backoff_s": 0.01, "timeout_s": 5.0, "retries": 3}
    return ChatClient(ChatConfig(**{**settings, **changes}))  # type: ignore[arg-type]


def test_the_request_is_the_papers(server: ChatServer) -> None:
    texts = make_client(server, api_key=KEY).ask("why?", 10)
    assert texts == [f"why? #{number}" for number in range(10)]
    (request,) = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.body == {
        "model": "m",
        "messages": [{"role": "user", "content": "why?"}],
        "max_tokens": 77,
        "temperature": 0.99,
        "n": 10,
    }
    assert request.headers["Authorization"] == f"Bearer {KEY}"


def test_no_key_no_header(server: ChatServer) -> None:
    make_client(server, url=server.url + "/chat/completions/").ask("why?", 1)
    assert "Authorization" not in server.requests[0].headers
    assert "n" not in server.requests[0].body


@pytest.mark.parametrize(
    "failure",
    [
        Reply(status=429, body={"error": "slow down"}),
        Reply(status=500, body=b"oops"),
        Reply(status=503, body=b""),
        Reply(body=b"<html>not JSON"),
        Reply(body=b"\xff\xfe"),
        Reply(body=[1, 2]),
        Reply(body={"choices": []}),
        Reply(body={"choices": [{"message": {"content": None}}]}),
        Reply(body={"choices": [{"text": "old form"}, "x"]}),
        answers(" \n "),
        answers("<think> Okay, the user wants"),
    ],
)
def test_passing_failures_are_tried_again(server: ChatServer, failure: Reply) -> None:
    server.reply = in_turn(failure, failure)
    assert make_client(server).ask("why?", 2) == ["why? #0", "why? #1"]
    assert len(server.requests) == 3


def test_waits_grow(server: ChatServer) -> None:
    server.reply = in_turn(*[Reply(status=500)] * 3)
    start = time.monotonic()
    make_client(server, backoff_s=0.1).ask("why?", 1)
    assert 0.7 * 0.75 < time.monotonic() - start < 3


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after(server: ChatServer, form: str) -> None:
    value = "1" if form == "seconds" else formatdate(time.time() + 2, usegmt=True)
    server.reply = in_turn(Reply(status=429, headers={"Retry-After": value}))
    start = time.monotonic()
    make_client(server).ask("why?", 1)
    assert 0.9 <= time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("value", "expected"), [(None, None), ("", None), ("3", 3.0), ("-1", 0.0), ("soon", None)]
)
def test_retry_after_values(value: str | None, expected: float | None) -> None:
    assert retry_after(value) == expected


def test_it_gives_up(server: ChatServer) -> None:
    server.reply = lambda request: Reply(status=500, body={"error": "no GPU"})
    with pytest.raises(FetchError, match=r"answered 500: .*no GPU") as caught:
        make_client(server).ask("why?", 1)
    assert len(server.requests) == 4
    assert not isinstance(caught.value, EndpointError)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_hopeless(server: ChatServer, status: int) -> None:
    server.reply = lambda request: Reply(status=status, body={"error": f"key {KEY} is wrong"})
    with pytest.raises(EndpointError, match=r"key \*\*\* is wrong") as caught:
        make_client(server, api_key=KEY).ask("why?", 1)
    assert len(server.requests) == 1
    assert KEY not in str(caught.value)


def test_redirects_are_not_followed(server: ChatServer) -> None:
    with ChatServer() as other:
        server.reply = lambda request: Reply(status=302, headers={"Location": other.url})
        with pytest.raises(EndpointError, match="the address to which it leads"):
            make_client(server, api_key=KEY).ask("why?", 1)
        assert other.requests == []


def test_a_refused_request_is_not_repeated(server: ChatServer) -> None:
    server.reply = lambda request: Reply(status=400, body={"error": "content filter"})
    with pytest.raises(FetchError, match="content filter") as caught:
        make_client(server).ask("why?", 1)
    assert len(server.requests) == 1
    assert not isinstance(caught.value, EndpointError)


def test_servers_that_refuse_many_answers_at_once(server: ChatServer) -> None:
    def one_only(request: Request) -> Reply:
        return obedient(request) if request.count == 1 else Reply(status=400, body={})

    server.reply = one_only
    client = make_client(server)
    assert client.ask("why?", 3) == ["why? #0"] * 3
    assert [request.count for request in server.requests] == [3, 1, 1, 1]
    client.ask("why?", 2)  # it has learned
    assert [request.count for request in server.requests[4:]] == [1, 1]


@pytest.mark.parametrize("given", [1, 2, 7])
def test_wrong_count(server: ChatServer, given: int) -> None:
    server.reply = lambda request: answers(*["text"] * given)
    assert make_client(server).ask("why?", 5) == ["text"] * 5
    assert len(server.requests) == -(-5 // given)


def test_texts_are_one_line_each(server: ChatServer) -> None:
    server.reply = lambda request: answers("  two\n\nlines\t here ")
    assert make_client(server).ask("why?", 1) == ["two lines here"]


def test_slow_servers(server: ChatServer) -> None:
    server.reply = in_turn(Reply(delay=30))
    client = make_client(server, timeout_s=0.3)
    assert client.ask("why?", 1) == ["why? #0"]
    server.reply = lambda request: Reply(delay=30)
    with pytest.raises(FetchError, match=r"no complete answer within 0\.3 seconds"):
        make_client(server, timeout_s=0.3, retries=0).ask("why?", 1)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    client = ChatClient(ChatConfig(url=f"http://127.0.0.1:{port}/v1", model="m", backoff_s=60))
    start = time.monotonic()
    with pytest.raises(EndpointError, match="is the server running"):
        client.ask("why?", 1)
    assert time.monotonic() - start < 10  # no waits before the first contact


def test_a_server_that_goes_away() -> None:
    with ChatServer() as server:
        client = make_client(server)
        client.ask("why?", 1)
    with pytest.raises(EndpointError, match="is the server running"):
        client.ask("why?", 1)


def test_stop_ends_a_wait(server: ChatServer) -> None:
    server.reply = lambda request: Reply(status=429, headers={"Retry-After": "250"})
    client = make_client(server)
    threading.Timer(0.3, client.stop).start()
    start = time.monotonic()
    with pytest.raises(FetchError, match="stopped"):
        client.ask("why?", 1)
    assert time.monotonic() - start < 10


def test_models(server: ChatServer) -> None:
    server.reply = lambda request: Reply(body={"data": [{"id": "one"}, {}, {"id": "two"}]})
    assert make_client(server).models() == ["one", "two"]
    assert server.requests[0].path == "/v1/models"


def test_an_answer_without_end(server: ChatServer) -> None:
    server.reply = lambda request: Reply(body=b" " * 5_000_000)
    with pytest.raises(FetchError, match="over the limit"):
        make_client(server, retries=0).ask("why?", 1)


def test_the_key_is_not_shown() -> None:
    assert KEY not in repr(ChatConfig(url="http://localhost/v1", api_key=KEY))


def test_proxies_are_not_used_for_private_hosts(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert make_client(server, retries=0).ask("why?", 1) == ["why? #0"]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("192.168.1.7", True),
        ("::1", True),
        ("gpu-box", True),
        ("gpu.local", True),
        ("8.8.8.8", False),
        ("api.openai.com", False),
    ],
)
def test_private_hosts(host: str, expected: bool) -> None:
    assert is_private(host) is expected


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "localhost:11434"},
        {"url": "ftp://localhost/v1"},
        {"url": "http:///v1"},
        {"url": "http://localhost:99999999/v1"},
        {"url": "http://user:password@localhost/v1"},
        {"url": "http://localhost/v1?key=1"},
        {"url": "http://localhost/v 1"},
        {"api_key": "a b"},
        {"api_key": "line\n"},
        {"timeout_s": 0},
        {"retries": -1},
    ],
)
def test_wrong_settings(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        ChatConfig(**{"url": "http://localhost/v1", **changes})  # type: ignore[arg-type]
