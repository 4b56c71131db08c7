"""Sections of RESULTS.md on large photos, exported models, the server and fine-tuning.

One function for each ``kind`` of JSON file: its figures -> Markdown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from report_parts import FAMILIES, spread, table, when

Figures = dict[str, Any]

_SETS = {"these": "the timed photos", "compare": "other large photos"}


def _busy(figures: Figures) -> str:
    cores = figures["cores_busy_before"]
    return "" if cores is None else f"; other programs kept {cores:.1f} cores busy before"


def _large(figures: Figures) -> list[str]:
    plain = {
        (case["dtype"], case["cores"]): case["images_per_second"]
        for case in figures["cases"]
        if case["mode"] == "plain"
    }
    rows = [
        [
            f"{case['dtype']}, {case['cores']} core{'s' if case['cores'] > 1 else ''}",
            spread(case["images_per_second"]),
            spread(plain[case["dtype"], case["cores"]]),
            spread(case["times_plain"]),
        ]
        for case in figures["cases"]
        if case["mode"] == "stream"
    ]
    steps = [[name, f"{value:.1f}"] for name, value in figures["steps_ms"].items()]
    tags = [
        [
            f"{_SETS[name]} ({found['compared']})",
            f"{found['changed']} of {found['given']}",
            str(found["photos_changed"]),
            f"{found['max_score_difference']:.3f}",
            f"{found['mean_pixel_difference']:.2f}",
        ]
        for name, found in figures["tags"].items()
    ]
    photos = figures["photos"]
    made = ", made from scikit-image's, quality 95, 4:2:0" if photos["made_by_script"] else ""
    note = (
        f"{figures['model']}, {photos['count']} JPEGs of {photos['median_width']:,} x "
        f"{photos['median_height']:,} ({photos['mean_bytes'] / 1e6:.1f} MB on average{made}). The "
        "plain loop decodes at full size and resizes with Pillow, then runs the same network on "
        "one photo at a time. Median of "
        f"{figures['repeats']} rounds (lowest–highest){_busy(figures)}."
    )
    return [
        table(["files to tags", "images/s", "plain loop", "times the plain loop"], rows),
        table(["step of reading one photo", "processor ms"], steps),
        table(
            ["reduced instead of full decoding", "tags changed", "photos with a change",
             "largest difference of a probability", "mean difference of a pixel (of 255)"],
            tags,
        ),
        when(figures, note),
    ]  # fmt: skip


def _export(figures: Figures) -> list[str]:
    rows = []
    for name, row in figures["engines"].items():
        parity = row["parity"]
        rows.append(
            [
                name,
                spread(row["images_per_second"]),
                spread(row["ratio_to_torch"], 2),
                f"{parity['max_logit_difference']:.2g}",
                f"{parity['num_tags_changed']:,} of {parity['num_given']:,}",
                f"{parity['num_images_changed']:,} of {parity['num_images']:,}",
                f"{100 * row['map']:.2f}" if "map" in row else "–",
            ]
        )
    head = ["runs in", "images/s", "times torch", "largest difference of a logit", "tags changed"]
    head += ["photos with a change", "mAP, %"]
    about = {row.get("map_photos") for row in figures["engines"].values()} - {None}
    where = f" mAP on {about.pop()} photos." if about else ""
    note = (
        f"{figures['model']}, {figures['num_tags']:,} tags, {figures['threads']} "
        f"thread{'s' if figures['threads'] > 1 else ''} each, "
        f"pixels in memory, {figures['photos_timed']} photos a round, {figures['repeats']} rounds: "
        f"median (lowest–highest), ratios are of one round{_busy(figures)}. Tags on "
        f"{figures['photos']['count']:,} photos, in 8 bits on every second one.{where}"
    )
    return [table(head, rows), when(figures, note)]


def _large_export(figures: Figures) -> list[str]:
    rows = [
        [
            f"{FAMILIES[row['family']]}, {row['backend']}",
            f"{row['bytes'] / 1e6:,.0f}",
            f"{row['max_logit_difference']:.2g}",
            f"{row['seconds']:,.0f}",
            f"{row['peak_anonymous'] / 1e6:,.0f}",
            f"{row['peak_rss'] / 1e6:,.0f}",
        ]
        for row in figures["rows"]
    ]
    head = ["network, runtime", "directory, MB", "largest difference of a logit", "export, s"]
    head += ["added by exporting, MB", "most resident, MB"]
    note = (
        "Networks of full size (Swin-L, 384 x 384 pixels, 4,585 tags) with random weights, "
        f"exported and compared with torch on {figures['pictures']} made pictures; memory and "
        "seconds are of both, on one thread of a machine with other work."
    )
    return [table(head, rows), when(figures, note)]


def _serve(figures: Figures) -> list[str]:
    parts = []
    for one in figures["sets"]:
        photos = one["photos"]
        rows = [
            ["`Tagger.stream`", spread(one["direct"]), "", "", "", ""],
            ["`Tagger`, photo by photo", spread(one["direct_one"]), "", "", "", ""],
        ]
        for number, case in one["clients"].items():
            rows.append(
                [
                    f"{number} client{'s' if number != '1' else ''}",
                    spread(case["images_per_second"]),
                    spread(case["part_of_direct"], 2),
                    spread(case["part_of_direct_one"], 2),
                    spread(case["p50_ms"], 0),
                    spread(case["p99_ms"], 0),
                ]
            )
        size = f"{photos['median_width']:,} x {photos['median_height']:,}"
        head = [f"JPEGs of {size} ({photos['mean_bytes'] / 1000:,.0f} kB)", "images/s"]
        head += ["part of `Tagger.stream`", "part of photo by photo", "p50, ms", "p99, ms"]
        parts += [table(head, rows), _crowd(one["overload"])]
    first = figures["sets"][0]
    note = (
        f"{first['model']}, `anytag serve` with its defaults, on loopback; {first['threads']} "
        f"torch threads; clients share the processors. {figures['seconds']:g} s each after "
        f"{figures['warm_seconds']:g} s, median of "
        f"{figures['repeats']} rounds (lowest–highest){_busy(figures)}."
    )
    return [*parts, when(figures, note)]


def _eval_scale(figures: Figures) -> list[str]:
    rows = [
        [
            f"`.{row['format']}`",
            f"{row['bytes'] / 1e6:,.0f}",
            spread(row["seconds"]),
            spread(row["cpu_seconds"]),
            f"{row['peak_memory_mb']['max']:,.0f}",
        ]
        for row in figures["rows"]
    ]
    head = ["`anytag eval` with scores from", "file, MB", "seconds", "processor seconds"]
    head.append("most resident, MB")
    note = (
        f"{figures['images']:,} images and {figures['classes']} classes in OpenImages-common's "
        "form, made by the script; `-o` included. Median of "
        f"{figures['repeats']} runs (lowest–highest){_busy(figures)}."
    )
    return [table(head, rows), when(figures, note)]


def _crowd(found: Figures) -> str:
    """What happens under overload, in a sentence."""
    statuses, memory = found["statuses"], found["memory_mb"]
    broken = sum(found["broken"].values())
    return (
        f"Overload, {found['clients']} clients for {found['seconds']:g} s: "
        f"{statuses.get('200', 0):,} answers were 200 and {statuses.get('429', 0):,} were 429 "
        f"({found['refused_with_retry_after']:,} of {found['refused_in_time']:,} had "
        f"`Retry-After`), {broken} connections broke; {found['images_per_second']:.1f} images/s. "
        f"Resident memory: {found['memory_mb_before']:.0f} MB before, {max(memory):.0f} MB at "
        f"most, {found['memory_mb_after']:.0f} MB after, "
        f"{found['memory_slope_mb_per_s']:+.2f} MB/s in "
        "the second half."
    )


#: kind -> heading and the function that writes its section, in the order of the page
def _finetune(figures: Figures) -> list[str]:
    rows = []
    for case in figures["cases"]:
        for row in case["rows"]:
            views = "decoded anew" if row["views"] is None else f"{row['views']} cached views"
            faster, by_clock = row["times_cpu_seconds"], row["times_seconds"]
            rows.append(
                [
                    f"{case['set']} ({row['tags']} tags, {row['steps']} steps): {views}",
                    ", ".join(f"{100 * value:.1f}" for value in row["map"]["runs"]),
                    ", ".join(f"{100 * value:.1f}" for value in row["last_map"]["runs"]),
                    f"{row['cpu_seconds']['median']:,.0f}",
                    "" if faster is None else spread(faster),
                    "" if by_clock is None else spread(by_clock),
                    f"{row['cache_mb']['median']:,.0f}",
                ]
            )
    head = ["fine-tuning nano", "mAP of each seed, %", "after the last step",
            "processor seconds", "times faster", "by the clock", "MB on disk"]  # fmt: skip
    note = (
        f"The whole command `anytag train --preset finetune`, {figures['how']}; mAP on "
        f"the fifth of the pictures that is kept for validation. {figures['rounds']} "
        f"round{'s' if figures['rounds'] > 1 else ''}{_busy(figures)}; load of the machine "
        f"afterwards {figures['load_after']:.0f}."
    )
    return [table(head, rows), when(figures, note)]


SECTIONS: dict[str, tuple[str, Callable[[Figures], list[str]]]] = {
    "speed-large": ("Photos of 12 megapixels", _large),
    "export": ("Exported models", _export),
    "export-large": ("Exported models of full size", _large_export),
    "serve": ("The server", _serve),
    "eval-scale": ("Evaluation at full size", _eval_scale),
    "finetune": ("Fine-tuning with cached views", _finetune),
}
