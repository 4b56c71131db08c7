"""Servers for tests of their endpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.serve.servers import Gate, Running, photo, running


@pytest.fixture(scope="session")
def shared(seeing_model: Path, tiny_model: Path) -> Iterator[Running]:
    """A server with two models and no limit that matters; tests do not change it."""
    with running({"seeing": seeing_model, "tiny": tiny_model}) as client:
        yield client


@pytest.fixture(scope="session")
def data() -> bytes:
    """A photo."""
    return photo(1)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Running], Gate]]:
    """``gate(client)`` puts a gate in front of the server's default model."""
    gates = []

    def make(client: Running) -> Gate:
        gates.append(Gate(client.tagger))
        monkeypatch.setattr(client.tagger, "score", gates[-1])
        return gates[-1]

    yield make
    for one in gates:
        one.open()
