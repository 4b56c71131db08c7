"""The packed linear layer equals `nn.Linear`, and never serves an old weight."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anytag.models.linear import Linear, can_pack

needs_packing = pytest.mark.skipif(not can_pack(torch.float32), reason="this CPU packs no weights")


def plain(layer: nn.Linear, x: Tensor) -> Tensor:
    return F.linear(x, layer.weight, layer.bias)


@needs_packing
@pytest.mark.parametrize("shape", [(1, 24), (3, 5, 24), (2, 4, 7, 24), (0, 24)])
@pytest.mark.parametrize("bias", [True, False])
def test_equals_the_plain_layer(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layer, x = Linear(24, 40, bias=bias), torch.randn(shape)
    with torch.inference_mode():
        found, gelu = layer(x), layer.gelu(x)
    assert layer._packed is not None
    torch.testing.assert_close(found, plain(layer, x).detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gelu, F.gelu(plain(layer, x)).detach(), atol=1e-5, rtol=1e-5)


@needs_packing
def test_rows_that_do_not_lie_one_behind_the_other() -> None:
    torch.manual_seed(0)
    layer, x = Linear(24, 40), torch.randn(24, 6)
    with torch.inference_mode():
        torch.testing.assert_close(layer(x.T), plain(layer, x.T).detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(not can_pack(torch.bfloat16), reason="this CPU packs no bfloat16")
def test_bfloat16_is_not_less_exact_than_the_plain_layer() -> None:
    torch.manual_seed(0)
    exact = nn.Linear(64, 128).double()
    layer = Linear(64, 128)
    layer.load_state_dict(exact.state_dict())
    layer.bfloat16()
    x = torch.randn(50, 64).bfloat16()
    with torch.inference_mode():
        found = layer.gelu(x)
    exact.load_state_dict(layer.state_dict())
    expected = F.gelu(exact(x.double())).detach()
    error = (found.double() - expected).abs().max()
    plain_error = (F.gelu(plain(layer, x)).detach().double() - expected).abs().max()
    assert error <= plain_error


@needs_packing
def test_a_changed_weight_is_packed_anew() -> None:
    torch.manual_seed(0)
    layer, x = Linear(8, 8), torch.randn(4, 8)
    with torch.inference_mode():
        layer(x)
    with torch.no_grad():
        layer.weight.mul_(3)
    with torch.inference_mode():
        found = layer(x)
    torch.testing.assert_close(found, plain(layer, x).detach(), atol=1e-5, rtol=1e-5)
    layer.load_state_dict(Linear(8, 8).state_dict())
    with torch.inference_mode():
        found = layer(x)
    torch.testing.assert_close(found, plain(layer, x).detach(), atol=1e-5, rtol=1e-5)


def test_with_gradients_it_is_the_plain_layer() -> None:
    layer, x = Linear(8, 8), torch.randn(4, 8)
    layer.gelu(x).sum().backward()
    assert layer.weight.grad is not None
    assert layer._packed is None
    with torch.no_grad():
        torch.testing.assert_close(layer(x), plain(layer, x), atol=0, rtol=0)
    assert layer._packed is None


@needs_packing
def test_copies_and_files_hold_no_packed_weight() -> None:
    layer, x = Linear(8, 8), torch.randn(4, 8)
    with torch.inference_mode():
        expected = layer(x)
        for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert other._packed is None
            torch.testing.assert_close(other(x), expected)
    assert list(layer.state_dict()) == ["weight", "bias"]


def test_types_without_packing_run_plain() -> None:
    layer, x = Linear(8, 8).double(), torch.randn(4, 8).double()
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), plain(layer, x))
    assert layer._packed is None
    assert not can_pack(torch.float16)


def test_a_graph_is_compiled_as_a_whole_and_from_the_plain_layer() -> None:
    torch.manual_seed(0)
    layer, x = Linear(24, 40), torch.randn(3, 24)
    graphs = []

    def backend(graph: torch.fx.GraphModule, inputs: object) -> object:
        graphs.append(graph.code)
        return graph.forward

    compiled = torch.compile(layer.gelu, backend=backend, fullgraph=True)
    with torch.inference_mode():
        torch.testing.assert_close(compiled(x), F.gelu(plain(layer, x)).detach())
    assert len(graphs) == 1
    assert "mkldnn" not in graphs[0]
    assert layer._packed is None
    torch.compiler.reset()
