"""The figures of ``anytag ablate`` with the day and the machine, for RESULTS.md.

::

    anytag ablate table5 ... -o ablation/table5
    python benchmarks/ablation.py ablation/table5/ablation.json --name "3,600 photos" --json OUT
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from quality import machine, today


def main() -> None:
    """Copy them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("figures", type=Path, help="ablation.json")
    parser.add_argument("--name", required=True, help="what the photos are")
    parser.add_argument("--json", type=Path, required=True, help="where to")
    arguments = parser.parse_args()
    figures = json.loads(arguments.figures.read_text(encoding="utf-8"))
    result = {**figures, "name": arguments.name, "date": today(), "machine": machine()}
    arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
