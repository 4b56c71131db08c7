"""Exported graphs in ONNX Runtime and OpenVINO, behind one protocol.

A graph takes named arrays and gives named arrays. Those that stay the same from image to image (the
label side of a tagging network) are handed over once, with `Graph.hold`.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from anytag.errors import MissingExtraError, ModelError, UsageError

logger = logging.getLogger(__name__)

Array = npt.NDArray[Any]
#: names of OpenVINO's types for what users call them
_PRECISIONS = {"auto": "f32", "float32": "f32", "bfloat16": "bf16", "float16": "f16"}


@dataclass(frozen=True, slots=True)
class GraphDevice:
    """Where a graph runs."""

    #: "cpu", "cuda", "gpu" or "npu"
    type: str
    index: int = 0

    def __str__(self) -> str:
        return self.type if self.index == 0 else f"{self.type}:{self.index}"


class Graph(Protocol):
    """A loaded graph. Calls from several threads at a time are safe."""

    @property
    def device(self) -> GraphDevice: ...

    def hold(self, arrays: Mapping[str, Array]) -> object:
        """Put inputs where the graph runs, for many calls of `run`."""

    def run(
        self, outputs: Sequence[str], arrays: Mapping[str, Array], held: object = None
    ) -> list[Array]:
        """These outputs of the inputs ``arrays`` and ``held``, together all of the graph's."""


def num_threads() -> int:
    """Processors that this process may use; ``OMP_NUM_THREADS`` makes it fewer, as for torch."""
    usable = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(usable, int(asked)) if asked.isdigit() and int(asked) > 0 else usable


class OnnxGraph:
    """A graph in ONNX Runtime.

    Args:
        path: the .onnx file
        device: "auto" (CUDA where this onnxruntime has it), "cpu", "cuda" or "cuda:N"

    Raises:
        MissingExtraError: onnxruntime is not installed
        ModelError: the file is missing or damaged, or the device does not work
        UsageError: no such device
    """

    def __init__(self, path: Path, device: str = "auto") -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtraError("onnxruntime", "onnx") from error
        self._runtime = onnxruntime
        wanted = _onnx_device(device, onnxruntime.get_available_providers())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads()
        cuda = ("CUDAExecutionProvider", {"device_id": wanted.index})
        providers = ["CPUExecutionProvider"] if wanted.type == "cpu" else [cuda]
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # its classes have no common base
            raise ModelError(
                f"{path}: onnxruntime cannot load it ({_first_line(error)})"
            ) from error
        if wanted.type == "cuda" and "CUDAExecutionProvider" not in self._session.get_providers():
            message = "onnxruntime cannot use CUDA here (see its messages above)"
            if device != "auto":
                raise ModelError(f"{path}: {message}; use device cpu")
            logger.warning("%s; running on the CPU", message)
            wanted = GraphDevice("cpu")
        self.device = wanted

    def hold(self, arrays: Mapping[str, Array]) -> object:
        """As values of ONNX Runtime; on the CPU nothing is copied."""
        return {
            name: self._runtime.OrtValue.ortvalue_from_numpy(
                np.ascontiguousarray(array), self.device.type, self.device.index
            )
            for name, array in arrays.items()
        }

    def run(
        self, outputs: Sequence[str], arrays: Mapping[str, Array], held: object = None
    ) -> list[Array]:
        """These outputs."""
        value = self._runtime.OrtValue.ortvalue_from_numpy
        feeds: dict[str, Any] = dict(held) if isinstance(held, dict) else {}
        feeds |= {name: value(np.ascontiguousarray(array)) for name, array in arrays.items()}
        found = self._session.run_with_ort_values(list(outputs), feeds)
        return [one.numpy() for one in found]


def _onnx_device(device: str, available: Sequence[str]) -> GraphDevice:
    has_cuda = "CUDAExecutionProvider" in available
    kind, _, index = device.partition(":")
    if device == "auto":
        return GraphDevice("cuda" if has_cuda else "cpu")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise UsageError(f"unknown device {device!r} for onnx: expected auto, cpu, cuda or cuda:1")
    if kind == "cuda" and not has_cuda:
        raise UsageError(
            f"device {device!r}: this onnxruntime runs on the CPU alone; for CUDA install "
            "onnxruntime-gpu instead of onnxruntime, not beside it"
        )
    return GraphDevice(kind, int(index or 0))


class OpenVinoGraph:
    """A graph in OpenVINO.

    Args:
        path: the .xml file
        device: "auto" (the CPU), "cpu", "gpu", "gpu:N" or "npu"
        dtype: "auto" and "float32": float32 (OpenVINO itself would take bfloat16 where the
            processor has it, which changes tags); "bfloat16" or "float16"

    Raises:
        MissingExtraError: openvino is not installed
        ModelError: the file is missing or damaged, or the device does not work
        UsageError: no such device or type
    """

    def __init__(self, path: Path, device: str = "auto", dtype: str = "auto") -> None:
        try:
            import openvino
        except ImportError as error:
            raise MissingExtraError("openvino", "openvino") from error
        if dtype not in _PRECISIONS:
            raise UsageError(f"unknown dtype {dtype!r}: expected {', '.join(_PRECISIONS)}")
        self._runtime = openvino
        core = openvino.Core()
        self.device = _openvino_device(device, core.available_devices)
        config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": _PRECISIONS[dtype]}
        if self.device.type == "cpu":
            config["INFERENCE_NUM_THREADS"] = num_threads()
        name = str(self.device).upper().replace(":", ".")
        try:
            self._compiled = core.compile_model(str(path), name, config)
        except Exception as error:  # RuntimeError, and others for damaged files
            raise ModelError(f"{path}: openvino cannot load it ({_first_line(error)})") from error
        self._requests = threading.local()  # a request serves one thread at a time

    def hold(self, arrays: Mapping[str, Array]) -> object:
        """As tensors of OpenVINO over the same memory."""
        return {
            name: self._runtime.Tensor(np.ascontiguousarray(array), shared_memory=True)
            for name, array in arrays.items()
        }

    def run(
        self, outputs: Sequence[str], arrays: Mapping[str, Array], held: object = None
    ) -> list[Array]:
        """These outputs."""
        if not hasattr(self._requests, "one"):
            self._requests.one = self._compiled.create_infer_request()
        feeds: dict[str, Any] = dict(held) if isinstance(held, dict) else {}
        feeds |= {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        found = self._requests.one.infer(feeds, share_inputs=True)
        return [np.array(found[name]) for name in outputs]


def _openvino_device(device: str, available: Sequence[str]) -> GraphDevice:
    kind, _, index = device.partition(":")
    kind = "cpu" if device == "auto" else kind
    if kind not in ("cpu", "gpu", "npu") or (index and not index.isdigit()):
        raise UsageError(f"unknown device {device!r} for openvino: expected auto, cpu, gpu or npu")
    if not any(name.split(".")[0].lower() == kind for name in available):
        raise UsageError(
            f"device {device!r}: OpenVINO finds {', '.join(available)} on this machine"
        )
    return GraphDevice(kind, int(index or 0))


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
