"""Captions per second and memory of the caption parser.

::

    python benchmarks/parse.py                          # captions made here, 1 M of them
    python benchmarks/parse.py --captions FILE --labels tags.txt --json OUT.json

parse
    ``CaptionParser.parse`` alone, after 20,000 captions of warm-up; the median of five rounds, in
    processor seconds (one core), beside seconds of the clock
memory
    resident memory after 100,000 and after all captions, each mode in a process of its own
run
    what ``anytag parse`` does between reading and writing: parsing and writing JSON lines, with 1
    and more processes, in seconds of the clock
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from anytag.cli.parse_batches import ParserSpec, parse_blocks
from anytag.data.captions import Caption
from anytag.labels.labelset import LabelSet, read_tag_list
from anytag.labels.lexicon import load_lexicon
from anytag.labels.parse import CaptionParser

ROOT = Path(__file__).parent.parent
#: words that are drawn for each kind of slot
_DRAWN = 50_000
TEMPLATES = (
    "A {a} {n} and a {n} {g} on the {s} near a {n} .",
    "Two {p} {g} in front of a {a} {n} with a {n} .",
    "A {h} in a {a} {n} {v} a {n} beside the {n} .",
    "{g} {a} {n} on {a} {n} at the {s} , {n} view",
    "The {h} {v} the {n} without a {n} on a {a} {s} .",
    "{n} of a {a} {h} with {p} and a {n} , isolated on white",
    "three {a} {p} {g} over the {n} {n} of the {s}",
    "my {n} and the {a} {n} , {g} at the {s} with no {p} !",
)


def make_captions(count: int, seed: int = 0) -> Iterator[str]:
    """Captions of some twelve words from templates and the counted words of the word table."""
    lexicon = load_lexicon()
    chance = random.Random(seed)
    drawn: dict[str, list[str]] = {}
    for slot, letters in {"n": "oh", "s": "s", "h": "h", "a": "a", "b": "v"}.items():
        options = [
            (word, weight)
            for word in lexicon.words
            for letter, weight in lexicon.options(word).values()
            if letter in letters and weight > 1
        ]
        words, weights = zip(*options, strict=True)
        drawn[slot] = chance.choices(words, weights, k=_DRAWN)
    drawn["v"] = [word + "s" for word in drawn["b"]]
    drawn["g"] = [word.removesuffix("e") + "ing" for word in drawn["b"]]
    drawn["p"] = [word + "s" for word in drawn["n"]]
    for _ in range(count):
        words = [
            drawn[part[1]][int(chance.random() * _DRAWN)] if part[0] == "{" else part
            for part in chance.choice(TEMPLATES).split(" ")
        ]
        yield " ".join(words)


def captions_of(options: argparse.Namespace, count: int) -> Iterator[str]:
    if options.captions is None:
        return make_captions(count)
    lines = options.captions.read_text(encoding="utf-8").splitlines()
    return islice((line for _ in range(count // len(lines) + 1) for line in lines), count)


def make_parser(mode: str, labels: Path) -> CaptionParser:
    if mode == "open":
        return CaptionParser.open()
    if labels.suffix == ".json":
        return CaptionParser.closed(LabelSet.load(labels))
    return CaptionParser.closed(LabelSet.from_names(read_tag_list(labels)))


def speed(options: argparse.Namespace, mode: str) -> dict[str, Any]:
    """Processor and clock seconds for batches that the parser has not seen."""
    parser = make_parser(mode, options.labels)
    texts = list(captions_of(options, 120_000))
    for text in texts[:20_000]:
        parser.parse(text)
    rates, clock_rates = [], []
    for start in range(20_000, 120_000, 20_000):
        part = texts[start : start + 20_000]
        processor, clock = time.process_time(), time.perf_counter()
        for text in part:
            parser.parse(text)
        rates.append(len(part) / (time.process_time() - processor))
        clock_rates.append(len(part) / (time.perf_counter() - clock))
    words = sum(len(text.split()) for text in texts) / len(texts)
    return {
        "mode": mode,
        "words": round(words, 1),
        "captions_per_second": round(median(rates)),
        "range": [round(min(rates)), round(max(rates))],
        "captions_per_clock_second": round(median(clock_rates)),
    }


def resident() -> float:
    """Resident memory in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory(options: argparse.Namespace, mode: str) -> dict[str, Any]:
    """Resident memory as captions go by; run in a process of its own."""
    before = resident()
    parser = make_parser(mode, options.labels)
    made = resident()
    points = {}
    for number, text in enumerate(captions_of(options, options.count), start=1):
        parser.parse(text)
        if number in (100_000, options.count // 2, options.count):
            points[f"{number:,}"] = round(resident(), 1)
    return {"mode": mode, "python": round(before, 1), "made": round(made, 1), **points}


def runs(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Whole batches to JSON lines in several processes."""
    texts = list(captions_of(options, 200_000))
    rows = [Caption(source="a.txt", row=row, text=text) for row, text in enumerate(texts, start=1)]
    results = []
    for processes in options.processes:
        clock = time.perf_counter()
        size = sum(
            len(block.data) for block in parse_blocks(rows, ParserSpec(), processes=processes)
        )
        seconds = time.perf_counter() - clock
        results.append(
            {
                "processes": processes,
                "captions_per_second": round(len(rows) / seconds),
                "megabytes_per_second": round(size / 1e6 / seconds, 1),
            }
        )
    return results


def main() -> None:
    """Command line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--captions", type=Path, help="one a line; repeated as needed")
    arguments.add_argument("--labels", type=Path, default=ROOT / "tests/gold/labels.json")
    arguments.add_argument("--count", type=int, default=1_000_000)
    arguments.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    arguments.add_argument("--json", type=Path)
    arguments.add_argument("--memory-of", choices=["open", "closed"], help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.memory_of:
        print(json.dumps(memory(options, options.memory_of)))
        return
    result: dict[str, Any] = {"load": os.getloadavg()[0]}
    result["parse"] = [speed(options, mode) for mode in ("open", "closed")]
    result["run"] = runs(options)
    result["memory"] = []
    for mode in ("open", "closed"):
        command = [sys.executable, __file__, *sys.argv[1:], "--memory-of", mode]
        ended = subprocess.run(command, check=True, capture_output=True, text=True)
        result["memory"].append(json.loads(ended.stdout))
    text = json.dumps(result, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
