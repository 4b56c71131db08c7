"""Sections of RESULTS.md for the scripts beside quality.py, speed.py and released.py.

One function for each ``kind`` of JSON file: its figures -> Markdown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
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
    return [speed, runs, when(figures, "Parsing in processor time; a million made-up captions.")]


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
    return [table(["learned", "mAP", "gain", "seeds"], rows), when(figures, note)]


def _ablation(figures: Figures) -> list[str]:
    parts = []
    for name, heldout in figures["heldout"].items():
        rows = []
        for case in figures["cases"]:
            found = case["heldout"][name]
            tags = sum(case["num_tags"]) / len(case["num_tags"]) / case["num_photos"]
            rows.append(
                [
                    case["title"],
                    f"{tags:.1f}",
                    _with_deviation(found["mean"], found["deviation"]),
                    _gain(found),
                    case["reference"] or "",
                    _gain(found.get("over_first", {})),
                ]
            )
        about = f"{name}: {heldout['num_photos']} photos, {heldout['num_classes']} classes"
        head = [about, "tags a photo", "mAP", "gain (95 % over photos)", "compared to"]
        head.append(f"over {figures['cases'][0]['case']}")
        parts.append(table(head, rows))
    settings = figures["settings"]
    note = (
        f"{figures['name']}; networks of nano's kind trained anew, {settings['run']['epochs']} "
        f"epochs at {settings['model']['image_size']} pixels, {settings['seeds']} seeds. mAP in "
        "percent on held-out photos' human labels, of the last step; ± is one standard deviation "
        "over seeds; gains are paired by seed; * = all seeds have one sign and the interval "
        "excludes zero."
    )
    return [*parts, when(figures, note)]


def _gain(found: Figures) -> str:
    if "gains" not in found:
        return ""
    low, high = found["gain_interval"]
    gain = _with_deviation(found["gain_mean"], found["gain_deviation"], "+")
    return f"{gain} ({low:+.1f} to {high:+.1f})" + " *" * found["shown"]


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
    return [table(head, rows), when(figures, note)]


def _range(values: Figures | None) -> str:
    """Median (lowest–highest)."""
    if values is None:
        return ""
    return f"{values['median']:.2f} ({values['min']:.2f}–{values['max']:.2f})"


def _range_of(values: Sequence[float]) -> str:
    return _range({"median": median(values), "min": min(values), "max": max(values)})


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
    return [table(head, rows), when(figures, "")]


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
    return [*parts, when(figures, note)]


def _regions(figures: Figures) -> list[str]:
    rows = [
        [name, f"{100 * found['iou']:.1f}", f"{100 * found['centred']:.1f}"]
        for name, found in figures.items()
        if isinstance(found, dict) and "iou" in found
    ]
    head = ["regions", "overlap with the nearest box, %", "centre inside a box, %"]
    note = f"{figures['tags of photos']} tags of photos of COCO128; {figures['model']}."
    return [table(head, rows), when(figures, note)]


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
    return [table(head, rows), when(figures, note)]


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
    return [table(head, rows), when(figures, note)]


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
    return [table(head, rows), when(figures, note)]


def _ray(figures: Figures) -> list[str]:
    names = {
        "one": "one process, all processors",
        "one thread": "one process, one thread",
        "ray": f"Ray, {figures['workers']} workers of one thread",
    }
    rows = [
        [
            names[name],
            f"{way['photos']:,}",
            f"{way['images_per_second']:.1f}",
            f"{way['images_per_processor_second']:.1f}",
            str(way["killed"]),
        ]
        for name, way in figures["ways"].items()
    ]
    head = ["`anytag tag`", "photos", "images/s", "images/s of processor time", "workers killed"]
    compared = []
    for name, ratio, equal in (
        ("one process, all processors", figures["ratio"], figures["equal"]),
        ("one process, one thread", figures["ratio_one_thread"], figures["equal_one_thread"]),
    ):
        if ratio is not None and equal is not None:
            compared.append(
                [
                    name,
                    _ratio(ratio, "seconds"),
                    _ratio(ratio, "processor_seconds"),
                    "yes" if equal["each_once"] else "no",
                    "yes" if equal["same_bytes"] else f"{equal['different_records']:,} differ",
                    f"{equal['most_apart']:g}",
                ]
            )
    against = ["Ray beside", "throughput ratio", "by processor time", "each photo once"]
    against += ["same bytes", "scores apart at most"]
    fixed = figures["fixed"]
    note = (
        f"Photos of {figures['size'][0]} x {figures['size'][1]} pixels in {figures['slices']} "
        "slices, each by every engine in turn; ratios are medians over the slices "
        f"(lowest–highest). A run over two photos takes {fixed['one']['seconds']:.0f} s with one "
        f"process and {fixed['ray']['seconds']:.0f} s with Ray. Load of the machine (waiting and "
        f"running programs) was {figures['loads'][0]:.0f} to {figures['loads'][-1]:.0f}."
    )
    return [table(head, rows), table(against, compared), when(figures, note)]


def _ratio(found: Figures, name: str) -> str:
    low, high = found[f"{name}_min"], found[f"{name}_max"]
    return f"{found[f'{name}_median']:.2f} ({low:.2f}–{high:.2f})"


def _full_model(figures: Figures) -> list[str]:
    first = figures["rows"][0]["cpu_seconds"]["runs"]
    rows = [
        [
            row["name"],
            _range(row["seconds"]),
            _range(row["times_first"]),
            _range(row["cpu_seconds"]),
            _range_of([a / b for a, b in zip(first, row["cpu_seconds"]["runs"], strict=True)]),
            f"{row['peak_memory_mb']:,.0f}",
            f"{row['max_difference']:.1e}",
            f"{100 * row['equal_tags']:.1f}",
        ]
        for row in figures["rows"]
    ]
    head = [FAMILIES[figures["family"]], "seconds a picture", "times the first row",
            "processor seconds", "times the first row", "peak memory, MB",
            "largest logit difference", "equal tags, %"]  # fmt: skip
    note = (
        f"Swin-L at 384, {figures['num_tags']:,} tags, random weights, decoded picture to tags, "
        f"one at a time, {figures['threads']} "
        f"thread{'s' if figures['threads'] > 1 else ''}; "
        f"other programs kept {figures['cores_busy_before']:.1f} cores busy before; "
        f"median of {figures['rounds']} alternating rounds (lowest–highest). Equal tags: of the 46 "
        "best of a picture; the logits' standard deviation over tags is "
        f"{figures['spread_of_logits']:.2f}."
    )
    return [table(head, rows), when(figures, note)]


def _floor(figures: Figures) -> list[str]:
    work = [
        [f"{place}: {part}", f"{value:.2f}"]
        for place in ("encoder", "head", "folded head")
        for part, value in figures[place.replace(" ", "_") + "_gmac"].items()
    ]
    speeds = [[name, f"{value:.0f}"] for name, value in figures["ceilings_gmac_per_s"].items()]
    times = [
        [
            f"{row['part']}, {row['dtype']}",
            f"{row['gmac']:.1f}",
            f"{row['floor']:.3f}",
            f"{row['seconds']:.3f}",
            f"{100 * row['share_of_ceiling']:.0f}",
        ]
        for row in figures["times"]
    ]
    note = f"RAM, Swin-L at 384, 4,585 tags, one picture, {figures['threads']} threads."
    return [
        table(["part", "10^9 multiplications"], work),
        table(["product", "10^9 multiplications a second"], speeds),
        table(
            ["part", "10^9 multiplications", "floor, s", "measured, s", "of the ceiling, %"], times
        ),
        when(figures, note),
    ]


def _tags_cost(figures: Figures) -> list[str]:
    rows = [
        [
            f"{row['tags']:,}, {'in parts' if row['parts'] else 'at once'}, "
            f"batch {row['batch_size']}",
            f"{1000 * row['seconds_per_image']:,.0f}",
            "" if row["added_mb"] is None else f"{row['added_mb']:,.0f}",
            f"{row['label_state_mb']:,.0f}",
        ]
        for row in figures["rows"]
    ]
    head = ["tags", "ms an image", "MB added by the pass", "MB of label state"]
    note = f"RAM's decoder alone, {figures['dtype']}, {figures['threads']} threads."
    return [table(head, rows), "![plot](results/11-tags-cost.svg)", when(figures, note)]


def _cascade(figures: Figures) -> list[str]:
    rows = [
        [
            str(number + 1),
            f"{row['photos']:,}",
            f"{row['audited']:,}",
            f"{row['tags']:,}",
            str(row["lost"]),
            _interval({"value": row["recall"], "interval": row["interval"]}, 2),
            f"{row['mean_kept']:.0f} of {figures['num_tags']:,}",
        ]
        for number, row in enumerate(figures["rows"])
    ]
    head = ["order", "photos", "audited", "final tags of the others", "lost",
            "recall, % (95 % interval)", "tags asked, mean"]  # fmt: skip
    chosen = [
        [
            f"{row['slack']:g}",
            f"{row['tags']:,}",
            str(row["lost"]),
            f"{100 * row['recall']:.3f}",
            f"{100 * row['worst']:.2f}",
            f"{row['mean_kept']:.0f}",
        ]
        for row in figures["chosen"]
    ]
    slacks = ["slack", "final tags", "lost", "recall, %", "in the worst order, %"]
    slacks.append("tags asked, mean")
    first = figures["chosen"][0]
    note = (
        f"{figures['model']}. Below: the slack is chosen on {first['photos']:,} photos that the "
        f"model was trained with, {first['orders']} random orders together: the smallest with "
        f"{100 * figures['target']:g} % and {100 * figures['worst']:g} % in every order. Above: "
        f"slack {figures['slack']:g} on other photos ({', '.join(figures['sets'])}) in random "
        "orders; intervals are Clopper and Pearson's."
    )
    return [table(head, rows), table(slacks, chosen), when(figures, note)]


def _percent_range(found: Figures | None) -> str:
    if found is None:
        return "–"
    low, high = found["range"]
    return f"{100 * found['mean']:.1f} ({100 * low:.1f}–{100 * high:.1f})"


def _interval(found: Figures, digits: int = 1) -> str:
    if found["interval"] is None:
        return "–"
    low, high = found["interval"]
    value, low, high = (f"{100 * part:.{digits}f}" for part in (found["value"], low, high))
    return f"{value} ({low}–{high})"


def _with_deviation(value: float, deviation: float | None, sign: str = "") -> str:
    shown = f"{value:{sign}.2f}"
    return shown if deviation is None else f"{shown} ± {deviation:.2f}"


def spread(values: Figures, digits: int = 1) -> str:
    """Median (lowest–highest)."""
    low, high = (f"{values[key]:.{digits}f}" for key in ("min", "max"))
    middle = f"{values['median']:.{digits}f}"
    return middle if low == high else f"{middle} ({low}–{high})"


def when(figures: Figures, note: str) -> str:
    """A note, the date and the machine."""
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
    "table4": ("Ablation of the model", _ablation),
    "table5": ("Ablation of the data engine", _ablation),
    "engine-planted": ("Data engine: planted faults", _planted),
    "engine-regions": ("Data engine: regions", _regions),
    "engine-audit": ("Audit of labels", _audit),
    "engine-throughput": ("Data engine: throughput", _throughput),
    "explain": ("Explanations", _explain),
    "full_model": ("Full-size RAM", _full_model),
    "floor": ("Full-size RAM: where the work is", _floor),
    "tags_cost": ("Full-size RAM: number of tags", _tags_cost),
    "cascade": ("Cascade", _cascade),
    "ray": ("Many workers: Ray", _ray),
}
