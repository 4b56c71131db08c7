"""Training configurations as YAML files, with changes from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anytag.config import from_plain, to_plain
from anytag.errors import ConfigError, MissingExtraError
from anytag.files import atomic_write
from anytag.training.config import TrainConfig


def read_config(path: Path, changes: Sequence[str] = ()) -> TrainConfig:
    """Read a configuration; relative paths in it are relative to the working directory.

    Args:
        path: a YAML file
        changes: ``run.epochs=3``, applied on top; the value is YAML too

    Raises:
        ConfigError: the file cannot be read, or a key or value is wrong; the message names it
        MissingExtraError: PyYAML is not installed
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    values = _parse(text, str(path))
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected a mapping with output, model and data")
    return from_plain(TrainConfig, change(values, changes), str(path))


def changed(config: TrainConfig, changes: Sequence[str]) -> TrainConfig:
    """The configuration with ``run.epochs=3`` and the like applied.

    Raises:
        ConfigError: a key or value is wrong
    """
    return from_plain(TrainConfig, change(to_plain(config), changes)) if changes else config


def change(values: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """Plain values with ``a.b=value`` applied.

    >>> change({"run": {"epochs": 5}}, ["run.epochs=3", "optim.lr=1e-3"])
    {'run': {'epochs': 3}, 'optim': {'lr': 0.001}}
    """
    result = dict(values)
    for one in changes:
        name, found, text = one.partition("=")
        if not found or not name:
            raise ConfigError(f"{one!r}: expected KEY=VALUE, such as run.epochs=3")
        *parents, last = name.strip().split(".")
        inner = result
        for parent in parents:
            below = inner.get(parent) or {}
            if not isinstance(below, dict):
                raise ConfigError(f"{one!r}: {parent} has no keys below it")
            inner[parent] = inner = dict(below)
        inner[last] = _number(_parse(text, one))
    return result


def write_config(config: TrainConfig, path: Path) -> None:
    """Write a configuration with all its values."""
    import yaml

    text = yaml.safe_dump(to_plain(config), sort_keys=False, allow_unicode=True)
    with atomic_write(path) as file:
        file.write(text.encode())


def _parse(text: str, where: str) -> Any:  # Any: YAML values
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("yaml", "train") from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: no YAML: {' '.join(str(error).split())}") from error


def _number(value: Any) -> Any:
    """YAML 1.1 takes 1e-3 for a text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
