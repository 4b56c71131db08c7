"""The tutorials run, and the runner notices when they do not."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))


@pytest.fixture(scope="module")
def tutorials() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_tutorials", ROOT / "tools/run_tutorials.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def page(folder: Path, code: str, shown: str = "", language: str = "bash") -> Path:
    text = f"# T\n\n<!-- ci:run -->\n```{language}\n{code}\n```\n"
    if shown:
        text += f"\n<!-- ci:output -->\n```text\n{shown}\n```\n"
    path = folder / "page.md"
    path.write_text(text, encoding="utf-8")
    return path


def is_running(pid: int) -> bool:
    """False for one that has ended and that nobody has waited for yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


def run(tutorials: ModuleType, path: Path) -> int:
    folder = path.parent / "work"
    folder.mkdir()
    return int(tutorials.run_page(path, folder, {"EPOCHS": "3"}))


def test_every_tutorial_has_code_and_output(tutorials: ModuleType) -> None:
    assert [path.stem for path in PAGES] == [
        "audit", "fine-tune", "own-tags", "photo-keywords", "serve",
    ]  # fmt: skip
    for path in PAGES:
        blocks = tutorials.read_blocks(path.read_text(encoding="utf-8"))
        assert len(blocks) >= 4
        assert any(block.shown for block in blocks)


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_tutorial(tutorials: ModuleType, path: Path, tmp_path: Path) -> None:
    variables = {"EPOCHS": "1", "PORT": str(tutorials.free_port())}
    assert tutorials.run_page(path, tmp_path, variables) >= 4


def test_blocks_share_a_folder_and_variables(tutorials: ModuleType, tmp_path: Path) -> None:
    path = page(tmp_path, "echo epochs $EPOCHS; echo x > made", "epochs 3")
    more = '\n<!-- ci:run -->\n```python\nprint("seen", open("made").read())\n```\n'
    path.write_text(path.read_text(encoding="utf-8") + more, encoding="utf-8")
    assert run(tutorials, path) == 2


def test_anytag_is_the_one_under_test(tutorials: ModuleType, tmp_path: Path) -> None:
    code = "anytag --version; python -c 'import sys; print(sys.executable)'"
    assert run(tutorials, page(tmp_path, code, f"anytag\n{sys.executable}")) == 1


@pytest.mark.parametrize(
    ("code", "shown", "message"),
    [
        ("echo made; false; echo more", "made", "page.md, line 5: exit code 1"),
        ("cat missing | head -n 1", "", "exit code 1"),  # pipefail
        ("echo one thing", "another line", r"not in the output: \['another line'\]"),
    ],
)
def test_a_failing_page_is_told(
    tutorials: ModuleType, tmp_path: Path, code: str, shown: str, message: str
) -> None:
    with pytest.raises(tutorials.TutorialError, match=message) as failed:
        run(tutorials, page(tmp_path, code, shown))
    assert code in str(failed.value)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks /proc")
def test_what_a_page_leaves_running_is_ended(tutorials: ModuleType, tmp_path: Path) -> None:
    path = page(tmp_path, "sleep 600 & echo $! > pid")
    run(tutorials, path)
    pid = int((tmp_path / "work" / "pid").read_text())
    for _ in range(300):
        if not is_running(pid):
            break
        time.sleep(0.1)
    assert not is_running(pid)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- ci:run -->\n\n```bash\ntrue\n```\n", "has no block"),
        ("<!-- ci:run -->\n```ruby\nputs 1\n```\n", "line 3: ruby is not run"),
        ("<!-- ci:output -->\n```text\n1\n```\n", "line 3: output without code"),
    ],
)
def test_wrong_marks_are_errors(tutorials: ModuleType, text: str, message: str) -> None:
    with pytest.raises(tutorials.TutorialError, match=message):
        tutorials.read_blocks(text)


@pytest.mark.parametrize(
    ("shown", "output", "is_like"),
    [
        ("cat.jpg cat 0.91, animal 0.80, ...", "cat.jpg\tanimal 0.9, cat 0.8, tabby 0.7", True),
        ("cat.jpg cat 0.91", "dog.jpg dog 0.91", False),
        ("2 labels added", "13 labels added, 4 removed", True),
        ("2", "2", False),  # a line of numbers alone says nothing
    ],
)
def test_lines_are_compared_by_words(
    tutorials: ModuleType, shown: str, output: str, is_like: bool
) -> None:
    assert (tutorials.differing([shown], output) == []) is is_like
