"""Sections of RESULTS.md for the scripts beside quality.py, speed.py and released.py.

One function for each ``kind`` of JSON file: its figures -> Markdown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Figures = dict[str, Any]

FAMILIES = {"ram": "RAM", "ram_plus": "RAM++", "tag2text": "Tag2Text"}


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
        sizes = (
            f"{FAMILIES[case['family']]}, {case['backbone']} at {case['image_size']}, "
            f"batch {case['batch_size']}, {case['num_tags']:,} tags"
        )
        for row in case["rows"]:
            side = "anytag" if row["side"] == "anytag" else "public code"
            rows.append(
                [
                    f"{sizes}: {side}, {row['dtype']}",
                    _range(row["seconds"]),
                    _range(row["cpu_seconds"]),
                    _range(row["times_reference"]),
                    _range(row["times_reference_cpu"]),
                    f"{row['peak_memory_mb']:,.0f}",
                ]
            )
    head = ["training step", "seconds", "processor seconds", "times the public code's steps/s"]
    head += ["by processor time", "peak memory, MB"]
    note = (
        "Forward with all losses, backward and AdamW on random weights and inputs; median of "
        f"{figures['rounds']} rounds (lowest–highest), {figures['cases'][0]['threads']} torch "
        f"threads; other programs kept {figures['cores_busy_before']} cores busy before."
    )
    return [table(head, rows), _when(figures, note)]


def _range(values: Figures | None) -> str:
    """Median (lowest–highest)."""
    if values is None:
        return ""
    return f"{values['median']:.2f} ({values['min']:.2f}–{values['max']:.2f})"


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


def _planted(figures: Figures) -> list[str]:
    parts = []
    for question in ("removed", "restored"):
        rows = [
            [method, *(_interval(found[name]) for name in ("precision", "recall", "f1"))]
            for method, found in figures[question].items()
        ]
        parts.append(table([question, "precision", "recall", "F1"], rows))
    note = (
        f"{' and '.join(figures['sets'])}: "
        f"{figures['photos']} photos, {figures['tags']} tags, {figures['labels']:,} labels: "
        f"{figures['dropped']:.0f} were dropped and {figures['added']:.0f} wrong ones added, "
        f"{figures['seeds']} times; {figures['model']}. Percent (95 % interval over photos)."
    )
    return [*parts, _when(figures, note)]


def _regions(figures: Figures) -> list[str]:
    rows = [
        [name, f"{100 * found['iou']:.1f}", f"{100 * found['centred']:.1f}"]
        for name, found in figures.items()
        if isinstance(found, dict) and "iou" in found
    ]
    head = ["regions", "overlap with the nearest box, %", "centre inside a box, %"]
    note = f"{figures['tags of photos']} tags of photos of COCO128; {figures['model']}."
    return [table(head, rows), _when(figures, note)]


def _throughput(figures: Figures) -> list[str]:
    rows = [
        [
            name,
            f"{step['records_per_second']:,.0f}",
            f"{step['bytes_per_record']:.1f}",
            f"{step['peak_mb']:,.0f}",
        ]
        for name, step in figures["steps"].items()
    ]
    note = (
        f"{figures['records']:,} made-up records with a stand-in for the model, so the machinery "
        f"alone; {figures['records_per_second']:,.0f} records a second of processor time in all."
    )
    head = ["step", "records/s of processor time", "memory slope, bytes a record", "peak, MB"]
    return [table(head, rows), _when(figures, note)]


def _audit(figures: Figures) -> list[str]:
    columns = (
        ("missing", "average_precision"),
        ("missing", "precision_at_50"),
        ("wrong", "average_precision"),
        ("wrong", "precision_at_20"),
        ("both", "average_precision"),
        ("both", "precision_at_50"),
    )
    rows = [
        [method, *(_percent_range(found[question].get(name)) for question, name in columns)]
        for method, found in figures["methods"].items()
    ]
    head = ["ranking", *(f"{question}: {name.replace('_', ' ')}" for question, name in columns)]
    counts = figures["counts"]
    note = (
        f"{figures['photos']} photos, {figures['tags']} tags, {figures['labels']:,} labels; "
        f"{counts['dropped']:.0f} dropped and {counts['added']:.0f} wrong ones added, "
        f"{figures['seeds']} times; {figures['model']}. Percent, mean (lowest–highest). The rules "
        "of audit were chosen on these photos."
    )
    return [table(head, rows), _when(figures, note)]


def _explain(figures: Figures) -> list[str]:
    columns = ("pointing", "pointing, small", "pointing, found", "iou")
    rows = [
        [method, *(_interval(found[name]) for name in columns)]
        for method, found in figures["methods"].items()
    ]
    head = ["map", "pointing game", f"small objects ({figures['small']})",
            f"tags found ({figures['found']})", "overlap of boxes"]  # fmt: skip
    note = (
        f"{figures['pairs']} tags of {figures['photos']} photos of COCO128; {figures['model']}. "
        "Percent (95 % interval); small: the tag's boxes cover under a quarter of the photo."
    )
    return [table(head, rows), _when(figures, note)]


def _percent_range(found: Figures | None) -> str:
    if found is None:
        return "–"
    low, high = found["range"]
    return f"{100 * found['mean']:.1f} ({100 * low:.1f}–{100 * high:.1f})"


def _interval(found: Figures) -> str:
    if found["interval"] is None:
        return "–"
    low, high = found["interval"]
    return f"{100 * found['value']:.1f} ({100 * low:.1f}–{100 * high:.1f})"


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
    "engine-planted": ("Data engine: planted faults", _planted),
    "engine-regions": ("Data engine: regions", _regions),
    "engine-audit": ("Audit of labels", _audit),
    "engine-throughput": ("Data engine: throughput", _throughput),
    "explain": ("Explanations", _explain),
}
