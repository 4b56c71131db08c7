"""What a run tells while it trains: ``metrics.jsonl``, and TensorBoard or W&B beside it.

    {"kind": "train", "step": 20, "epoch": 0, "lr": 0.0001, "total": 12.3, "tagging": 12.3, ...}
    {"kind": "val", "step": 100, "epoch": 0, "map": 0.412, "num_tags": 80, ...}

`metrics.jsonl` is the run's own record, from which the report is made; a resumed run first cuts it
back to the step it resumes from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from anytag.errors import MissingExtraError
from anytag.files import atomic_write
from anytag.training.config import TrainConfig

#: a line of the journal
Line = dict[str, Any]


class Journal:
    """Writes to a run's folder; use it as a context.

    Args:
        folder: of the run
        config: says which of TensorBoard and W&B are wanted
        step: lines after this one are from a run that was killed, and are removed
    """

    def __init__(self, folder: Path, config: TrainConfig, step: int = 0) -> None:
        self._path = folder / "metrics.jsonl"
        kept = [line for line in read_journal(folder) if line["step"] <= step] if step else []
        with atomic_write(self._path) as file:
            file.write("".join(json.dumps(line) + "\n" for line in kept).encode())
        self._file = self._path.open("a", encoding="utf-8", buffering=1)
        self._board = _open_board(folder, step) if config.run.tensorboard else None
        self._wandb = _open_wandb(folder, config) if config.run.wandb else None

    def write(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Add a line; numbers go to TensorBoard and W&B as ``kind/name`` too."""
        self._file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        numbers = {
            f"{kind}/{name}": value
            for name, value in values.items()
            if isinstance(value, int | float)
        }
        if self._board is not None:
            for name, value in numbers.items():
                self._board.add_scalar(name, value, step)
        if self._wandb is not None:
            self._wandb.log(numbers, step=step)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()
        if self._wandb is not None:
            self._wandb.finish()


def read_journal(folder: Path) -> list[Line]:
    """All lines of a run; a last line that was cut off is left out."""
    try:
        text = (folder / "metrics.jsonl").read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


def _open_board(folder: Path, step: int) -> Any:  # Any: tensorboard is an extra
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtraError("tensorboard", "train") from error
    return SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)


def _open_wandb(folder: Path, config: TrainConfig) -> Any:  # Any: wandb is no dependency
    try:
        import wandb
    except ImportError as error:
        raise MissingExtraError("wandb", "wandb") from error
    return wandb.init(project="anytag", name=folder.name, dir=str(folder), resume="allow")
