"""The highest memory of this process between two moments.

Linux keeps that mark and lets a process set it back (man 5 proc, ``clear_refs`` and ``VmHWM``).
Elsewhere only the highest of the whole life is known, and on Windows nothing without more packages.
On CUDA it is the device's memory, which torch counts.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """Watches any number of spans of time, from `begin` to `end`.

    Args:
        device: where the model computes
    """

    def __init__(self, device: Any) -> None:  # Any: torch's device, or that of an exported graph
        torch = sys.modules.get("torch")  # None: an exported model, which runs without it
        is_torch = torch is not None and isinstance(device, torch.device)
        self._cuda = is_torch and device.type == "cuda"
        #: the highest of all spans in MB (10^6 bytes); None where it is not known
        self.mb: float | None = None

    def begin(self) -> None:
        """From now on."""
        if self._cuda:
            import torch

            torch.cuda.reset_peak_memory_stats()
        else:
            with suppress(OSError):  # not Linux, or not allowed: then it is that of the whole life
                _CLEAR.write_text("5")

    def end(self) -> None:
        """Until now."""
        found = self._cuda_bytes() if self._cuda else process_peak()
        if found is not None:
            self.mb = max(self.mb or 0.0, found / 1e6)

    @staticmethod
    def _cuda_bytes() -> int:
        import torch

        return torch.cuda.max_memory_allocated()


def process_peak() -> int | None:
    """The mark, in bytes."""
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    try:
        import resource
    except ImportError:
        return None
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else 1024 * largest
