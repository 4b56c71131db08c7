"""Where a model is: part of the package, a directory, or a repository on the hub.

Needs no torch: exported models are found where it is not installed.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from anytag.config import from_plain
from anytag.errors import ConfigError, ModelError

Card = TypeVar("Card")

FORMAT = 1
#: models that are part of the package
EMBEDDED = ("nano",)
#: endings of files with weights alone
CHECKPOINTS = (".pth", ".pt", ".ckpt", ".safetensors")


def check_format(number: int) -> None:
    """Refuse a config.json of another format than ours.

    Raises:
        ConfigError: the format is not `FORMAT`
    """
    if number != FORMAT:
        raise ConfigError(
            f"format {number} is not known to this version of anytag (it reads "
            f"format {FORMAT}); update anytag"
        )


def read_card(path: Path, kind: type[Card], folder: str = "a model directory") -> Card:
    """``config.json`` of a model directory, or the like, as a dataclass.

    Args:
        path: of the file
        kind: the dataclass
        folder: what it lies in, for the message

    Raises:
        ModelError: it is missing or wrong
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path.parent}: no {path.name}; not {folder}") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read ({error})") from error
    try:
        return from_plain(kind, values)
    except ConfigError as error:
        raise ModelError(f"{path}: {error}") from error


def find_model(model: str | Path) -> Path:
    """The directory of an embedded model's name, a path, or a hub id ("org/name[@revision]").

    A hub model is downloaded once into huggingface_hub's cache (``HF_HOME``, ``HF_HUB_OFFLINE``
    and ``HF_ENDPOINT`` are respected).

    Raises:
        ModelError: there is no such model
    """
    if str(model) in EMBEDDED:
        return Path(str(files("anytag") / "assets" / str(model)))
    path = Path(model)
    if path.is_dir():
        return path
    if path.exists():
        convert = (
            f"; a checkpoint is converted once: anytag convert {path} --tag-list TAGS -o DIR"
            if path.suffix in CHECKPOINTS
            else ""
        )
        raise ModelError(f"{path}: is a file; expected a model directory{convert}")
    name = str(model)
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ModelError(
            f"no model {name!r}: expected one of {', '.join(EMBEDDED)}, a model directory, "
            "or a hub id such as org/name"
        )
    return _download(name)


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository, _, revision = name.partition("@")
    wanted = ["*.json", "*.safetensors", "*.csv", "*.txt", "README.md", "text_encoder/*"]
    wanted += ["*.onnx", "*.xml", "model.bin", "labels.bin"]  # of anytag export
    try:
        folder = snapshot_download(repository, revision=revision or None, allow_patterns=wanted)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"model {name!r} could not be downloaded: {reason}") from error
    if not (Path(folder) / "config.json").is_file():
        raise ModelError(
            f"hub model {name!r} has no config.json, so it is no anytag model; a checkpoint in it "
            "can be downloaded and converted: anytag convert CHECKPOINT --tag-list TAGS -o DIR"
        )
    return Path(folder)
