"""What the three models share: lists, thresholds, tags as text.

The public attributes ``tag_list``, ``tag_list_chinese``, ``class_threshold``, ``delete_tag_index``,
``num_class`` and ``threshold`` may be set by the caller, as is usual with the public package.

Shapes: B images, S side, T tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from anytag.checkpoints.released_directory import LoadedReleased
from anytag.errors import LabelError, ModelError, UsageError

#: the value of ``threshold`` in the public package, where it has no effect: every tag has its own
OWN_THRESHOLDS = 0.68


class CompatModel(nn.Module):
    """A released network with the interface of the public package; for inference."""

    def __init__(
        self,
        loaded: LoadedReleased,
        *,
        threshold: float | None,
        delete_tag_index: Sequence[int] | None,
        chinese: str | Path | None = None,
    ) -> None:
        super().__init__()
        self.network = loaded.network
        labels = loaded.labels
        self.image_size = loaded.card.network.tagger.encoder.image_size
        self.num_class = len(labels)
        self.tag_list: npt.NDArray[Any] = np.array(labels.names)
        names = [label.display_name("zh") for label in labels]
        if chinese is not None:
            names = _read_raw_lines(Path(chinese))
        self.tag_list_chinese: npt.NDArray[Any] = np.array(names)
        muted = [label.id for label in labels if label.muted]
        self.delete_tag_index = muted if delete_tag_index is None else list(delete_tag_index)
        #: each tag's own, as published
        self._own = torch.tensor([label.threshold for label in labels])
        self.threshold = threshold
        self.eval()

    @property
    def threshold(self) -> float:
        """One threshold for all tags; 0.68 (the default) stands for each tag's own."""
        return self._threshold

    @threshold.setter
    def threshold(self, value: float | None) -> None:
        self._threshold = OWN_THRESHOLDS if value is None else float(value)
        self.class_threshold = self._limits(self._threshold, self._own)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    def forward(self, *_: Any, **__: Any) -> NoReturn:  # Any: whatever training code gives
        """Training is not part of this interface."""
        raise ModelError("anytag.compat is for inference; to train, use anytag train")

    def _limits(self, threshold: float, own: Tensor) -> Tensor:
        if threshold == OWN_THRESHOLDS:
            return own
        if not 0.0 <= threshold <= 1.0:
            raise UsageError(f"threshold must lie in [0, 1], found {threshold}")
        return torch.full_like(own, threshold)

    def _images(self, image: Tensor) -> Tensor:
        """[B, 3, S, S] on the device of the weights, in their type.

        Raises:
            UsageError: another shape
        """
        size = self.image_size
        if image.ndim != 4 or image.shape[1:] != (3, size, size):
            raise UsageError(
                f"expected images [B, 3, {size}, {size}], found {list(image.shape)}; use "
                f"get_transform(image_size={size}) and unsqueeze(0)"
            )
        return image.to(self.device, next(self.network.parameters()).dtype)

    def _chosen(self, logits: Tensor, threshold: float | None = None) -> npt.NDArray[np.bool_]:
        """Which tags are above their thresholds and not deleted, [B, T].

        Raises:
            ModelError: the lists that the caller has set have different lengths
        """
        lengths = {"num_class": self.num_class, "tag_list": len(self.tag_list)}
        lengths["class_threshold"] = len(self.class_threshold)
        if {*lengths.values()} != {logits.shape[1]}:
            found = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise ModelError(f"{logits.shape[1]} tags are scored, but {found}")
        limits = self.class_threshold.detach().cpu()
        if threshold is not None:
            limits = self._limits(threshold, limits)
        deleted = list(self.delete_tag_index)
        if deleted and not 0 <= min(deleted) <= max(deleted) < len(limits):
            raise UsageError(f"delete_tag_index has an id that is none of 0 to {len(limits) - 1}")
        # Above and not equal, in float32, as in the public package: 0.7 is not float32's 0.7.
        chosen = (logits.float().sigmoid().cpu() > limits.to(torch.float32)).numpy()
        chosen[:, deleted] = False
        return chosen

    def _join(self, chosen: npt.NDArray[np.bool_], names: npt.ArrayLike) -> list[str]:
        """ "a | b" for each image; an empty text where nothing was chosen."""
        array = np.asarray(names)
        return [" | ".join(map(str, array[row])) for row in chosen]


def _read_raw_lines(path: Path) -> list[str]:
    """Lines with the blanks at their ends, which the public package gives out."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"{path}: cannot be read ({error})") from error
    return text.removesuffix("\n").split("\n")
