"""Exporting networks of full size: do they run, with which logits, and at what cost of memory?

::

    python benchmarks/export_large.py --json OUT.json                 # makes RAM and RAM++
    python benchmarks/export_large.py --models DIR DIR --json OUT.json   # converted already

Checkpoints of the released layout with random weights, as `released.py` makes them; each export is
a process of its own. ``anytag export`` compares with torch on pictures that it makes. Memory is as
in `released.py`: anonymous memory that is added, and the most that was resident.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from quality import machine, today
from released import FAMILIES, convert, make, read_status, watched


def export(model: Path, backend: str, pictures: int) -> dict[str, Any]:
    """Export one model, in this process."""
    from anytag import Tagger
    from anytag.inference import export as exporting

    exporting.NUM_MADE = pictures
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=model.parent) as folder:
        started = time.perf_counter()
        target = Path(folder) / "exported"
        with watched(figures, "export"):
            tagger = Tagger.from_pretrained(model, device="cpu", dtype="float32", backend="torch")
            options = exporting.ExportOptions(backend=backend)
            card = exporting.export_model(tagger, target, options)
        seconds = time.perf_counter() - started
        files = {file.name: file.stat().st_size for file in target.iterdir()}
    assert card.parity is not None
    return {
        "name": card.name,
        "family": card.family,
        "backend": backend,
        "files": files,
        "bytes": sum(files.values()),
        "max_logit_difference": card.parity.max_logit_difference,
        "num_tags": card.parity.num_tags,
        "seconds": round(seconds),
        "peak_anonymous": figures["export_peak_anonymous"],
        "peak_rss": read_status("VmHWM"),
    }


def export_apart(model: Path, backend: str, pictures: int) -> dict[str, Any]:
    """`export` in a new process."""
    command = [sys.executable, __file__, "--models", str(model), "--to", backend]
    command += ["--pictures", str(pictures), "--one"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(row), file=sys.stderr, flush=True)
    return row


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=["ram", "ram_plus"])
    parser.add_argument("--models", type=Path, nargs="+", help="model directories instead")
    parser.add_argument("--to", nargs="+", default=["onnx", "openvino"])
    parser.add_argument("--pictures", type=int, default=2, help="on which logits are compared")
    parser.add_argument("--small", action="store_true", help="fewer layers")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(export(options.models[0], options.to[0], options.pictures)))
        return
    rows = []
    with tempfile.TemporaryDirectory(prefix="anytag-export-") as made:
        models = options.models or []
        for family in [] if options.models else options.families:
            folder = Path(made) / family
            folder.mkdir()
            make(folder, family, small=options.small)
            convert(folder, family)
            (folder / "released.pth").unlink()
            models.append(folder / "model")
        for model in models:
            rows += [export_apart(model, backend, options.pictures) for backend in options.to]
    figures = {
        "kind": "export-large",
        "date": today(),
        "machine": machine(),
        "small": options.small,
        "pictures": options.pictures,
        "rows": rows,
    }
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
