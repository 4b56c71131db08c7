"""Runs the tutorials: their code is executed, and what they show is compared with what comes out.

    python tools/run_tutorials.py                           # all of docs/tutorials
    python tools/run_tutorials.py docs/tutorials/audit.md

A block after ``<!-- ci:run -->`` is executed (bash or Python), all blocks of a page in one new
folder, in order; ``anytag`` and ``python`` are those that run this script. A block after
``<!-- ci:output -->`` is what the last one printed, compared loosely: each line shown needs a line
of output that has at least half of its words, in any order; numbers and "..." do not count. So a
tutorial survives another model or processor, and not another command.

``EPOCHS`` and ``PORT`` are set for the tutorials that read them.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
TUTORIALS = ROOT / "docs" / "tutorials"
#: seconds for one block
LIMIT = 600
_BLOCK = re.compile(
    r"^<!-- ci:(run|output) -->\n```(\w+)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE
)
#: paths are one word
_WORD = re.compile(r"[A-Za-z_/][\w/-]*(?:\.\w+)*")


class TutorialError(Exception):
    """A block failed, or its page shows something else; the message has all of it."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """Code of a page, and the output that the page shows for it."""

    language: str
    code: str
    #: number of the code's first line in the page
    line: int
    shown: tuple[str, ...] = ()


def read_blocks(text: str) -> list[Block]:
    """The marked blocks of a page, in order.

    Raises:
        TutorialError: a mark without a block, an output without code, a language that is not run
    """
    found: list[Block] = []
    matches = list(_BLOCK.finditer(text))
    if len(matches) != text.count("<!-- ci:"):
        raise TutorialError("a mark <!-- ci:run --> or <!-- ci:output --> has no block below it")
    for match in matches:
        what, language, body = match.groups()
        line = text[: match.start(3)].count("\n") + 1
        if what == "run":
            if language not in ("bash", "python"):
                raise TutorialError(f"line {line}: {language} is not run; bash or python")
            found.append(Block(language=language, code=body, line=line))
            continue
        if not found or found[-1].shown:
            raise TutorialError(f"line {line}: output without code before it")
        last = found.pop()
        shown = tuple(one for one in body.splitlines() if one.strip())
        found.append(Block(language=last.language, code=last.code, line=last.line, shown=shown))
    return found


def differing(shown: Sequence[str], output: str) -> list[str]:
    """Lines shown that no line of the output is like.

    >>> differing(["cat.jpg  cat 0.91, animal 0.80, ..."], "cat.jpg  animal 0.93, cat 0.88")
    []
    >>> differing(["2 labels added"], "nothing was done")
    ['2 labels added']
    """
    lines = [set(_WORD.findall(line)) for line in output.splitlines()]
    wrong = []
    for line in shown:
        words = set(_WORD.findall(line))
        if not any(2 * len(words & found) >= len(words) and words & found for found in lines):
            wrong.append(line)
    return wrong


def run_page(page: Path, folder: Path, variables: Mapping[str, str]) -> int:
    """Run a page's blocks in a folder.

    Args:
        page: a tutorial
        folder: an empty one
        variables: of the environment, besides the present ones

    Returns:
        how many blocks have been run

    Raises:
        TutorialError: one failed or printed something else than the page shows
    """
    blocks = read_blocks(page.read_text(encoding="utf-8"))
    programs = folder / ".bin"
    programs.mkdir()
    for name, command in {"anytag": "-m anytag", "python": ""}.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {command} "$@"\n')
        program.chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **variables, "PATH": path}
    groups: list[int] = []
    try:
        for block in blocks:
            _run_block(page, block, folder, environment, groups)
    finally:
        for group in groups:
            _kill(group)
    return len(blocks)


def _run_block(
    page: Path, block: Block, folder: Path, environment: Mapping[str, str], groups: list[int]
) -> None:
    where = f"{page.name}, line {block.line}"
    if block.language == "bash":
        command = ["bash", "-euo", "pipefail", "-c", block.code]
    else:
        command = [sys.executable, "-c", block.code]
    # to a file: a pipe would stay open as long as a server that the block leaves behind
    with tempfile.TemporaryFile() as file:
        process = subprocess.Popen(
            command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL,
            stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        groups.append(process.pid)
        try:
            code: int | str = process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            code = f"none after {LIMIT} s"
        file.seek(0)
        output = file.read().decode(errors="replace")
    told = f"{block.code}\n--- output\n{output}"
    if code != 0:
        raise TutorialError(f"{where}: exit code {code}\n{told}")
    wrong = differing(block.shown, output)
    if wrong:
        raise TutorialError(f"{where}: not in the output: {wrong}\n{told}")


def _kill(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("pages", nargs="*", type=Path, help="default: all of docs/tutorials")
    parser.add_argument("--epochs", type=int, default=2, help="of the fine-tuning tutorial")
    options = parser.parse_args()
    for page in options.pages or sorted(TUTORIALS.glob("*.md")):
        start = time.monotonic()
        variables = {"EPOCHS": str(options.epochs), "PORT": str(free_port())}
        with tempfile.TemporaryDirectory() as folder:
            try:
                count = run_page(page, Path(folder), variables)
            except TutorialError as error:
                sys.exit(str(error))
        print(f"{page.name}: {count} blocks, {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
