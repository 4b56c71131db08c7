"""RAM++ under its public name."""

from functools import partial

from anytag.compat.ram.models.queried import load_queried

ram_plus = partial(load_queried, "ram_plus")
ram_plus.__doc__ = load_queried.__doc__
