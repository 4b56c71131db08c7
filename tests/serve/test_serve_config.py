"""Options of a server."""

from __future__ import annotations

import pytest

from anytag.errors import UsageError
from anytag.serve.config import ModelSource, ServeConfig


@pytest.mark.parametrize(
    ("text", "name", "source"),
    [
        ("nano", "nano", "nano"),
        ("ram=models/ram", "ram", "models/ram"),
        ("/models/tag2text", "tag2text", "/models/tag2text"),
        ("downloads/ram_plus.pth", "ram_plus", "downloads/ram_plus.pth"),
        ("hf:org/name/ram.pth", "ram", "hf:org/name/ram.pth"),
        ("org/name", "name", "org/name"),
        ("a b/x=y/model", "model", "a b/x=y/model"),
    ],
)
def test_names_of_models(text: str, name: str, source: str) -> None:
    assert ModelSource.parse(text) == ModelSource(name=name, source=source)


@pytest.mark.parametrize("text", ["", "=nano", "a=", "models/a b", "/", "näme=x"])
def test_names_that_no_address_can_have(text: str) -> None:
    with pytest.raises(UsageError, match="expected NAME=MODEL"):
        ModelSource.parse(text)


def test_two_models_with_one_name() -> None:
    one = ModelSource(name="nano", source="a")
    with pytest.raises(UsageError, match="different names"):
        ServeConfig(models=(one, one))
    with pytest.raises(UsageError, match="different names"):
        ServeConfig(models=())


@pytest.mark.parametrize(
    "options",
    [
        {"max_queue": 0},
        {"timeout_s": 0},
        {"timeout_s": float("nan")},
        {"max_delay_ms": -1},
        {"workers": 0},
        {"max_batch": 0},
        {"max_request_bytes": 100, "max_held_bytes": 99},
    ],
)
def test_values_out_of_range(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(reversed(options)))):
        ServeConfig(**options)  # type: ignore[arg-type]
