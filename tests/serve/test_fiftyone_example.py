"""examples/fiftyone_tags.py, with a data set that behaves as FiftyOne's does.

FiftyOne keeps its data sets in a MongoDB server, which no package index has. The stand-in has the
parts of its interface that the example calls, as they are in version 1.22.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from tests.serve.servers import photo

from anytag.inference.tagger import Tagger

EXAMPLE = Path(__file__).parents[2] / "examples" / "fiftyone_tags.py"


class Sample(dict[str, Any]):
    """A photo and its fields."""


@dataclass
class Dataset:
    """Saves each sample when the next one is asked for, as ``autosave`` does."""

    paths: list[str]
    saved: dict[str, Sample] = field(default_factory=dict)

    def values(self, name: str) -> list[str]:
        assert name == "filepath"
        return self.paths

    def iter_samples(self, *, autosave: bool, progress: bool) -> Iterator[Sample]:
        assert autosave
        for path in self.paths:
            sample = Sample()
            yield sample
            self.saved[Path(path).name] = sample


@dataclass(kw_only=True)
class Classification:
    """A label; its fields are those of FiftyOne 1.22."""

    label: str
    confidence: float


@dataclass(kw_only=True)
class Classifications:
    """Labels of one photo."""

    classifications: list[Classification]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    library = SimpleNamespace(
        Classification=Classification, Classifications=Classifications, Dataset=Dataset
    )
    monkeypatch.setitem(sys.modules, "fiftyone", library)  # type: ignore[arg-type]
    spec = importlib.util.spec_from_file_location("fiftyone_tags", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tags_of_every_photo_and_errors_of_the_broken(
    example: ModuleType, seeing_model: Path, tmp_path: Path
) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(photo(number))
    (tmp_path / "1.png").write_bytes(b"no image")
    dataset = Dataset(sorted(f"{path}" for path in tmp_path.iterdir()))
    tagger = Tagger.from_pretrained(seeing_model)
    example.add_tags(dataset, tagger)
    assert list(dataset.saved) == ["0.png", "1.png", "2.png"]
    for number in (0, 2):
        tags = tagger(photo(number)).tags
        assert tags
        found = dataset.saved[f"{number}.png"]["anytag"].classifications
        assert [one.label for one in found] == [tag.name for tag in tags]
        assert [one.confidence for one in found] == pytest.approx([tag.score for tag in tags])
    assert dataset.saved["1.png"].keys() == {"anytag_error"}
    assert "not in a known image format" in dataset.saved["1.png"]["anytag_error"]
