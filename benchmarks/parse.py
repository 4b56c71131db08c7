"""Captions per second and memory of the caption parser.

::

    python benchmarks/parse.py                          # captions made here, 1 M of them
    python benchmarks/parse.py --captions FILE --labels tags.txt --json OUT.json

The captions made here have 12 words on average; of a file, ``--words N`` takes captions in such
numbers that they have N.

parse
    ``CaptionParser.parse`` alone, each mode in a process of its own, all captions in a row: the
    first 20,000, which bring most of the words, and the median of the rounds of 20,000 after
    them, in processor seconds; ``all`` is all of them, the first included
memory
    resident memory of that process when the parser is made, after 100,000, half of the captions,
    and all
run
    ``anytag parse FILE -o OUT`` as a user runs it, from a text file to JSON lines, start of Python
    included, with 1 and more processes: seconds of the clock, and of the processor in all
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from quality import machine, today

from anytag.labels.labelset import LabelSet, read_tag_list
from anytag.labels.lexicon import load_lexicon
from anytag.labels.parse import CaptionParser

ROOT = Path(__file__).parent.parent
#: words that are drawn for each kind of slot
_DRAWN = 50_000
#: captions that are timed at once
_ROUND = 20_000
#: 96 words and marks in all
TEMPLATES = (
    "A {a} {n} and a {n} {g} on the {s} .",
    "Two {p} {g} in front of a {a} {n} .",
    "A {h} in a {a} {n} {v} a {n} beside the {n} .",
    "{g} {a} {n} on {a} {n} at the {s} , {n} view",
    "The {h} {v} the {n} without a {n} on a {a} {s} .",
    "{n} of a {a} {h} with {p} and a {n} , isolated on white",
    "three {a} {p} {g} over the {n} {n} of the {s}",
    "my {n} and the {a} {n} , {g} at the {s} !",
)


def make_captions(count: int, seed: int = 0) -> Iterator[str]:
    """Captions of twelve words on average: templates with counted words of the word table."""
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
    if options.words is not None:
        lines = with_mean(lines, options.words)
    return islice((line for _ in range(count // len(lines) + 1) for line in lines), count)


def with_mean(lines: Sequence[str], words: float) -> list[str]:
    """Lines in their order, left out where they would take the mean further from ``words``."""
    kept: list[str] = []
    total = 0
    for line in lines:
        num_words = len(line.split())
        surplus = total - words * len(kept)
        if surplus * (num_words - words) <= 0:
            kept.append(line)
            total += num_words
    return kept


def make_parser(mode: str, labels: Path) -> CaptionParser:
    if mode == "open":
        return CaptionParser.open()
    if labels.suffix == ".json":
        return CaptionParser.closed(LabelSet.load(labels))
    return CaptionParser.closed(LabelSet.from_names(read_tag_list(labels)))


def resident() -> float:
    """Resident memory in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def rounds_of(captions: Iterator[str]) -> Iterator[list[str]]:
    while texts := list(islice(captions, _ROUND)):
        yield texts


def measure(options: argparse.Namespace, mode: str) -> dict[str, Any]:
    """Speed and memory of one mode; run in a process of its own."""
    before = resident()
    parser = make_parser(mode, options.labels)
    memory = {"python": round(before, 1), "made": round(resident(), 1)}
    seconds: list[float] = []
    number = words = 0
    for texts in rounds_of(captions_of(options, options.count)):
        start = time.process_time()
        for text in texts:
            parser.parse(text)
        seconds.append((time.process_time() - start) / len(texts))
        words += sum(len(text.split()) for text in texts)
        number += len(texts)
        if number in (100_000, options.count // 2, options.count):
            memory[f"{number:,}"] = round(resident(), 1)
    later = seconds[1:] or seconds
    return {
        "mode": mode,
        "words": round(words / number, 2),
        "captions_per_second": round(1 / median(later)),
        "range": [round(1 / max(later)), round(1 / min(later))],
        "first_20000": round(1 / seconds[0]),
        "all": round(len(seconds) / sum(seconds)),
        "memory_mb": memory,
    }


def children_seconds() -> float:
    """Processor seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def runs(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """The command itself, in turns with 1 and more processes; the fastest of each."""
    source, out = folder / "captions.txt", folder / "tags.jsonl"
    with source.open("w", encoding="utf-8") as file:
        file.writelines(text + "\n" for text in captions_of(options, options.run_count))
    found: dict[int, tuple[float, float]] = {}
    for processes in options.processes * options.repeats:
        command = [sys.executable, "-m", "anytag", "parse", str(source), "-o", str(out)]
        command += ["--overwrite", "--quiet", "--processes", str(processes)]
        before, clock = children_seconds(), time.perf_counter()
        subprocess.run(command, check=True)
        took = (time.perf_counter() - clock, children_seconds() - before)
        found[processes] = min(found.get(processes, took), took)
    return [
        {
            "processes": processes,
            "captions": options.run_count,
            "captions_per_clock_second": round(options.run_count / clock),
            "captions_per_processor_second": round(options.run_count / processor),
            "output_mb": round(out.stat().st_size / 1e6),
        }
        for processes, (clock, processor) in found.items()
    ]


def main() -> None:
    """Command line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--captions", type=Path, help="one a line; repeated as needed")
    arguments.add_argument("--labels", type=Path, default=ROOT / "tests/gold/labels.json")
    arguments.add_argument("--count", type=int, default=1_000_000)
    arguments.add_argument("--words", type=float, help="mean words of the captions of a file")
    arguments.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    arguments.add_argument("--run-count", type=int, default=1_000_000, help="captions of a run")
    arguments.add_argument("--repeats", type=int, default=2, help="runs of each")
    arguments.add_argument("--json", type=Path)
    arguments.add_argument("--mode", choices=["open", "closed"], help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.mode:
        print(json.dumps(measure(options, options.mode)))
        return
    about = {**machine(), "load_before": round(os.getloadavg()[0], 2)}
    result: dict[str, Any] = {"kind": "parse", "date": today(), "machine": about, "parse": []}
    for mode in ("open", "closed"):
        command = [sys.executable, __file__, *sys.argv[1:], "--mode", mode]
        ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        result["parse"].append(json.loads(ended.stdout))
    with tempfile.TemporaryDirectory() as folder:
        result["run"] = runs(options, Path(folder))
    text = json.dumps(result, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
