"""``torch.compile`` of a tagger's network: one graph without a break, and the same scores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anytag import Tagger


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nano's kind", "ram", "ram_plus", "tag2text"])
def test_a_compiled_network_is_one_graph_with_the_same_scores(
    name: str, seeing_model: Path, released_models: dict[str, Path]
) -> None:
    tagger = Tagger.from_pretrained(released_models.get(name, seeing_model), device="cpu")
    size = tagger.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), np.uint8)
    expected = [tagger.score(pixels), tagger.score(pixels[:1])]
    graphs = []

    def backend(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    model: Any = tagger.model
    model.network.compile(backend=backend, fullgraph=True)  # a break would be an error
    found = [tagger.score(pixels), tagger.score(pixels[:1])]
    assert len(graphs) in (1, 2)  # another for another number of photos
    for one, wanted in zip(found, expected, strict=True):
        assert np.ptp(wanted) > 0
        np.testing.assert_allclose(one, wanted, atol=2e-5)
    again = len(graphs)
    tagger.score(pixels)
    assert len(graphs) == again
