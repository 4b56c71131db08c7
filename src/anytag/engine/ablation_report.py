"""What an ablation came to: figures with their spread, a text table, a page.

Two kinds of spread are told apart. ± is one standard deviation over seeds. Brackets are the 95 %
interval over sets of held-out photos like these, of the mean over seeds. A gain is paired: same
seed, same photos. It is called shown where both agree: the interval excludes zero, and the gain has
one sign in all seeds.

Shapes: S seeds, N photos, T classes.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anytag.config import to_plain
from anytag.engine.ablation import Outcome, source_name
from anytag.engine.heldout import HeldOut
from anytag.evaluation.published import published_table
from anytag.evaluation.report import Page, bar_plot
from anytag.evaluation.resampling import pseudo_values, resampled_interval

#: of the published tables
_PUBLISHED = {"table4": "ram-4", "table5": "ram-5"}
_TITLES = {
    "table4": "Ablation of the model (RAM, table 4, at small scale)",
    "table5": "Ablation of the data engine (RAM, table 5, at small scale)",
}
_COLUMNS = {
    "oppo-common": "OPPO-common",
    "openimages-common": "OpenImages-common",
    "openimages-rare": "OpenImages-rare",
}
Scores = npt.NDArray[np.float32]
Figures = dict[str, Any]


def summarize(outcome: Outcome) -> Figures:
    """All figures as JSON values; equal runs give equal ones."""
    config = outcome.config
    values = {
        key: {
            one.name: [pseudo_values(scores, one.truth) for scores in found[one.name]]
            for one in outcome.heldout
        }
        for key, found in outcome.scores.items()
    }
    cases = []
    first = outcome.cases[0].key
    for case in outcome.cases:
        results = outcome.results[case.key]
        heldout = {}
        for one in outcome.heldout:
            own = values[case.key][one.name]
            base = values[case.reference][one.name] if case.reference else None
            heldout[one.name] = {**_figures(own), **_gain(own, base)}
            if case.reference not in (None, first):
                heldout[one.name]["over_first"] = _gain(own, values[first][one.name])
        cases.append(
            {
                "case": case.key,
                "title": case.title,
                "reference": case.reference,
                "num_photos": results[0]["num_photos"],
                "num_tags": [one["num_tags"] for one in results],
                "steps": results[0]["steps"],
                "heldout": heldout,
            }
        )
    settings = to_plain(config)
    for name in ("output", "train", "heldout", "table"):
        del settings[name]
    settings["finetune"]["data"] = [source_name(one) for one in config.finetune.data]
    settings["model"]["backbone_weights"] = _base(config.model.backbone_weights)
    return {
        "kind": config.table,
        "settings": settings,
        "train": [source_name(one) for one in config.train],
        "heldout": {
            one.name: {"num_photos": len(one.truth), "num_classes": len(one.classes)}
            for one in outcome.heldout
        },
        "cases": cases,
    }


def _base(path: str | None) -> str | None:
    return None if path is None else Path(path).name


def _figures(own: Sequence[tuple[float, npt.NDArray[np.float64]]]) -> Figures:
    values = [100 * mean for mean, _ in own]
    return {"map": _rounded(values), **_spread("", values, [parts for _, parts in own])}


def _gain(
    own: Sequence[tuple[float, npt.NDArray[np.float64]]],
    base: Sequence[tuple[float, npt.NDArray[np.float64]]] | None,
) -> Figures:
    if base is None:
        return {}
    pairs = list(zip(own, base, strict=True))
    values = [100 * (one[0] - other[0]) for one, other in pairs]
    spread = _spread("gain_", values, [one[1] - other[1] for one, other in pairs])
    low, high = spread["gain_interval"]
    same_sign = all(one > 0 for one in values) or all(one < 0 for one in values)
    return {"gains": _rounded(values), **spread, "shown": same_sign and (low > 0 or high < 0)}


def _spread(
    prefix: str, values: Sequence[float], parts: Sequence[npt.NDArray[np.float64]]
) -> Figures:
    """Mean and deviation over seeds, interval over photos; percent."""
    mean = statistics.mean(values)
    photos = 100 * np.mean(parts, axis=0)
    return {
        f"{prefix}mean": round(mean, 4),
        f"{prefix}deviation": round(statistics.stdev(values), 4) if len(values) > 1 else None,
        f"{prefix}interval": _rounded(resampled_interval(mean, photos).tolist()),
    }


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 4) for value in values]


def text_rows(figures: Figures) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table; percent."""
    names = list(figures["heldout"])
    has_steps = any(
        "over_first" in found for case in figures["cases"] for found in case["heldout"].values()
    )
    header = ["case", "photos", "tags a photo"]
    for name in names:
        header += [f"{name} mAP", "gain"]
        header += [f"over {figures['cases'][0]['title']}"] * has_steps
    rows = []
    for case in figures["cases"]:
        tags = statistics.mean(case["num_tags"]) / case["num_photos"]
        row = [case["title"], f"{case['num_photos']:,}", f"{tags:.1f}"]
        for name in names:
            found = case["heldout"][name]
            row += [_plus_minus(found, ""), gain_text(found)]
            row += [gain_text(found.get("over_first", {}))] * has_steps
        rows.append(row)
    return header, rows


def gain_text(found: Figures) -> str:
    """``+1.2 ± 0.3 (+0.4 to +2.0)``, starred where it is shown; empty without a reference."""
    if "gains" not in found:
        return ""
    low, high = found["gain_interval"]
    mark = " *" if found["shown"] else ""
    return f"{_plus_minus(found, 'gain_', '+')} ({low:+.1f} to {high:+.1f}){mark}"


def _plus_minus(found: Figures, prefix: str, sign: str = "") -> str:
    deviation = found[f"{prefix}deviation"]
    spread = "" if deviation is None else f" ± {deviation:.1f}"
    return f"{found[f'{prefix}mean']:{sign}.1f}{spread}"


def explain(figures: Figures) -> str:
    """What the columns say."""
    seeds = figures["settings"]["seeds"]
    return (
        f"mAP in percent, mean over {seeds} seed{'s' * (seeds > 1)}; ± is one standard deviation "
        "over seeds. A gain is paired by seed, against the case that is its reference; in brackets "
        "its 95 % interval over photos. * = the interval excludes zero and all seeds have the same "
        "sign."
    )


def ablation_page(figures: Figures, heldout: Sequence[HeldOut]) -> Page:
    """The page."""
    settings = figures["settings"]
    page = Page(
        _TITLES[figures["kind"]],
        f"Trained on {', '.join(figures['train'])}; {settings['run']['epochs']} epochs at "
        f"{settings['model']['image_size']} pixels, {settings['seeds']} seeds.",
    )
    page.section("Measured", explain(figures))
    header, rows = text_rows(figures)
    page.table(header, rows)
    titles = {case["case"]: case["title"] for case in figures["cases"]}
    references = [
        [case["title"], titles[case["reference"]]] for case in figures["cases"] if case["reference"]
    ]
    page.table(["case", "is compared to"], references)
    for one in heldout:
        found = {case["title"]: case["heldout"][one.name] for case in figures["cases"]}
        page.plot(
            bar_plot(
                {title: values["mean"] for title, values in found.items()},
                x_label="mAP, %",
                title=f"{one.name}: {len(one.truth):,} photos, {len(one.classes)} classes",
                intervals={title: tuple(values["interval"]) for title, values in found.items()},
            )
        )
    page.note("Whiskers: 95 % interval over photos, which all cases share.")
    _add_published(page, figures["kind"])
    return page


def _add_published(page: Page, kind: str) -> None:
    table = published_table(_PUBLISHED[kind])
    details = [key for key in table.rows[0] if key not in ("method", "values", "marks")]
    page.section("Published", f"Not measured here: {table.source}; mAP in percent.")
    page.table(
        ["method", *(key.replace("_", " ") for key in details), *map(_column, table.columns)],
        [
            [
                row["method"],
                *(row.get(key, "") for key in details),
                *(_number(row["values"].get(column)) for column in table.columns),
            ]
            for row in table.rows
        ],
    )


def _column(name: str) -> str:
    return _COLUMNS.get(name, name)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
