"""Dataclass <-> plain values."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anytag.config import from_plain, to_plain
from anytag.errors import ConfigError
from anytag.models.config import DecoderConfig, EncoderConfig, TaggerConfig, nano, ram


@pytest.mark.parametrize("config", [nano(), ram(), ram("swin_base", 224)])
def test_round_trip_through_json(config: TaggerConfig) -> None:
    assert from_plain(TaggerConfig, json.loads(json.dumps(to_plain(config)))) == config


@given(
    st.builds(
        EncoderConfig,
        backbone=st.text(max_size=10),
        image_size=st.integers(32, 2000),
        token_width=st.none() | st.integers(1, 4096),
        mean=st.tuples(*[st.floats(0, 1)] * 3),
        std=st.tuples(*[st.floats(0.01, 1)] * 3),
    )
)
def test_any_encoder_round_trips(config: EncoderConfig) -> None:
    assert from_plain(EncoderConfig, json.loads(json.dumps(to_plain(config)))) == config


GOOD: dict[str, Any] = {"hidden": 8, "num_layers": 1, "num_heads": 2, "ffn": 16}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {**GOOD, "num_head": 2},
            "DecoderConfig: unknown key 'num_head'; did you mean 'num_heads'",
        ),
        ({"hidden": 8}, "DecoderConfig: .*missing.*'num_layers'"),
        ({**GOOD, "hidden": "8"}, "DecoderConfig.hidden: expected int, found '8'"),
        ({**GOOD, "hidden": True}, "DecoderConfig.hidden: expected int, found True"),
        ({**GOOD, "hidden": 9}, "DecoderConfig: hidden 9 is not divisible"),
        ([1], "DecoderConfig: expected a mapping, found list"),
    ],
)
def test_errors_name_the_path(values: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_plain(DecoderConfig, values)


def test_nested_errors_name_the_whole_path() -> None:
    values = to_plain(nano())
    values["encoder"]["mean"][1] = "x"
    with pytest.raises(ConfigError, match=r"TaggerConfig\.encoder\.mean\[1\]: expected float"):
        from_plain(TaggerConfig, values)


@dataclass(frozen=True)
class Outer:
    """An optional dataclass inside."""

    inner: DecoderConfig | None


@pytest.mark.parametrize("outer", [Outer(None), Outer(DecoderConfig(**GOOD))])
def test_optional_dataclass(outer: Outer) -> None:
    assert from_plain(Outer, json.loads(json.dumps(to_plain(outer)))) == outer
    with pytest.raises(ConfigError, match=r"Outer\.inner: unknown key 'x'"):
        from_plain(Outer, {"inner": {**GOOD, "x": 1}})


def test_an_int_serves_as_float() -> None:
    assert from_plain(DecoderConfig, {**GOOD, "dropout": 0}).dropout == 0.0
