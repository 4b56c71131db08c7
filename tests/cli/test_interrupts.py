"""Ctrl-C waits for the end of a block."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from anytag.cli.interrupts import interrupts_wait

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


def steps_with_ctrl_c(times: int) -> list[str]:
    """What happens when Ctrl-C is pressed so often in the block."""
    steps = []
    try:
        with interrupts_wait():
            steps.append("began")
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)
            steps.append("completed")
    except KeyboardInterrupt:
        steps.append("interrupted")
    return steps


def test_the_block_is_completed() -> None:
    before = signal.getsignal(signal.SIGINT)
    assert steps_with_ctrl_c(times=1) == ["began", "completed", "interrupted"]
    assert signal.getsignal(signal.SIGINT) is before


def test_the_second_one_does_not_wait() -> None:
    assert steps_with_ctrl_c(times=2) == ["began", "interrupted"]


def test_without_ctrl_c_nothing_happens() -> None:
    with interrupts_wait():
        pass
    with pytest.raises(ValueError, match="why"), interrupts_wait():
        raise ValueError("why")


def test_other_threads() -> None:
    done = []

    def work() -> None:
        with interrupts_wait():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
