"""anytag: open-vocabulary image tagging.

Public names are resolved on first use, so that ``import anytag`` stays fast and needs no torch
until a model is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anytag.errors import AnytagError as AnytagError
    from anytag.inference.results import Tag as Tag
    from anytag.inference.results import TagResult as TagResult
    from anytag.inference.tagger import Tagger as Tagger
    from anytag.labels.labelset import Label as Label
    from anytag.labels.labelset import LabelSet as LabelSet

__version__ = "0.1.0"

_PUBLIC = {
    "AnytagError": "anytag.errors",
    "Label": "anytag.labels.labelset",
    "LabelSet": "anytag.labels.labelset",
    "Tag": "anytag.inference.results",
    "TagResult": "anytag.inference.results",
    "Tagger": "anytag.inference.tagger",
}

__all__ = ["AnytagError", "Label", "LabelSet", "Tag", "TagResult", "Tagger", "__version__"]


def __getattr__(name: str) -> Any:  # Any: a module attribute can be anything
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'anytag' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
