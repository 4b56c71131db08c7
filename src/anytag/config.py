"""Configuration: frozen dataclasses from and to plain JSON values.

Config files hold data only. An unknown key is an error that names its path and the nearest known
key; a missing required key is an error too.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from anytag.errors import ConfigError

T = TypeVar("T")


def to_plain(config: Any) -> Any:
    """Dataclass to JSON values; tuples become lists."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {f.name: to_plain(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, tuple | list):
        return [to_plain(value) for value in config]
    return config


def from_plain(kind: type[T], values: Any, path: str = "") -> T:
    """JSON values to a dataclass of type ``kind``.

    Args:
        kind: a dataclass type; nested dataclasses and ``tuple[...]`` fields are converted
        values: a mapping of field names to JSON values
        path: where ``values`` stands, for messages

    Raises:
        ConfigError: unknown or missing key, wrong type, or a value that the dataclass refuses
    """
    where = path or kind.__name__
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: expected a mapping, found {type(values).__name__}")
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(fields)}"
            raise ConfigError(f"{where}: unknown key {key!r}{hint}")
    arguments = {
        key: _convert(hints[key], value, f"{where}.{key}") for key, value in values.items()
    }
    try:
        return kind(**arguments)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _convert(hint: Any, value: Any, path: str) -> Any:
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{path}: expected a list, found {type(value).__name__}")
        item = typing.get_args(hint)[0]
        return tuple(_convert(item, entry, f"{path}[{i}]") for i, entry in enumerate(value))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_plain(hint, value, path)
    options = typing.get_args(hint) or (hint,)
    if type(None) in options and value is None:
        return None
    if isinstance(value, Mapping):  # an optional dataclass
        for option in options:
            if dataclasses.is_dataclass(option) and isinstance(option, type):
                return from_plain(option, value, path)
    accepted = tuple(option for option in options if isinstance(option, type))
    if float in accepted and type(value) is int:
        return float(value)
    if accepted and (
        not isinstance(value, accepted) or (type(value) is bool and bool not in accepted)
    ):
        names = " or ".join(option.__name__ for option in accepted)
        raise ConfigError(f"{path}: expected {names}, found {value!r}")
    return value
