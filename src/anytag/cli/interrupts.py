"""Ctrl-C: at a moment of our choice, so that no record is torn, and told in one line."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import typer


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Ctrl-C inside this block raises `KeyboardInterrupt` at its end; a second one at once."""
    noted: list[bool] = []
    try:
        with _first_interrupt(lambda: noted.append(True)):
            yield
    finally:
        if noted:
            raise KeyboardInterrupt


@contextmanager
def interrupts_drain(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C inside this block lets work that was begun end; a second one does not.

    Args:
        stop: lets no more work begin
    """

    def drain() -> None:
        stop()
        typer.echo("\nanytag: what is begun is completed; Ctrl-C again to stop at once", err=True)

    with _first_interrupt(drain):
        yield


@contextmanager
def _first_interrupt(react: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C inside this block calls ``react``; a second one raises."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers signals to the main thread only
        return
    waiting = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal waiting
        if waiting:
            raise KeyboardInterrupt
        waiting = True
        react()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def interrupts_told(hint: str = "") -> Iterator[None]:
    """Ctrl-C inside this block ends the command with one line and exit code 130.

    Args:
        hint: how to go on
    """
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("anytag: interrupted" + (f"; {hint}" if hint else ""), err=True)
        raise typer.Exit(130) from None
