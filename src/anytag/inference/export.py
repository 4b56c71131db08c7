"""Exporting a tagger: a directory that ONNX Runtime or OpenVINO runs, compared with the original.

What is in it stands in `anytag.inference.exported`. OpenVINO's graphs are made from the ONNX ones,
so there is one way out of torch.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import save
from torch import Tensor

from anytag.config import to_plain
from anytag.errors import MissingExtraError, ModelError, OutputError, UsageError
from anytag.files import atomic_write
from anytag.inference.description_arrays import Grouped
from anytag.inference.export_card import CARD, SUFFIXES, ExportCard, Parity
from anytag.inference.export_graph import (
    DATA_SUFFIX,
    image_graph,
    label_graph,
    pack,
    save_graph,
)
from anytag.inference.export_int8 import quantize
from anytag.inference.export_parity import made_pictures, measure_parity
from anytag.inference.open_model import TEXT_ENCODER, OpenModel
from anytag.inference.scorer import Scorer
from anytag.inference.vocabulary import Rows
from anytag.models.decoder import LabelState
from anytag.models.released import GroupwiseState, RamPlus, Tag2Text

if TYPE_CHECKING:
    import onnx

Arrays = Mapping[str, npt.NDArray[Any]]

#: a float export whose logits differ by more than this from torch's is an error. It moves a
#: probability by 0.00025 at most; measured are some 1e-5
MAX_LOGIT_DIFFERENCE = 1e-3
#: share of the tags that may change in 8 bits, unless the user allows more
MAX_CHANGED = 0.05
#: pictures that are made for the comparison where no photos are given
NUM_MADE = 8
#: tags, from all over the list, whose logits tell which layers bear 8 bits
_CALIBRATION_TAGS = 64
#: files of a model directory that are right for its export too
_KEPT = ("config.json", "selected_tags.csv", "README.md", "LICENSE")


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How to export."""

    #: "onnx" or "openvino"
    backend: str
    #: image encoder in 8 bits
    int8: bool = False
    #: replace an earlier export
    overwrite: bool = False
    #: 8 bits: refuse where more tags change, as a share of those that the original gives
    max_changed: float = MAX_CHANGED

    def __post_init__(self) -> None:
        if not self.max_changed >= 0:
            raise UsageError(f"max_changed must be 0 or more, found {self.max_changed}")
        if self.backend not in SUFFIXES:
            raise UsageError(f"unknown backend {self.backend!r}: expected {' or '.join(SUFFIXES)}")

    def check_output(self, output: Path) -> None:
        """Refuse a directory with anything in it but an export that may be replaced.

        Raises:
            OutputError: it has
        """
        if not output.exists() or (output.is_dir() and not any(output.iterdir())):
            return
        if not (output / CARD).is_file():
            raise OutputError(
                f"{output}: exists and is no earlier export; choose another directory"
            )
        if not self.overwrite:
            raise OutputError(f"{output}: exists; replace it with --overwrite")


def export_model(
    tagger: Scorer,
    output: Path,
    options: ExportOptions,
    photos: npt.NDArray[np.uint8] | None = None,
) -> ExportCard:
    """Write a tagger's network and tags as a directory of graphs, and compare the two.

    Args:
        tagger: run by torch, on the CPU in float32
        output: the directory; it appears when all is done
        options: how
        photos: uint8 [N, S, S, 3], such as the user's, for the comparison; of 8 bits every
            second one calibrates, and the others are compared

    Returns:
        contents of export.json, with the comparison

    Raises:
        UsageError: the tagger runs elsewhere, or 8 bits without photos
        ModelError: the network cannot be exported, its scores are not those of torch, or 8 bits
            change more tags than allowed
        OutputError: the directory exists, or cannot be written
        MissingExtraError: a package of ``anytag[export]`` is not installed
    """
    model = tagger.model
    place = (model.device.type, model.dtype)
    if not isinstance(model, OpenModel) or place != ("cpu", torch.float32):
        raise UsageError("only a model that torch runs on the CPU in float32 can be exported")
    if options.int8 and (photos is None or not len(photos)):
        raise UsageError("8 bits are calibrated on photos like those to be tagged; give a folder")
    options.check_output(output)
    part = output.with_name(f".{output.name}-{secrets.token_hex(4)}")
    try:
        part.mkdir(parents=True)
        card = _write(tagger, model, part, options, photos)
        images = made_pictures(NUM_MADE, model.image_size) if photos is None else photos
        if options.int8 and len(images) > 1:
            images = images[1::2]  # the others have calibrated
        after = type(tagger).from_pretrained(part, backend=options.backend, device="cpu")
        parity = measure_parity(tagger, after, images, "made" if photos is None else "photos")
        if not options.int8 and not parity.max_logit_difference <= MAX_LOGIT_DIFFERENCE:
            raise ModelError(
                f"{model.path}: {options.backend} gives other logits than torch: they differ by up "
                f"to {parity.max_logit_difference:.2g}, allowed are {MAX_LOGIT_DIFFERENCE:g}; "
                "nothing was written"
            )
        if options.int8:
            _check_changed(parity, options.max_changed)
        card = replace(card, parity=parity)
        write_card(part, card)
        _move(part, output)
    except OSError as error:
        raise OutputError(f"{output}: cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return card


def _check_changed(parity: Parity, most: float) -> None:
    """Refuse 8 bits that change too many tags."""
    changed, given = parity.num_tags_changed, parity.num_given
    if changed > most * given:
        raise ModelError(
            f"8 bits change {changed:,} of {given:,} tags on {parity.num_images:,} photos "
            f"({changed / max(given, 1):.1%}; logits differ by up to "
            f"{parity.max_logit_difference:.2g}), allowed are {most:.0%}; nothing was written. "
            "Export in float, or allow more: --max-changed 0.2 (max_changed)"
        )


def write_card(folder: Path, card: ExportCard) -> None:
    """``export.json``."""
    with atomic_write(folder / CARD) as file:
        file.write(json.dumps(to_plain(card), indent=2).encode() + b"\n")


def _move(part: Path, output: Path) -> None:
    """Into place; an earlier export leaves only when the new one is complete."""
    old = None
    if output.exists():
        old = output.with_name(f"{part.name}-old")
        output.rename(old)
    part.rename(output)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def _write(
    tagger: Scorer,
    model: OpenModel,
    folder: Path,
    options: ExportOptions,
    photos: npt.NDArray[np.uint8] | None,
) -> ExportCard:
    graphs = {"model": image_graph(model)}
    if not isinstance(model.network, RamPlus | Tag2Text):
        graphs["labels"] = label_graph(model)
    if options.int8:
        assert photos is not None
        step = -(-len(tagger.labels) // _CALIBRATION_TAGS)
        some = tagger.with_tags(tagger.labels.names[::step])
        inputs = label_inputs(some.label_state)
        graphs["model"] = quantize(graphs["model"], photos[::2], inputs)
    for name, graph in graphs.items():
        _save_graph(graph, folder / f"{name}{SUFFIXES[options.backend]}")
    for file in _KEPT:
        if (model.path / file).is_file():
            shutil.copyfile(model.path / file, folder / file)
    kind = None
    if (model.path / TEXT_ENCODER).is_dir():
        shutil.copytree(model.path / TEXT_ENCODER, folder / TEXT_ENCODER)
        kind = "static" if family_of(model) == "plain" else "clip"
    (folder / "labels.json").write_text(tagger.labels.to_json(), encoding="utf-8")
    if isinstance(model.network, Tag2Text):
        _save_arrays(folder / "label_inputs.safetensors", label_inputs(tagger.label_state))
    else:
        _save_arrays(folder / "label_embeddings.safetensors", embedding_arrays(tagger.rows))
    card = _make_card(model, options, kind)
    write_card(folder, card)
    return card


def _make_card(model: OpenModel, options: ExportOptions, text_encoder: str | None) -> ExportCard:
    return ExportCard(
        format=model.card.format,
        name=model.card.name,
        version=f"{model.version}+int8" if options.int8 else model.version,
        backend=options.backend,
        family=family_of(model),
        int8=options.int8,
        image_size=model.image_size,
        text_width=model.sizes.text_width,
        token_width=model.token_width,
        mean=model.normalization.mean,
        std=model.normalization.std,
        open_threshold=model.card.open_threshold,
        text_encoder=text_encoder,
        exact_pixels=model.exact_pixels,
    )


def family_of(model: OpenModel) -> str:
    """One of `anytag.inference.export_card.FAMILIES`."""
    return str(getattr(model.card.network, "family", "plain"))


def label_inputs(state: object) -> dict[str, npt.NDArray[Any]]:
    """The label side as inputs of the graph ``model``."""
    if isinstance(state, LabelState):
        queries, projected = pack(state)
        return {"queries": _array(queries[0]), "projected": _array(projected[0])}
    if isinstance(state, GroupwiseState):
        return {
            "queries": _array(state.queries),
            "projected": _array(state.projected[0]),
            "weight": _array(state.weight),
            "bias": _array(state.bias),
        }
    found = embedding_arrays(cast(Rows, state))
    return {
        "descriptions": found["label_embeddings"],
        "num_descriptions": found["num_descriptions"],
    }


def embedding_arrays(rows: Rows) -> dict[str, npt.NDArray[Any]]:
    """What label_embeddings.safetensors holds of a tag list."""
    if not isinstance(rows, Grouped):
        return {"label_embeddings": _array(rows)}
    groups = [_array(group) for group in rows.groups]
    most = max(group.shape[1] for group in groups)
    padded = [np.pad(group, ((0, 0), (0, most - group.shape[1]), (0, 0))) for group in groups]
    counts = [np.full(len(group), group.shape[1], np.int64) for group in groups]
    order = rows.order.numpy()
    return {
        "label_embeddings": np.concatenate(padded)[order],
        "num_descriptions": np.concatenate(counts)[order],
    }


def _array(tensor: Tensor) -> npt.NDArray[Any]:
    return tensor.detach().float().contiguous().numpy()


def _save_arrays(path: Path, arrays: Arrays) -> None:
    """As float16 where that loses nothing."""
    kept = {}
    for name, array in arrays.items():
        half = array.astype(np.float16) if array.dtype == np.float32 else array
        kept[name] = np.ascontiguousarray(half if np.array_equal(half, array) else array)
    path.write_bytes(save(kept))


def _save_graph(graph: onnx.ModelProto, path: Path) -> None:
    file = path.with_suffix(".onnx")
    save_graph(graph, file)
    if path == file:
        return
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError("openvino", "export") from error
    # Not openvino.convert_model: that one reports its use over the network.
    openvino.save_model(openvino.Core().read_model(file), path, compress_to_fp16=False)
    file.unlink()
    file.with_name(f"{file.name}{DATA_SUFFIX}").unlink(missing_ok=True)
