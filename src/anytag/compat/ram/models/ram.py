"""RAM under its public name."""

from functools import partial

from anytag.compat.ram.models.queried import load_queried

ram = partial(load_queried, "ram")
ram.__doc__ = load_queried.__doc__
