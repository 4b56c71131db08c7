"""One image, one answer: the functions of the public package.

Each takes an image tensor [1, 3, S, S] (of a batch the first one is answered).
"""

from __future__ import annotations

from torch import Tensor

from anytag.compat.ram.models.queried import QueriedModel
from anytag.compat.ram.models.tag2text import Tag2Text


def inference_ram(image: Tensor, model: QueriedModel) -> tuple[str, str]:
    """Tags of RAM or RAM++, in English and in Chinese: ("dog | grass", "狗 | 草")."""
    english, chinese = model.generate_tag(image)
    return english[0], chinese[0]


def inference_ram_openset(image: Tensor, model: QueriedModel) -> str:
    """Tags of RAM or RAM++ with other tags than their own."""
    return model.generate_tag_openset(image)[0]


def inference_tag2text(
    image: Tensor, model: Tag2Text, input_tag: str = "None"
) -> tuple[str, str | None, str]:
    """Predicted tags, the tags that were given (or None), and a caption made with them.

    Args:
        image: [1, 3, S, S]
        model: Tag2Text
        input_tag: tags with commas between; "", "none" or "None" = the predicted ones
    """
    given = None
    if input_tag not in ("", "none", "None"):
        given = " | ".join(tag.strip() for tag in input_tag.split(","))
    predicted, captions = model.tag_and_caption(
        image[:1], None if given is None else [given], max_length=50
    )
    return predicted[0], given, captions[0]
