"""Drop-in names for code that was written for the public RAM repository; opt-in.

    from anytag.compat.ram.models import ram_plus      # instead of: from ram.models import ram_plus
    from anytag.compat.ram import get_transform, inference_ram

Where the imports cannot be changed, as in somebody else's package:

    import anytag.compat
    anytag.compat.install()                            # now ``import ram`` finds ours

The interface (names, arguments, return values) is that of recognize-anything (Apache-2.0); the code
is not.
"""

from __future__ import annotations

import sys
from importlib import import_module

from anytag.errors import UsageError

_MODULES = (
    "",
    ".inference",
    ".models",
    ".models.ram",
    ".models.ram_plus",
    ".models.tag2text",
    ".transform",
    ".utils",
)
_OURS = "anytag.compat.ram"


def install(name: str = "ram") -> None:
    """Make ``import ram`` give `anytag.compat.ram`, in this process.

    Args:
        name: of the package

    Raises:
        UsageError: another package of this name is in use already
    """
    loaded = sys.modules.get(name)
    if loaded is not None and loaded.__name__ != _OURS:
        where = getattr(loaded, "__file__", None) or "unknown place"
        raise UsageError(
            f"another package named {name!r} is imported already ({where}); call "
            "anytag.compat.install() before that"
        )
    for module in _MODULES:
        sys.modules[name + module] = import_module(_OURS + module)


def uninstall(name: str = "ram") -> None:
    """Undo `install`; modules that were imported in between keep what they have."""
    for module in _MODULES:
        loaded = sys.modules.get(name + module)
        if loaded is not None and loaded.__name__ == _OURS + module:
            del sys.modules[name + module]
