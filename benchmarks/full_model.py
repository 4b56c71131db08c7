"""RAM and RAM++ in full size, from decoded picture to tags, beside the public research code.

::

    python benchmarks/full_model.py --reference recognize-anything/ \\
        --reference-python old/bin/python --json OUT.json
    python benchmarks/full_model.py --folder MADE --json OUT.json  # keeps the 4 GB it makes there
    python benchmarks/full_model.py --folder MADE --other ggml=./worker --json OUT.json

Swin-L at 384, 4,585 tags, one picture at a time, random weights (the released ones are not needed
for speed). Every way is a process of its own; their passes alternate, one at a time, in an order
that is turned round in every round. A ratio is of one round.

**Equal tags.** For weights without meaning every threshold is arbitrary, so the tags compared are
the best 46 of each picture (1 %): which part of the reference's is among a way's own. The random
query projection is made 30 times as large, since else all tags would look alike to the network.
With the cascade, tags that were not asked do not count: which ones it would lose is measured with
real weights by `cascade.py`.

**Other engines.** ``--other NAME=PROGRAM`` measures any program that is called and answers as
`full_worker.py`: the folder has the weights in the released form (``released.pth``).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from quality import machine, today
from released import FAMILIES, convert, make
from rounds import in_turn, spread
from speed import cores_busy

WORKER = Path(__file__).with_name("full_worker.py")
#: the first passes put weights in order
NUM_WARM_UP = 2
#: best tags of a picture that are compared
NUM_COMPARED = 46
QUERY_FACTOR = 30


@dataclass(frozen=True, kw_only=True)
class Way:
    """One thing that is measured."""

    name: str
    side: str
    dtype: str
    #: tags that a cascade asks for
    kept: int | None = None
    #: of another engine
    program: str | None = None


def ways(num_tags: int, *, reference: bool, others: Sequence[str] = ()) -> list[Way]:
    """What is measured; others are NAME=PROGRAM."""
    found = [
        Way(name="anytag, float32", side="anytag", dtype="float32"),
        Way(name="anytag, bfloat16", side="anytag", dtype="bfloat16"),
    ]
    for part in (0.4, 0.1):
        name = f"anytag, bfloat16, cascade of {part:.0%}"
        kept = round(part * num_tags)
        found.append(Way(name=name, side="anytag", dtype="bfloat16", kept=kept))
    if reference:
        found = [
            Way(name="public code, float32", side="reference", dtype="float32"),
            Way(name="public code, bfloat16 (autocast)", side="reference", dtype="bfloat16"),
            *found,
        ]
    for one in others:
        name, _, program = one.partition("=")
        found.append(Way(name=name, side="other", dtype="", program=program))
    return found


def prepare(folder: Path, family: str, *, small: bool, num_pictures: int) -> None:
    """Checkpoint, model directory and pictures, where they are not there yet."""
    import torch

    from anytag import Tagger
    from anytag.evaluation.timing import made_photos

    if not (folder / "model").is_dir():
        make(folder, family, small=small)
        path = folder / "released.pth"
        saved = torch.load(path)
        saved["model"]["wordvec_proj.weight"] *= QUERY_FACTOR
        torch.save(saved, path)
        convert(folder, family)
    tagger = Tagger.from_pretrained(folder / "model", device="cpu")
    photos = made_photos(num_pictures)
    np.save(folder / "pixels.npy", np.stack([tagger.load(photo).pixels for photo in photos]))


class Worker:
    """A running `full_worker.py`."""

    def __init__(self, process: subprocess.Popen[str], logits: Path) -> None:
        self._process, self._logits = process, logits
        self._read()

    def take(self, picture: int) -> dict[str, Any]:
        """One pass; the answer has ``logits`` too."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{picture}\n")
        self._process.stdin.flush()
        return self._read() | {"logits": np.load(self._logits)}

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args}: ended without an answer; see above")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def open_worker(way: Way, folder: Path, options: argparse.Namespace) -> Iterator[Worker]:
    """Start a worker, and end it when the block ends."""
    name = f"way-{abs(hash(way))}"
    threads = str(options.threads)
    command = [str(folder), name, "--family", options.family, "--threads", threads]
    if way.program is not None:
        command = [way.program, *command]
    else:
        python = options.reference_python if way.side == "reference" else sys.executable
        command = [str(python), str(WORKER), *command, "--dtype", way.dtype]
    if way.kept is not None:
        command += ["--kept", str(way.kept)]
    if way.side == "reference":
        command += ["--reference", str(options.reference.resolve())]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
    )
    with process:
        try:
            yield Worker(process, folder / f"{name}.npy")
        except BaseException:
            process.kill()
            raise
        finally:
            assert process.stdin is not None
            process.stdin.close()


def measure(folder: Path, listed: Sequence[Way], options: argparse.Namespace) -> list[Any]:
    """All rounds: for each way, its answers."""
    with ExitStack() as stack:
        workers = [stack.enter_context(open_worker(way, folder, options)) for way in listed]
        for worker in workers:
            for _ in range(NUM_WARM_UP):
                worker.take(0)
        answers: list[list[dict[str, Any]]] = [[] for _ in listed]
        for number, place in in_turn(range(len(listed)), options.rounds):
            answer = workers[place].take(number)
            answers[place].append(answer)
            name, seconds = listed[place].name, answer["seconds"]
            print(f"round {number + 1}: {name} {seconds:.3f}", file=sys.stderr)
    return answers


def agreement(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> dict[str, float]:
    """Of one picture's logits with the first way's, over the tags that were asked."""
    asked = np.flatnonzero(np.isfinite(found))
    found, expected = found[asked], expected[asked]
    best, wanted = (set(np.argsort(-row)[:NUM_COMPARED].tolist()) for row in (found, expected))
    return {
        "max_difference": float(np.abs(found - expected).max()),
        "equal_tags": len(best & wanted) / len(wanted),
    }


def summarise(listed: Sequence[Way], answers: Sequence[list[dict[str, Any]]]) -> list[Any]:
    """Medians and spreads; ratios to the first way and agreement with it, round by round."""
    rows = []
    for way, runs in zip(listed, answers, strict=True):
        pairs = list(zip(runs, answers[0], strict=True))
        same = [agreement(one["logits"], first["logits"]) for one, first in pairs]
        rows.append(
            {
                "name": way.name,
                "kept": way.kept,
                "seconds": spread([one["seconds"] for one in runs]),
                "cpu_seconds": spread([one["cpu_seconds"] for one in runs]),
                "times_first": spread([first["seconds"] / one["seconds"] for one, first in pairs]),
                "peak_memory_mb": runs[-1]["peak_memory_mb"],
                "max_difference": max(one["max_difference"] for one in same),
                "equal_tags": sum(one["equal_tags"] for one in same) / len(same),
            }
        )
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reference", type=Path, metavar="DIR", help="checkout of the public code")
    parser.add_argument("--reference-python", type=Path, default=sys.executable)
    parser.add_argument("--family", default="ram", choices=["ram", "ram_plus"])
    parser.add_argument("--other", action="append", default=[], metavar="NAME=PROGRAM")
    parser.add_argument("--folder", type=Path, help="of an earlier run; else everything is made")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="fewer layers, anytag alone")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    if options.small and options.reference is not None:
        parser.error("--small is of anytag alone")
    if not all("=" in one for one in options.other):
        parser.error("--other: expected NAME=PROGRAM")
    busy = cores_busy()
    with ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        prepare(folder, options.family, small=options.small, num_pictures=options.rounds)
        num_tags = FAMILIES[options.family][1]
        with_reference = options.reference is not None
        listed = ways(num_tags, reference=with_reference, others=options.other)
        answers = measure(folder, listed, options)
    logits = np.stack([one["logits"] for one in answers[0]])
    figures = {
        "kind": "full_model",
        "date": today(),
        "machine": machine(),
        "cores_busy_before": busy,
        "family": options.family,
        "small": options.small,
        "num_tags": num_tags,
        "threads": options.threads,
        "rounds": options.rounds,
        "spread_of_logits": median(logits.std(axis=1).tolist()),
        "rows": summarise(listed, answers),
    }
    for row in figures["rows"]:
        seconds, ratio = row["seconds"]["median"], row["times_first"]["median"]
        print(f"{row['name']:36} {seconds:.3f} s  {ratio:.2f} x")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
