"""Sections of RESULTS.md for the scripts beside quality.py, speed.py and released.py.

One function for each ``kind`` of JSON file: its figures -> Markdown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Figures = dict[str, Any]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are aligned to the right."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _parse(figures: Figures) -> list[str]:
    speed = table(
        ["mode", "words", "captions/s of one core", "slowest–fastest round", "first 20,000",
         "MB at 100,000", "MB at 1 M"],
        [
            [
                item["mode"],
                f"{item['words']:.1f}",
                f"{item['captions_per_second']:,}",
                "–".join(f"{value:,}" for value in item["range"]),
                f"{item['first_20000']:,}",
                f"{item['memory_mb']['100,000']:.0f}",
                f"{item['memory_mb']['1,000,000']:.0f}",
            ]
            for item in figures["parse"]
        ],
    )  # fmt: skip
    runs = table(
        ["`anytag parse FILE -o OUT`", "captions/s of the clock", "of processor time"],
        [
            [
                f"{item['processes']} process{'es' if item['processes'] > 1 else ''}",
                f"{item['captions_per_clock_second']:,}",
                f"{item['captions_per_processor_second']:,}",
            ]
            for item in figures["run"]
        ],
    )
    return [speed, runs, _when(figures, "Parsing in processor time; a million made-up captions.")]


def _joint(figures: Figures) -> list[str]:
    rows = []
    for case in figures["cases"]:
        rows.append(
            [
                " + ".join(
                    ["tagging"]
                    + ["captioning"] * case["captioning"]
                    + ["distillation"] * case["distillation"]
                ),
                _with_deviation(case["mean"], case["deviation"]),
                ""
                if not case["gain"]
                else _with_deviation(case["gain"], case["gain_deviation"], "+"),
                ", ".join(f"{value:.1f}" for value in case["map"]),
            ]
        )
    settings = figures["settings"]
    note = (
        f"{settings['name']}; networks of nano's kind trained anew, {settings['epochs']} epochs at "
        f"{settings['image_size']} pixels, the backbone's last {settings['trainable_blocks']} "
        f"blocks trained; teacher {settings['teacher']}. mAP in percent on held-out photos' human "
        "labels, of the last step; gains are paired by seed; ± is one standard deviation."
    )
    return [table(["learned", "mAP", "gain", "seeds"], rows), _when(figures, note)]


def _train_step(figures: Figures) -> list[str]:
    rows = []
    for case in figures["cases"]:
        for name, found in case["sides"].items():
            rows.append(
                [
                    f"{case['family']}, {case['backbone']} at {case['image_size']}, "
                    f"batch {case['batch_size']}: {name}",
                    f"{found['seconds']:.2f}",
                    "" if found.get("ratio") is None else f"{found['ratio']:.2f}",
                ]
            )
    return [table(["training step", "seconds", "times the public code"], rows), _when(figures, "")]


def _loader(figures: Figures) -> list[str]:
    rows = [
        [
            item["photos"],
            str(item["workers"]),
            f"{item['images_per_second']:.0f}",
            f"{item['plain_images_per_second']:.0f}",
            f"{item['ratio']:.2f}",
            f"{item['times_the_fastest_step']:.1f}",
        ]
        for item in figures["loading"]
    ]
    head = ["photos", "workers", "images/s", "plain loop", "ratio", "times nano's training step"]
    return [table(head, rows), _when(figures, "")]


def _with_deviation(value: float, deviation: float | None, sign: str = "") -> str:
    shown = f"{value:{sign}.2f}"
    return shown if deviation is None else f"{shown} ± {deviation:.2f}"


def _when(figures: Figures, note: str) -> str:
    machine = figures["machine"]
    about = machine
    if isinstance(machine, dict):
        system = str(machine.get("system", "")).split("-")[0]
        about = (
            f"{machine['cores']} CPU cores ({machine['cpu']}), {system}, Python {machine['python']}"
        )
    return " ".join(part for part in (note, f"{figures['date']}, {about}.") if part)


#: kind -> heading and the function that writes its section, in the order of the page
SECTIONS: dict[str, tuple[str, Callable[[Figures], list[str]]]] = {
    "parse": ("Captions to tags", _parse),
    "loader": ("Loading training data", _loader),
    "train_step": ("Training steps", _train_step),
    "joint_training": ("Joint training", _joint),
}
