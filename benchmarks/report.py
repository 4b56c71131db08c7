"""Tables of benchmarks/RESULTS.md and README.md from the JSON files of the other scripts.

::

    python benchmarks/report.py benchmarks/results/*.json benchmarks/released-*.json

RESULTS.md is written anew. In README.md only what stands between ``<!-- results:start -->`` and
``<!-- results:end -->`` changes. Every figure comes from the JSON files.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import report_nano
import report_parts
import report_speed
from report_parts import FAMILIES, spread, table

#: kind of a file -> heading and writer of its section, in the order of the page
SECTIONS = {**report_nano.SECTIONS, **report_speed.SECTIONS, **report_parts.SECTIONS}

HERE = Path(__file__).resolve().parent
START, END = "<!-- results:start -->", "<!-- results:end -->"
MODES = {
    "stream": "files to tags (`Tagger.stream`)",
    "model": "model only (`Tagger.score`)",
    "baseline": "plain loop",
}


def read_figures(
    paths: Sequence[Path],
) -> tuple[list[dict[str, Any]], dict[str, Any] | None, list[dict[str, Any]], list[dict[str, Any]]]:
    """Figures of the photo sets in the order of ``paths``, of the speed if there, of released.py,
    and of all other scripts.

    Raises:
        SystemExit: a file is something else, there are two of speed, or the photo sets are of two
            models; speed may be of an earlier version, which the pages then say
    """
    sets: list[dict[str, Any]] = []
    speeds: list[dict[str, Any]] = []
    released: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    lists = {"quality": sets, "speed": speeds, "released": released}
    for path in paths:
        figures = json.loads(path.read_text(encoding="utf-8"))
        kind = figures.get("kind") if isinstance(figures, dict) else None
        if kind not in lists and kind not in SECTIONS:
            raise SystemExit(f"{path}: not written by a script of this folder")
        lists.get(kind, others).append(figures)
    models = sorted({figures["model"] for figures in sets or speeds})
    if len(models) != 1:
        raise SystemExit(f"expected figures of one model, found {', '.join(models) or 'none'}")
    if len(speeds) > 1:
        raise SystemExit("expected one file of speed.py, found several")
    return sets, speeds[0] if speeds else None, released, others


def percent(value: float | None) -> str:
    """52.3, without the sign; a dash where nothing is defined."""
    return "–" if value is None else f"{100 * value:.1f}"


def with_interval(figures: dict[str, Any]) -> str:
    """52.3 (49.8–54.9)."""
    low, high = figures["interval"]
    return f"{percent(figures['map'])} ({percent(low)}–{percent(high)})"


def describe_machine(about: dict[str, Any]) -> str:
    """One line."""
    return (
        f"{about['cores']} CPU cores ({about['cpu']}), {about['system']}, "
        f"Python {about['python']}, torch {about['torch']}, Pillow {about['pillow']}"
    )


def describe_photos(photos: dict[str, Any]) -> str:
    """One phrase."""
    made = ", made from scikit-image's sample photos" if photos["made_by_script"] else ""
    return (
        f"{photos['count']} photos of {photos['median_width']:,} x {photos['median_height']:,} "
        f"pixels ({photos['mean_bytes'] / 1000:,.0f} kB on average{made})"
    )


def readme_block(sets: Sequence[dict[str, Any]], speed: dict[str, Any] | None) -> str:
    """The tables of README.md."""
    parts = []
    if sets:
        rows = [
            [item["set"], f"{item['photos']:,}", f"{item['tags']:,}", with_interval(item)]
            for item in sets
        ]
        parts.append(table(["set", "photos", "tags asked", "mAP, % (95 % interval)"], rows))
    if speed is not None:
        parts.append(_readme_speed(speed))
    model = (sets[0] if sets else speed or {})["model"]
    if speed is not None and speed["model"] != model:
        model += f" (speed and memory: {speed['model']})"
    parts.append(f"Model {model}; details in [benchmarks/RESULTS.md](benchmarks/RESULTS.md).")
    return "\n\n".join(parts)


def _readme_speed(speed: dict[str, Any]) -> str:
    """Built-in tags (else the first list) at the first batch size, a column for each dtype."""
    batch_size = speed["cases"][0]["batch_size"]
    tags = min((case["tags"] for case in speed["cases"]), key=lambda name: name != "built-in")
    chosen = {
        (case["mode"], case["dtype"]): case
        for case in speed["cases"]
        if case["tags"] == tags and (case["mode"] == "baseline" or case["batch_size"] == batch_size)
    }
    dtypes = list(dict.fromkeys(dtype for _, dtype in chosen))
    streams = [chosen["stream", dtype] for dtype in dtypes]
    loops = [chosen["baseline", dtype] for dtype in dtypes]
    rows = [
        ["images/s, files to tags", *(spread(case["images_per_second"]) for case in streams)],
        ["images/s, plain loop", *(spread(case["images_per_second"]) for case in loops)],
        ["times the plain loop", *(spread(case["speed_up"]) for case in streams)],
        ["peak memory, MB", *(f"{case['peak_memory_mb']['max']:.0f}" for case in streams)],
    ]
    about = speed["machine"]
    return (
        table([f"{about['cores']} CPU cores, {streams[0]['num_tags']:,} tags", *dtypes], rows)
        + f"\n\n{describe_photos(speed['photos'])}; {about['cpu']}, torch {about['torch']}. "
        "Median of "
        f"{speed['repeats']} runs (lowest–highest). The plain loop reads one photo at a time at "
        "full size and computes the label queries for each, as the public research code does."
    )


def results_page(
    sets: Sequence[dict[str, Any]],
    speed: dict[str, Any] | None,
    released: Sequence[dict[str, Any]] = (),
    others: Sequence[dict[str, Any]] = (),
) -> str:
    """RESULTS.md."""
    parts = [
        "# Benchmark results",
        "Written by `benchmarks/report.py` from the JSON files of the other scripts; do not edit. "
        "How to repeat them: [README.md](README.md).",
    ]
    if sets:
        parts += ["## Quality", *_quality_parts(sets)]
    if speed is not None:
        parts += ["## Speed and memory", *_speed_parts(speed)]
    if released:
        parts += ["## Released models", *_released_parts(released)]
    for kind, (heading, write) in SECTIONS.items():
        found = [figures for figures in others if figures["kind"] == kind]
        parts += [f"## {heading}"] if found else []
        for figures in found:
            parts += write(figures)
    return "\n\n".join(parts) + "\n"


def _quality_parts(sets: Sequence[dict[str, Any]]) -> list[str]:
    head = ["set", "photos", "tags asked", "of them built in", "without a photo"]
    head += ["mAP, % (95 % interval)", "mAP with these as 0", "best micro F1"]
    head += ["top-1", "recall@15"]
    rows = [
        [
            item["set"],
            f"{item['photos']:,}",
            f"{item['tags']:,}",
            f"{item['tags_built_in']:,}",
            f"{len(item['without_positives']):,}",
            with_interval(item),
            percent(item["map_empty_as_zero"]),
            percent(item["best_micro_f1"]["f1"]),
            percent(item.get("top1")),
            percent(item.get("recall_at_15")),
        ]
        for item in sets
    ]
    notes = [
        f"- {item['set']}: {item['model']}, {item['dtype']} on {item['device']}, {item['date']}; "
        f"{describe_machine(item['machine'])}"
        + (f"; {item['unreadable']} photos could not be read" if item["unreadable"] else "")
        for item in sets
    ]
    text = (
        "mAP is the mean over the tags that have photos in the set; the public research code "
        "counts the others as 0 (next column). Intervals: bootstrap over photos, "
        f"{sets[0]['resamples']:,} resamples. All figures in percent."
    )
    return [table(head, rows), text, "\n".join(notes)]


def _speed_parts(speed: dict[str, Any]) -> list[str]:
    head = ["what", "dtype", "tags", "batch", "images/s", "times the plain loop", "peak memory, MB"]
    rows = [
        [
            MODES[case["mode"]],
            case["dtype"],
            f"{case['num_tags']:,}",
            str(case["batch_size"]),
            spread(case["images_per_second"]),
            spread(case["speed_up"]) if case["speed_up"] else "",
            "" if case["mode"] == "model" else spread(case["peak_memory_mb"], 0),
        ]
        for case in speed["cases"]
    ]
    text = (
        f"{speed['model']}, {speed['date']}, {describe_machine(speed['machine'])}; "
        f"{speed['cases'][0]['threads']} torch threads"
        f"{_others(speed)}. {describe_photos(speed['photos'])}. "
        f"Median of {speed['repeats']} runs (lowest–highest), each in a process of its own whose "
        "peak memory is given, Python and torch included. The plain loop reads one photo at a time "
        "at full size and computes the label queries for each."
    )
    return [table(head, rows), text]


def _released_parts(released: Sequence[dict[str, Any]]) -> list[str]:
    head = ["model", "dtype", "parameters", "weights, MB", "added by loading, MB (times weights)"]
    head += ["added by the first image, MB", "most resident, MB", "images/s"]
    head += ["images per second of processor time"]
    rows = []
    for item in released:
        for dtype in ("float32", "bfloat16"):
            one = item[dtype]
            memory = [f"{one[key] / 1e6:,.0f}" for key in ("weights", "load_peak_anonymous")]
            rows.append(
                [
                    FAMILIES[item["family"]],
                    dtype,
                    f"{item['convert']['parameters']:,}",
                    memory[0],
                    f"{memory[1]} ({one['load_ratio']:.2f})",
                    f"{one['first_image_peak_anonymous'] / 1e6:,.0f}",
                    f"{one['peak_rss'] / 1e6:,.0f}",
                    f"{one['images_per_s']:.2f}",
                    f"{one['images_per_cpu_s']:.2f}",
                ]
            )
    first = released[0]
    text = (
        "Checkpoints of full size and of the released layout, with random weights; "
        f"{first['date']}, {describe_machine(first['machine'])}; {first['float32']['threads']} "
        "torch threads. Weights are mapped from the file: memory that is added is anonymous "
        "memory; the most resident includes mapped pages, which are given back when memory is "
        "short. Captions are not part of the speed. RAM++'s 233,835 descriptions are part of its "
        "weights, not of its parameters."
    )
    notes = [_released_note(item) for item in released]
    return [table(head, rows), "\n".join(notes), text]


def _released_note(item: dict[str, Any]) -> str:
    convert = item["convert"]
    excused = sum(convert["keys_excused"].values())
    return (
        f"- {FAMILIES[item['family']]}: {item['make']['keys']:,} keys in the checkpoint, "
        f"{convert['keys_used']:,} used and {excused} excused; converted in "
        f"{convert['convert_s']:.1f} s with {convert['convert_peak_anonymous'] / 1e6:,.0f} MB; "
        "between the two types no score differs by more than "
        f"{item['compare']['max_score_difference']:.4f}"
    )


def _others(speed: dict[str, Any]) -> str:
    cores = speed["cores_busy_before"]
    return "" if cores is None else f", other programs kept {cores:.1f} cores busy"


def replace_block(text: str, block: str) -> str:
    """``text`` with ``block`` between the two markers.

    Raises:
        SystemExit: the markers are not there once each, in order
    """
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end or START in rest or END in after:
        raise SystemExit(f"expected one {START} and after it one {END}")
    return f"{before}{START}\n{block}\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("figures", type=Path, nargs="+", help="JSON files; sets in table order")
    parser.add_argument("--readme", type=Path, default=HERE.parent / "README.md")
    parser.add_argument("--results", type=Path, default=HERE / "RESULTS.md")
    options = parser.parse_args(arguments)
    sets, speed, released, others = read_figures(options.figures)
    readme = options.readme.read_text(encoding="utf-8")
    readme = replace_block(readme, readme_block(sets, speed))
    options.results.write_text(results_page(sets, speed, released, others), encoding="utf-8")
    options.readme.write_text(readme, encoding="utf-8")
    print(f"wrote {options.results} and the tables of {options.readme}")


if __name__ == "__main__":
    main()
