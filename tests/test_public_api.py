"""What `import anytag` promises, and the direction of imports."""

import subprocess
import sys

import pytest

import anytag

PUBLIC = ["AnytagError", "Label", "LabelSet", "Tag", "TagResult", "Tagger", "__version__"]


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout


def test_public_names_are_exact_and_resolve() -> None:
    assert anytag.__all__ == PUBLIC
    for name in PUBLIC:
        assert getattr(anytag, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Taggr'"):
        _ = anytag.Taggr


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("anytag", ("torch", "numpy", "PIL")),
        ("anytag.labels.labelset", ("torch", "PIL")),
        ("anytag.data.images", ("torch",)),
        ("anytag.inference.static_text", ("torch",)),
        ("anytag.cli.main", ("torch",)),
    ],
)
def test_light_imports_stay_light(module: str, unwanted: tuple[str, ...]) -> None:
    loaded = run(f"import sys, {module}; print(*sys.modules)").split()
    assert [name for name in unwanted if name in loaded] == []


def test_tagging_needs_neither_torchvision_nor_timm() -> None:
    loaded = run("import sys, anytag; anytag.Tagger; print(*sys.modules)").split()
    assert [n for n in ("torchvision", "timm", "transformers", "sklearn") if n in loaded] == []
