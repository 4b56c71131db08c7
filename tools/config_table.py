"""Write the tables of docs/training.md: the keys of a training configuration.

    PYTHONPATH=src python tools/config_table.py docs/training.md

The page's part between the marks is replaced. Keys, defaults and meanings are those of the source
of `anytag.training.config`: its dataclasses and the ``#:`` comments above their fields.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src/anytag/training/config.py"
BEGIN, END = "<!-- made by tools/config_table.py -->", "<!-- /made -->"


@dataclass(frozen=True)
class Key:
    """One key of a configuration."""

    name: str
    #: as in YAML; None = it must be given
    default: str | None
    meaning: str
    #: class of the keys below it
    below: str | None
    #: whether it is a list of them
    is_list: bool


def read_classes(source: str) -> dict[str, tuple[str, list[Key]]]:
    """(docstring, keys) of each dataclass in a module."""
    lines = source.splitlines()
    nodes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    names = {node.name for node in nodes}
    found = {}
    for node in nodes:
        fields = [one for one in node.body if isinstance(one, ast.AnnAssign)]
        keys = [_key(one, lines, names) for one in fields]
        found[node.name] = (ast.get_docstring(node) or "", keys)
    return found


def _key(field: ast.AnnAssign, lines: list[str], classes: set[str]) -> Key:
    assert isinstance(field.target, ast.Name)
    kind = ast.unparse(field.annotation)
    below = next((name for name in classes if re.search(rf"\b{name}\b", kind)), None)
    return Key(
        name=field.target.id,
        default=_default(field.value),
        meaning=_comment(lines, field.lineno - 1),
        below=below,
        is_list=kind.startswith("tuple"),
    )


def _comment(lines: list[str], line: int) -> str:
    """The ``#:`` lines above a line, as one."""
    begin = line
    while lines[begin - 1].strip().startswith("#"):
        begin -= 1
    return " ".join(one.strip().removeprefix("#:").strip() for one in lines[begin:line])


def _default(value: ast.expr | None) -> str | None:
    if value is None:
        return None
    if isinstance(value, ast.Call):  # field(default_factory=...): its keys have defaults
        return ""
    return _yaml(ast.literal_eval(value))


def _yaml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_yaml, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def tables(source: str, first: str = "TrainConfig") -> str:
    """The tables in Markdown, outer keys first."""
    classes = read_classes(source)
    return "\n\n".join(_tables(classes, first, ""))


def _tables(classes: dict[str, tuple[str, list[Key]]], name: str, path: str) -> Iterator[str]:
    doc, keys = classes[name]
    rows = ["| key | default | meaning |", "|---|---|---|"]
    rows += [f"| `{path}{key.name}` | {_shown(key)} | {_cell(key.meaning)} |" for key in keys]
    about = " ".join(doc.split("\n\n")[0].split())
    yield f"**{path.rstrip('.') or 'top level'}**: {_cell(about)}\n\n" + "\n".join(rows)
    done: set[str] = set()
    for key in keys:
        if key.below is not None and key.below not in done:
            done.add(key.below)  # training and validation sets have the same keys
            yield from _tables(classes, key.below, f"{path}{key.name}{'[]' * key.is_list}.")


def _shown(key: Key) -> str:
    if key.default is None:
        return "must be given"
    return f"`{key.default}`" if key.default else "see below"


def _cell(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


def replaced(page: str, made: str) -> str:
    """A page with other tables between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"the page has no part between {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{after}"


def main() -> None:
    path = Path(sys.argv[1])
    made = tables(SOURCE.read_text(encoding="utf-8"))
    path.write_text(replaced(path.read_text(encoding="utf-8"), made), encoding="utf-8")


if __name__ == "__main__":
    main()
