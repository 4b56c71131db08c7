"""Networks to ONNX graphs: images and label inputs to logits, text embeddings to label inputs.

`torch.onnx` writes them from what `torch.export` sees; nothing here knows a layer. Numbers of
images, tags and descriptions stay free. Inputs and outputs are those of
`anytag.inference.exported`.

Shapes: B images, S side in pixels, T tags, K descriptions of a tag, E text width, D query width,
W token width.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from anytag.data.transforms import Normalization, normalize
from anytag.errors import MissingExtraError, ModelError
from anytag.inference.open_model import OpenModel
from anytag.models.decoder import LabelState
from anytag.models.released import GroupwiseState, RamPlus, ReleasedNetwork, Tag2Text
from anytag.models.tagging import TaggingNetwork

if TYPE_CHECKING:
    import onnx

#: LayerNormalization needs 17; newer runtimes read older sets, not the other way round
OPSET = 18
#: the file format that goes with it: read by onnxruntime 1.14 and newer
IR_VERSION = 8
#: a file of protocol buffers holds no more; larger graphs keep their weights in a file beside it
MAX_BYTES = 2**31 - 2**20
#: ending of that file
DATA_SUFFIX = ".data"

#: sizes of the examples with which a network is looked at: any but 0 and 1, all different
_IMAGES, _TAGS, _DESCRIPTIONS = 2, 5, 3


def pack(state: LabelState) -> tuple[Tensor, Tensor]:
    """Queries [1, T, D] and projected queries [1, T, D], or [1, T, D + W + 1] where the network
    compares tags with the mean token."""
    if state.match is None:
        return state.queries, state.projected
    return state.queries, torch.cat([state.projected, state.match], dim=-1)


def unpack(queries: Tensor, projected: Tensor) -> LabelState:
    """What `pack` packed."""
    width = queries.shape[-1]
    match = projected[..., width:] if projected.shape[-1] > width else None
    return LabelState(queries, projected[..., :width], match)


class _Images(nn.Module):
    """uint8 [B, S, S, 3] to logits [B, T] and mean tokens [B, W]."""

    def __init__(self, network: TaggingNetwork | ReleasedNetwork, statistics: Normalization):
        super().__init__()
        self.network = network
        self.statistics = statistics

    def encode(self, pixels: Tensor) -> Tensor:
        """Image tokens [B, 1 + N, W]."""
        tokens: Tensor = self.network.encoder(normalize(pixels, self.statistics))
        return tokens


class _ByQueries(_Images):
    """nano and RAM."""

    def forward(self, pixels: Tensor, queries: Tensor, projected: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.encode(pixels)
        labels = unpack(queries[None], projected[None])
        return self.network.decoder(labels, tokens), tokens[:, 0]


class _ByDescriptions(_Images):
    """RAM++."""

    network: RamPlus

    def forward(
        self, pixels: Tensor, descriptions: Tensor, num_descriptions: Tensor
    ) -> tuple[Tensor, Tensor]:
        tokens = self.encode(pixels)
        numbers = torch.arange(descriptions.shape[1], device=descriptions.device)
        present = numbers < num_descriptions[:, None]
        network = self.network
        queries = network.queries(network.reweighting.mix(tokens[:, 0], descriptions, present))
        return network.decoder(network.decoder.prepare(queries), tokens), tokens[:, 0]


class _ByNumber(_Images):
    """Tag2Text."""

    def forward(
        self, pixels: Tensor, queries: Tensor, projected: Tensor, weight: Tensor, bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        tokens = self.encode(pixels)
        labels = GroupwiseState(queries, projected[None], weight, bias)
        return self.network.decoder(labels, tokens), tokens[:, 0]


class _Labels(nn.Module):
    """Text embeddings [T, E] to queries [T, D] and projected queries, as `pack` gives them."""

    def __init__(self, network: TaggingNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        queries, projected = pack(self.network.prepare(embeddings))
        return queries[0], projected[0]


@dataclass(frozen=True)
class _Sample:
    """Example inputs by name, and the names of their axes of free size."""

    inputs: dict[str, Tensor]
    free: dict[str, dict[int, str]]
    outputs: tuple[str, ...]


def image_graph(model: OpenModel) -> onnx.ModelProto:
    """The graph ``model``.

    Args:
        model: in float32, on the CPU

    Raises:
        ModelError: torch cannot export the network
        MissingExtraError: onnx or onnxscript is not installed
    """
    network, size = model.network, model.image_size
    pixels = torch.zeros(_IMAGES, size, size, 3, dtype=torch.uint8)
    if isinstance(network, RamPlus):
        width = network.encoder.token_width
        example = {
            "descriptions": torch.randn(_TAGS, _DESCRIPTIONS, width),
            "num_descriptions": torch.full((_TAGS,), _DESCRIPTIONS),
        }
        module: nn.Module = _ByDescriptions(network, model.normalization)
    else:
        example = _label_inputs(model)
        by_number = isinstance(network, Tag2Text)
        module = (_ByNumber if by_number else _ByQueries)(network, model.normalization)
    free = {name: {0: "tags"} for name in example}
    if "descriptions" in free:
        free["descriptions"][1] = "descriptions"
    sample = _Sample(
        inputs={"pixels": pixels, **example},
        free={"pixels": {0: "images"}, **free},
        outputs=("logits", "embedding"),
    )
    return _export(module, sample)


def label_graph(model: OpenModel) -> onnx.ModelProto:
    """The graph ``labels`` of nano and RAM; arguments and errors as of `image_graph`."""
    assert isinstance(model.network, TaggingNetwork)
    embeddings = torch.randn(_TAGS, model.network.queries.projection.in_features)
    sample = _Sample(
        {"embeddings": embeddings}, {"embeddings": {0: "tags"}}, ("queries", "projected")
    )
    return _export(_Labels(model.network), sample)


def _label_inputs(model: OpenModel) -> dict[str, Tensor]:
    """Examples for nano, RAM and Tag2Text."""
    hidden = model.sizes.decoder.hidden
    inputs = {name: torch.randn(_TAGS, hidden) for name in ("queries", "projected")}
    if getattr(model.network, "match", None) is not None:
        behind = model.network.encoder.token_width + 1
        inputs["projected"] = torch.randn(_TAGS, hidden + behind)
    if isinstance(model.network, Tag2Text):
        inputs |= {"weight": torch.randn(_TAGS, hidden), "bias": torch.randn(_TAGS)}
    return inputs


def _export(module: nn.Module, sample: _Sample) -> onnx.ModelProto:
    for package in ("onnx", "onnxscript"):
        try:
            __import__(package)
        except ImportError as error:
            raise MissingExtraError(package, "export") from error
    names = {name for row in sample.free.values() for name in row.values()}
    axes = {name: torch.export.Dim(name, min=1) for name in names}
    shapes = [
        {axis: axes[label] for axis, label in sample.free[name].items()} for name in sample.inputs
    ]
    try:
        with torch.no_grad(), warnings.catch_warnings(), _QuietTorch():
            warnings.simplefilter("ignore")  # torch's about its own parts
            program: Any = torch.onnx.export(
                module.eval(),
                tuple(sample.inputs.values()),
                dynamo=True,
                input_names=list(sample.inputs),
                output_names=list(sample.outputs),
                dynamic_shapes=tuple(shapes),
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:  # what torch raises here is not defined
        raise ModelError(f"torch cannot export this network to ONNX: {error}") from error
    return _tidy(program.model_proto)


def _tidy(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Without torch's notes about source lines, which are larger than the graph itself."""
    parts = graph.graph
    notes: list[Any] = [graph, parts, *parts.node, *parts.value_info]
    for part in [*notes, *parts.input, *parts.output, *parts.initializer]:
        del part.metadata_props[:]
        part.doc_string = ""
    graph.ir_version = IR_VERSION
    graph.producer_name, graph.producer_version = "anytag", ""
    return graph


def weights_apart(graph: onnx.ModelProto) -> bool:
    """Whether the graph is too large for one file."""
    return sum(len(one.raw_data) for one in graph.graph.initializer) > MAX_BYTES


def save_graph(graph: onnx.ModelProto, file: Path) -> None:
    """Write ``NAME.onnx``, and beside it ``NAME.onnx.data`` where one file cannot hold it all.

    Weights leave ``graph`` on the way into the second file.
    """
    import onnx

    apart = weights_apart(graph)
    onnx.save(
        graph,
        file,
        save_as_external_data=apart,
        all_tensors_to_one_file=True,
        location=f"{file.name}{DATA_SUFFIX}",
        size_threshold=1024,
    )


class _QuietTorch:
    """Keeps the exporter's messages about packages that are not installed off the terminal."""

    def __enter__(self) -> None:
        self._logger = logging.getLogger("torch.onnx")
        self._level = self._logger.level
        self._logger.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        self._logger.setLevel(self._level)
