"""``anytag info``."""

from __future__ import annotations

import platform
from typing import Annotated

import typer

import anytag
from anytag.cli import options as opt

#: what optional features need: package -> what for
_OPTIONAL = {
    "pyarrow": "Parquet files",
    "pillow-heif": "HEIC photos",
    "timm": "other backbones",
    "scikit-image": "anytag demo",
}

#: what `Tagger.own_tags` means
_OWN_TAGS = {
    "any": ", and any of your own",
    "no text encoder": ", and your own with a text encoder",
    "none": "; a closed list",
}


def info(
    model: opt.Model = "nano",
    device: opt.Device = "auto",
    labels: Annotated[
        bool, typer.Option("--labels", help="List the tags instead: id, name, threshold, kind.")
    ] = False,
) -> None:
    """Show model, tags, versions and device.

    Examples:

        anytag info
        anytag info --labels > tags.tsv
    """
    from anytag.inference.tagger import Tagger

    tagger = Tagger.from_pretrained(model, device=device)
    if labels:
        for label in tagger.labels:
            typer.echo(f"{label.id}\t{label.name}\t{label.threshold:g}\t{label.kind or ''}")
        return
    languages = sorted({code for label in tagger.labels for code in label.translations})
    rows = {
        "model": tagger.model_name,
        "tags": f"{len(tagger.labels):,}{_OWN_TAGS[tagger.own_tags]}",
        "languages": ", ".join(["en", *languages]),
        "captions": "yes" if tagger.writes_captions else "no",
        "image size": f"{tagger.image_size} x {tagger.image_size} pixels",
        "device": f"{tagger.device}, {str(tagger.dtype).removeprefix('torch.')}",
        "anytag": anytag.__version__,
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        **{name: _version(name) for name in ("torch", "numpy", "pillow", "safetensors")},
        **{name: f"{_version(name)} ({use})" for name, use in _OPTIONAL.items()},
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        typer.echo(f"{name:{width}}  {value}")


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
