"""The three factories of the public package; a model answers images that are tensors."""

from anytag.compat.ram.models.ram import ram
from anytag.compat.ram.models.ram_plus import ram_plus
from anytag.compat.ram.models.tag2text import tag2text

__all__ = ["ram", "ram_plus", "tag2text"]
