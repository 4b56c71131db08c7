"""For people: score bars on a terminal, one tab-separated line an image in a pipe."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from anytag.files import display_path
from anytag.inference.results import TagResult
from anytag.inference.writers import Sink

_BAR_WIDTH = 10


class PlainWriter:
    """``path<TAB>cat 0.93, animal 0.88``, or ``path<TAB>error: why``."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, result: TagResult) -> None:
        if result.error is not None:
            found = f"error: {result.error.message}"
        else:
            found = ", ".join(f"{tag.name} {tag.score:.2f}" for tag in result.tags)
        line = f"{display_path(result.path or '')}\t{found}\n"
        self._sink.write(line.encode("utf-8", "backslashreplace"))
        self._sink.flush()

    def close(self) -> None:
        """Nothing is left to do."""


class TerminalWriter:
    """A block for each image: its path, then a bar for each tag."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, result: TagResult) -> None:
        block = Text()
        block.append(display_path(result.path or ""), style="bold")
        if result.error is not None:
            block.append(f"\n  {result.error.message}", style="red")
        elif not result.tags:
            block.append("\n  no tag reaches its threshold", style="dim")
        for tag in result.tags:
            full = round(tag.score * _BAR_WIDTH)
            block.append("\n  ")
            block.append("━" * full, style="green")
            block.append("━" * (_BAR_WIDTH - full), style="bright_black")
            block.append(f" {tag.score:.2f} {tag.name}")
        self._console.print(block, soft_wrap=True)

    def close(self) -> None:
        """Nothing is left to do."""
