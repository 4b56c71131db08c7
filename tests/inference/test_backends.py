"""Choosing what runs a model, and rows of tags as arrays."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from anytag.errors import ModelError
from anytag.inference import backends
from anytag.inference.backends import choose_backend
from anytag.inference.description_arrays import DescriptionArrays
from anytag.inference.exported import sigmoid
from anytag.inference.graphs import OnnxGraph, OpenVinoGraph, num_threads
from anytag.models.reweight import Descriptions, Reweighting

# OpenVINO and ONNX Runtime beside torch in one long process: kept out of the default run
pytestmark = pytest.mark.slow

TORCH, ONNX, OPENVINO = "model.safetensors", "model.onnx", "model.xml"


@pytest.mark.parametrize(
    ("files", "asked", "has_torch", "expected"),
    [
        ([TORCH], "auto", True, "torch"),
        ([TORCH, ONNX], "auto", True, "torch"),
        ([TORCH, ONNX], "auto", False, "onnx"),
        ([TORCH, ONNX], "onnx", True, "onnx"),
        ([ONNX, OPENVINO], "auto", True, "onnx"),
        ([OPENVINO], "auto", True, "openvino"),
        ([OPENVINO], "auto", False, "openvino"),
        ([], "auto", True, "torch"),  # its reader says what is missing
        ([], "auto", False, "needs torch, which is not installed"),
        ([TORCH], "torch", False, "needs torch, which is not installed"),
        ([TORCH], "onnx", True, "no model.onnx, so onnx cannot run it"),
        ([ONNX], "torch", True, "exported for onnx and without model.safetensors"),
    ],
)
def test_choose_backend(
    files: list[str],
    asked: str,
    has_torch: bool,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backends, "torch_installed", lambda: has_torch)
    for name in files:
        (tmp_path / name).touch()
    if expected in backends.FILES:
        assert choose_backend(tmp_path, asked) == expected
    else:
        with pytest.raises(ModelError, match=expected):
            choose_backend(tmp_path, asked)


def test_threads_follow_the_variable_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    most = num_threads()
    assert most >= 1
    for value, expected in (("1", 1), ("100000", most), ("0", most), ("many", most)):
        monkeypatch.setenv("OMP_NUM_THREADS", value)
        assert num_threads() == expected


@pytest.fixture(scope="module")
def sum_graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """sum = a + b and product = a * b, of any length."""
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"])
        for name in ("a", "b", "sum", "product")
    ]
    nodes = [
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Mul", ["a", "b"], ["product"]),
    ]
    graph = helper.make_graph(nodes, "both", values[:2], values[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    path = tmp_path_factory.mktemp("graph") / "both.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("kind", [OnnxGraph, OpenVinoGraph])
def test_graphs_hold_inputs_and_serve_threads(
    kind: type[OnnxGraph] | type[OpenVinoGraph], sum_graph: Path
) -> None:
    graph = kind(sum_graph)  # OpenVINO reads ONNX files too
    assert str(graph.device) == "cpu"
    b = np.arange(1000, dtype=np.float32)
    held = graph.hold({"b": b})
    (product,) = graph.run(["product"], {"a": b[:, None][:, 0]}, held)
    np.testing.assert_array_equal(product, b * b)
    wrong: list[int] = []

    def work(number: int) -> None:
        a = np.full(1000, number, np.float32)
        for _ in range(20):
            product, total = graph.run(["product", "sum"], {"a": a}, held)
            if not (np.array_equal(total, a + b) and np.array_equal(product, a * b)):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    with pytest.raises(ModelError, match=f"{(kind is OnnxGraph and 'onnxruntime') or 'openvino'}"):
        kind(sum_graph.with_name("missing.onnx"))


def test_sigmoid_does_not_overflow() -> None:
    logits = np.array([-np.inf, -1e30, -100, -1, 0, 1, 100, 1e30, np.inf], np.float32)
    expected = torch.from_numpy(logits).sigmoid().numpy()
    with np.errstate(all="raise", under="ignore"):
        found = sigmoid(logits)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-37)  # torch gives no smaller


counts = st.lists(st.integers(1, 5), min_size=1, max_size=6)


def _split(found: DescriptionArrays) -> list[np.ndarray]:
    return [row[:count] for row, count in zip(found.values, found.counts, strict=True)]


@given(counts, counts, st.data())
def test_description_arrays_are_lists_of_arrays(
    first: list[int], second: list[int], data: st.DataObject
) -> None:
    random = np.random.default_rng(sum(first))
    one, other = ([random.normal(size=(n, 3)).astype(np.float32) for n in part]
                  for part in (first, second))  # fmt: skip
    joined = DescriptionArrays.of(one).join(DescriptionArrays.of(other))
    chosen = data.draw(st.lists(st.integers(0, len(first + second) - 1), min_size=1))
    for found, expected in (
        (joined, [*one, *other]),
        (joined.take(chosen), [[*one, *other][place] for place in chosen]),
    ):
        assert len(_split(found)) == len(expected)
        for row, wanted in zip(_split(found), expected, strict=True):
            np.testing.assert_array_equal(row, wanted)


def test_padding_has_no_weight() -> None:
    torch.manual_seed(0)
    reweighting = Reweighting()
    image, rows = torch.randn(2, 8), torch.randn(6, 8)
    grouped = reweighting(image, Descriptions.from_rows(rows, [1, 3, 2]))
    padded = torch.full((3, 4, 8), 7.0)
    padded[0, :1], padded[1, :3], padded[2, :2] = rows[:1], rows[1:4], rows[4:]
    present = torch.arange(4) < torch.tensor([1, 3, 2])[:, None]
    torch.testing.assert_close(reweighting.mix(image, padded, present), grouped)
