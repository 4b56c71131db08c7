"""Quantising the image encoder of an exported graph to 8 bits, calibrated on the user's photos.

Static quantisation by ONNX Runtime, as quantise and dequantise nodes: weights with one scale for
each output channel, activations with one scale, from the smallest and largest values seen.
Everything behind the image tokens stays in float: near a threshold a tag flips by a small error of
its logit.

Layers differ much in what 8 bits cost them. So the encoder is cut into `NUM_PARTS` runs of layers,
each is quantised alone, and those that then move logits by more than `MAX_PART_ERROR` stay in
float. (nano: most of the error comes from the last quarter and the first four layers; with these
in float 6 instead of 17 in 100 tags change, at the same speed.)

OpenVINO runs the same graph. With every layer of nano in 8 bits it gave other tags than ONNX
Runtime; without the layers that stay in float here both agree.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from anytag.errors import MissingExtraError, ModelError
from anytag.inference.export_graph import save_graph, weights_apart
from anytag.inference.graphs import num_threads

if TYPE_CHECKING:
    import onnx

logger = logging.getLogger(__name__)

#: the operators with weights, and what limits their results: without the latter a scale would have
#: to reach over values that are cut off anyway. Sums stay in float: for nano, 87 instead of 104 of
#: 609 tags changed, at the same speed
_KINDS = ("Conv", "MatMul", "Gemm", "Clip", "Relu")


#: runs of layers that are tried apart
NUM_PARTS = 12
#: mean difference of a logit by one part in 8 bits, above which it stays in float
MAX_PART_ERROR = 0.02
#: photos on which the parts are tried
_NUM_TRIED = 8
_WITH_WEIGHTS = ("Conv", "MatMul", "Gemm")

Photos = npt.NDArray[np.uint8]
LabelInputs = Mapping[str, npt.NDArray[Any]]


def quantize(graph: onnx.ModelProto, pixels: Photos, label_inputs: LabelInputs) -> onnx.ModelProto:
    """The graph ``model`` with an encoder in 8 bits, as far as its layers bear it.

    Args:
        graph: in float; a large one (see `weights_apart`) loses its weights
        pixels: photos to calibrate on, uint8 [N, S, S, 3]
        label_inputs: the other inputs, of some tags, whose logits tell which layers stay in float

    Raises:
        ModelError: no part of the encoder bears 8 bits
        MissingExtraError: onnxruntime is not installed
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("onnxruntime", "export") from error
    import onnx

    nodes = [node for node in encoder_nodes(graph) if node.op_type in _KINDS]
    parts = split_parts(nodes)
    with tempfile.TemporaryDirectory(prefix="anytag-export-") as name, _quiet():
        folder = Path(name)
        source, target = folder / "float.onnx", folder / "int8.onnx"
        apart = weights_apart(graph)
        save_graph(graph, source)
        some = pixels[:_NUM_TRIED]

        def logits(file: Path) -> npt.NDArray[np.float32]:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = num_threads()
            session = onnxruntime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"]
            )
            rows = [session.run(["logits"], {"pixels": one[None], **label_inputs}) for one in some]
            return np.concatenate([found for (found,) in rows])

        def write(names: list[str], photos: Photos) -> None:
            _write(source, target, names, photos, label_inputs, apart=apart)

        expected = logits(source)
        kept: list[str] = []
        for part in parts:
            write(part, some)
            moved = float(np.abs(logits(target) - expected).mean())
            logger.debug("8 bits in %s ... %s: %.4f", part[0], part[-1], moved)
            if moved <= MAX_PART_ERROR:
                kept += part
        if not kept:
            raise ModelError(
                "no part of the image encoder bears 8 bits: each moves logits by more than "
                f"{MAX_PART_ERROR:g} on the mean; export in float"
            )
        write(kept, pixels)
        return onnx.load(target)


def split_parts(nodes: Sequence[onnx.NodeProto]) -> list[list[str]]:
    """Names of nodes in at most `NUM_PARTS` runs of about as many layers each.

    A layer is a node with weights and what limits its result, up to the next one.
    """
    layers: list[list[str]] = []
    for node in nodes:
        if node.op_type in _WITH_WEIGHTS or not layers:
            layers.append([])
        layers[-1].append(node.name)
    bounds = np.linspace(0, len(layers), min(NUM_PARTS, len(layers)) + 1).round().astype(int)
    return [
        [name for layer in layers[start:end] for name in layer]
        for start, end in itertools.pairwise(bounds)
    ]


def _write(
    source: Path,
    target: Path,
    names: list[str],
    photos: Photos,
    label_inputs: LabelInputs,
    *,
    apart: bool,
) -> None:
    """The graph ``source`` with these nodes in 8 bits."""
    from onnxruntime import quantization

    for old in target.parent.glob(f"{target.name}*"):  # ONNX appends to a file of weights
        old.unlink()
    quantization.quantize_static(
        source,
        target,
        _reader(quantization.CalibrationDataReader, photos, label_inputs),
        quant_format=quantization.QuantFormat.QDQ,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        per_channel=True,
        use_external_data_format=apart,
        op_types_to_quantize=list(_KINDS),
        nodes_to_quantize=names,
        calibrate_method=quantization.CalibrationMethod.MinMax,
        # products of two activations (attention) stay in float
        extra_options={"MatMulConstBOnly": True, "WeightSymmetric": True},
    )


def encoder_nodes(graph: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes that the output ``embedding`` needs: backbone, mean token and projection."""
    makers = {name: node for node in graph.graph.node for name in node.output}
    waiting, found = ["embedding"], {}
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None and node.name not in found:
            found[node.name] = node
            waiting += node.input
    return [node for node in graph.graph.node if node.name in found]


def _reader(
    base: Any, pixels: npt.NDArray[np.uint8], label_inputs: Mapping[str, npt.NDArray[Any]]
) -> Any:
    """One photo after the other, as ONNX Runtime asks for them."""

    class Reader(base):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rest = iter(pixels)

        def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
            photo = next(self._rest, None)
            return None if photo is None else {"pixels": photo[None], **label_inputs}

    return Reader()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without ONNX Runtime's advice to optimise the graph first, which would tie it to it."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
