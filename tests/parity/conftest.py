"""Golden models of the three families: loaded once, through the converter."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor

from anytag.checkpoints.convert import (
    ConvertedCheckpoint,
    build_network,
    convert_checkpoint,
)
from anytag.checkpoints.sizes import ConvertOptions
from anytag.models.released import ReleasedNetwork

GOLDEN = Path(__file__).parents[1] / "golden"
FAMILIES = ("ram", "ram_plus", "tag2text")


@dataclass(frozen=True)
class Golden:
    """One family: what the public code was given, what it gave, and our network."""

    family: str
    folder: Path
    settings: dict[str, Any]
    released: dict[str, Tensor]
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    converted: ConvertedCheckpoint
    network: ReleasedNetwork

    @property
    def expected(self) -> dict[str, Any]:
        return self.settings["expected"]

    def prepare(self) -> Any:
        """The label state of the golden tags."""
        labels = self.converted.label_embeddings
        return self.network.prepare() if labels is None else self.network.prepare(labels)


def read_golden(family: str) -> Golden:
    folder = GOLDEN / family
    settings = json.loads((folder / "config.json").read_text())
    released = {
        **load_file(GOLDEN / "visual_encoder.safetensors"),
        **load_file(folder / "weights.safetensors"),
    }
    options = ConvertOptions(
        num_tags=settings["num_tags"],
        num_heads=settings["q2l_config"]["num_attention_heads"],
        num_caption_heads=settings.get("med_config", {}).get("num_attention_heads", 12),
    )
    converted = convert_checkpoint(released, options)
    return Golden(
        family=family,
        folder=folder,
        settings=settings,
        released=released,
        inputs=load_file(folder / "inputs.safetensors"),
        outputs=load_file(folder / "outputs.safetensors"),
        converted=converted,
        network=build_network(converted),
    )


@pytest.fixture(scope="session")
def goldens() -> dict[str, Golden]:
    return {family: read_golden(family) for family in FAMILIES}


@pytest.fixture(params=FAMILIES)
def golden(request: pytest.FixtureRequest, goldens: dict[str, Golden]) -> Golden:
    """Each family in turn."""
    return goldens[request.param]


@pytest.fixture
def tag2text(goldens: dict[str, Golden]) -> Golden:
    return goldens["tag2text"]


@pytest.fixture
def ram_plus(goldens: dict[str, Golden]) -> Golden:
    return goldens["ram_plus"]
