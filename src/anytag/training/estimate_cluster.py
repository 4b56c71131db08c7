"""Devices by name, for an estimate: "8xA100", "RTX4090", or "2x0.3" in TFLOP/s.

Peaks are the makers' figures for dense products, without sparsity, with float32 sums. Sources:
data sheets of NVIDIA's A100, H100 SXM, H200 and L40S; "NVIDIA Ada GPU Architecture" (RTX 4090);
"NVIDIA Tesla V100 GPU Architecture" (SXM2).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from anytag.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Device:
    """What one device can do."""

    name: str
    #: bfloat16 or float16 with tensor cores, TFLOP/s
    low: float
    #: float32 without them (torch's default), TFLOP/s
    single: float
    #: in GB of 10^9 bytes; None = not known
    memory: float | None


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Some devices of one kind."""

    num: int
    device: Device

    @property
    def name(self) -> str:
        """Such as 8 x A100."""
        return f"{self.num} x {self.device.name}"


DEVICES = (
    Device(name="A100", low=312, single=19.5, memory=80),
    Device(name="A100-40GB", low=312, single=19.5, memory=40),
    Device(name="H100", low=989, single=67, memory=80),
    Device(name="H200", low=989, single=67, memory=141),
    Device(name="RTX4090", low=165, single=82.6, memory=24),
    Device(name="L40S", low=362, single=91.6, memory=48),
    Device(name="V100", low=125, single=15.7, memory=32),
)


def parse_cluster(text: str) -> Cluster:
    """Devices of a text such as 8xA100.

    Raises:
        UsageError: it cannot be read, or no such device is known

    >>> parse_cluster("2x0.3").device.low
    0.3
    """
    found = re.fullmatch(r"(?:(\d+)x)?([a-z][\w-]*|(\d+(?:\.\d+)?)(?:tflops)?)", text.lower())
    if found is None or found[1] == "0":
        raise UsageError(f"--cluster {text!r}: expected NxDEVICE, such as 8xA100 or 2x0.3")
    num = int(found[1] or 1)
    if found[3] is not None:
        peak = float(found[3])
        if peak == 0:
            raise UsageError(f"--cluster {text!r}: the devices compute nothing")
        device = Device(name=f"{peak:g} TFLOP/s", low=peak, single=peak, memory=None)
        return Cluster(num=num, device=device)
    for device in DEVICES:
        if device.name.lower() == found[2]:
            return Cluster(num=num, device=device)
    known = ", ".join(device.name for device in DEVICES)
    raise UsageError(
        f"--cluster {text!r}: no device {found[2]!r}; known are {known}, or give each one's "
        "TFLOP/s: 2x0.3"
    )
