"""The names of the public package ``ram``."""

from anytag.compat.ram.inference import (
    inference_ram,
    inference_ram_openset,
    inference_tag2text,
)
from anytag.compat.ram.transform import get_transform

__all__ = ["get_transform", "inference_ram", "inference_ram_openset", "inference_tag2text"]
