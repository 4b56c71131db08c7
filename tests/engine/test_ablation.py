"""Tables 4 and 5 on a tiny network: what each case learns from, resuming, the figures."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from anytag.config import to_plain
from anytag.data.sources import open_source
from anytag.engine.ablation import (
    AblationConfig,
    Case,
    FinetuneConfig,
    Outcome,
    Watch,
    chosen_cases,
    run_ablation,
)
from anytag.engine.ablation_report import ablation_page, gain_text, summarize, text_rows
from anytag.engine.ablation_tables import (
    given_only,
    share_steps,
    table4_cases,
    table5_cases,
)
from anytag.engine.config import CleanConfig, GenerateConfig
from anytag.engine.heldout import HeldOut, open_heldout
from anytag.errors import ConfigError, UsageError
from anytag.evaluation.metrics import mean_average_precision
from anytag.training.config import ModelConfig, OptimConfig, RunConfig, SourceConfig
from anytag.training.examples import open_examples

from .conftest import Listener, picture

pytest.importorskip("sklearn")
pytest.importorskip("accelerate")
CAPTIONS = ["a puppy on the beach", "no dog", "two cats", "a sofa", "cats and a dog", "a tree"]
Write = Callable[..., Path]


class Told(Listener):
    """A `Watch` that keeps what it is told, and may stop a run."""

    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__(stop_after)
        self.cases: list[tuple[int, str, bool]] = []
        self.watch = Watch(
            training=self,
            engine=lambda name, done, total: None,
            begins=lambda seed, case: None,
            ends=lambda seed, case, result, seconds: self.cases.append(
                (seed, case.key, seconds is None)
            ),
        )


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """``write(name, num, captions=, tags=)`` makes records of that many pictures."""

    def make(name: str, num: int, *, captions: bool = False, tags: bool = False) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        draw = random.Random(name)
        rows = []
        for number in range(num):
            image = folder / f"{name}{number:03}.png"
            image.write_bytes(picture(number))
            rows.append(
                {
                    "image": str(image),
                    "captions": draw.sample(CAPTIONS, 2) if captions else [],
                    "tags": draw.sample(["cat", "dog", "beach"], 1 + number % 2) if tags else [],
                    "source": name,
                }
            )
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return make


@pytest.fixture
def config(tmp_path: Path, seeing_model: Path, write: Write) -> AblationConfig:
    def source(path: Path) -> tuple[SourceConfig]:
        return (SourceConfig(path=str(path)),)

    return AblationConfig(
        output=str(tmp_path / "out"),
        table="table5",
        train=source(write("photos", 44, captions=True)),
        heldout=source(write("labelled", 12, tags=True)),
        finetune=FinetuneConfig(data=source(write("better", 24, captions=True, tags=True))),
        seeds=1,
        model=ModelConfig(start=str(seeing_model), num_trainable_blocks=0, dropout=0),
        optim=OptimConfig(lr=1e-3, ema_decay=0.9),
        run=RunConfig(epochs=2, batch_size=8, tensorboard=False, log_every=1, device="cpu"),
        generate=GenerateConfig(threshold=0.3),
        clean=CleanConfig(min_regions=4, num_background=12),
    )


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def run(config: AblationConfig, told: Told | None = None) -> Outcome:
    cases = chosen_cases(config, table5_cases(config))
    return run_ablation(config, cases, (told or Told()).watch)


def test_table5(config: AblationConfig) -> None:
    told = Told()
    outcome = run(config, told)
    keys = [case.key for case in outcome.cases]
    assert keys == [
        "parsing", "generation", "generation-cleaning", "finetune-better", "cleaning",
        "generation-cleaning-paper", "half-parsing",
    ]  # fmt: skip
    assert told.cases == [(0, key, False) for key in keys]
    folder = Path(config.output)
    one = {key: outcome.results[key][0] for key in keys}

    # the baseline alone labels, and it knows no more than its own tags
    rows = [
        json.loads(line)
        for file in sorted((folder / "seed0/engine/3-merge").glob("0*.jsonl"))
        for line in file.read_text().splitlines()
    ]
    settings = json.loads((folder / "seed0/engine/2-generate/settings.json").read_text())
    card = json.loads((folder / "seed0/parsing/run/model/config.json").read_text())
    assert card["version"] in settings["settings"]["model"]
    sources = {
        one["source"] for row in rows for found in row["provenance"].values() for one in found
    }
    assert sources == {"caption", "tagger"}

    # tags come with generation and go with cleaning, and with cleaning alone nothing comes
    assert one["generation"]["num_tags"] > one["parsing"]["num_tags"]
    assert one["generation-cleaning"]["num_tags"] < one["generation"]["num_tags"]
    assert one["cleaning"]["num_tags"] <= one["parsing"]["num_tags"]
    cleaned = list(open_source(folder / "seed0/engine-given"))
    for record, row in zip(cleaned, rows, strict=True):
        assert record.captions == tuple(row["captions"])
        parsed = {name for names in row["parsed_tags"] for name in names}
        assert {*record.tags} <= parsed

    # the paper's rules judge the same regions
    for name in ("4-regions/00000.regions.npy", "3-merge/00000.jsonl"):
        ours, paper = (folder / f"seed0/{one}" / name for one in ("engine", "engine-paper"))
        assert ours.read_bytes() == paper.read_bytes()
    settings = json.loads((folder / "seed0/engine-paper/5-judge/settings.json").read_text())
    assert settings["settings"]["clean"]["rules"] == ["outlier", "crop"]

    # fine-tuning goes on with the model that it is compared to
    tuned = yaml.safe_load((folder / "seed0/finetune-better/run/config.yaml").read_text())
    assert tuned["model"]["start"] == str(folder / "seed0/generation-cleaning/run/model")
    assert [source["path"] for source in tuned["data"]["train"]] == [config.finetune.data[0].path]
    assert one["half-parsing"]["num_photos"] < 0.7 * one["parsing"]["num_photos"]

    # what was scored is what was measured
    scores = np.load(folder / "seed0/cleaning/scores.npz")["labelled"]
    value = mean_average_precision(scores, outcome.heldout[0].truth).value
    assert outcome.results["cleaning"][0]["map"]["labelled"] == pytest.approx(100 * value, abs=1e-4)


def test_what_is_done_is_kept(config: AblationConfig) -> None:
    config = replace(config, seeds=2, cases=("parsing", "generation"))
    outcome = run(config)
    folder = Path(config.output)
    assert not (folder / "seed1/engine").exists()  # the first seed's model labels for all
    assert len({one["num_tags"] for one in outcome.results["generation"]}) == 1
    again = Told()
    assert summarize(run(config, again)) == summarize(outcome)
    assert again.steps == 0
    assert again.cases == [
        (seed, key, True) for key in ("parsing", "generation") for seed in (0, 1)
    ]
    more = Told()
    run(replace(config, seeds=3, cases=("parsing",)), more)
    assert more.cases == [(0, "parsing", True), (1, "parsing", True), (2, "parsing", False)]


def test_interrupted_and_run_again(config: AblationConfig, tmp_path: Path) -> None:
    config = replace(config, cases=("parsing", "generation"))
    whole = summarize(run(replace(config, output=str(tmp_path / "whole"))))
    for stop_after in (7, 3):  # in the second epoch of the first case, and thereafter
        with pytest.raises(KeyboardInterrupt):
            run(config, Told(stop_after))
    assert summarize(run(config)) == whole
    for case in ("parsing", "generation"):
        folder = Path("seed0") / case
        for name in ("result.json", "scores.npz", "run/model/model.safetensors"):
            found = [root / folder / name for root in (tmp_path / "whole", tmp_path / "out")]
            assert found[0].read_bytes() == found[1].read_bytes(), found


def test_own_baselines(config: AblationConfig) -> None:
    config = replace(config, seeds=2, own_baseline=True, cases=("parsing", "generation"))
    run(config)
    models = [
        json.loads(
            (Path(config.output) / f"seed{seed}/engine/2-generate/settings.json").read_text()
        )
        for seed in (0, 1)
    ]
    assert models[0]["settings"]["model"] != models[1]["settings"]["model"]


def test_other_settings_are_refused(config: AblationConfig) -> None:
    config = replace(config, cases=("parsing",))
    run(config)
    with pytest.raises(UsageError, match=r"was made with another model.*but for seeds and cases"):
        run(replace(config, model=replace(config.model, dropout=0.5)))
    with pytest.raises(UsageError, match="holds other things"):
        run(replace(config, output=str(Path(config.output).parent)))


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        (("parsing", "magic"), "'magic' is none of parsing, generation"),
        (("generation",), "generation is compared to parsing; name it too"),
    ],
)
def test_cases_that_cannot_be(config: AblationConfig, cases: tuple[str, ...], message: str) -> None:
    config = replace(config, cases=cases)
    with pytest.raises(ConfigError, match=message):
        chosen_cases(config, table5_cases(config))


def test_table4_changes_the_loss_alone(config: AblationConfig) -> None:
    cases = table4_cases(replace(config, table="table4"))
    made = [case.make(0, lambda name, done, total: None) for case in cases]
    assert [(one.loss.captioning, one.loss.distillation) for one in made] == [
        (False, False), (True, False), (False, True), (True, True),
    ]  # fmt: skip
    assert [one.loss.teacher for one in made] == [None, None, "model:nano", "model:nano"]
    for one in made:
        assert {**to_plain(one), "loss": None} == {**to_plain(made[0]), "loss": None}
    assert [case.reference for case in cases] == [None, "tagging", "tagging", "tagging"]


def test_given_only(tmp_path: Path) -> None:
    row = {
        "image": "a.jpg", "captions": ["a cat", "a dog"], "tags": ["cat", "tree"],
        "parsed_tags": [["cat"], ["dog"]], "source": "s", "generated_captions": [1],
        "provenance": {
            "cat": [{"source": "caption", "caption": 0}, {"source": "tagger", "score": 0.9}],
            "tree": [{"source": "tagger", "score": 0.8}],
        },
        "removed": {"sofa": {"reason": "unseen"}},
    }  # fmt: skip
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "00000.jsonl").write_text(json.dumps(row) + "\n")
    (record,) = open_source(given_only(tmp_path / "in", tmp_path / "out"))
    assert record.tags == ("cat",)
    assert record.captions == ("a cat",)
    assert record.parsed_tags == (("cat",),)


def test_shared_steps_survive_a_kill(tmp_path: Path) -> None:
    first, second = tmp_path / "engine", tmp_path / "engine-paper"
    for name in ("3-merge", "4-regions", "5-judge", "records"):
        (first / name).mkdir(parents=True)
        (first / name / "00000.json").write_text(name)
    (tmp_path / "engine-paper.part").mkdir()  # left by a killed run
    (tmp_path / "engine-paper.part" / "torn").touch()
    share_steps(first, second)
    assert sorted(one.name for one in second.iterdir()) == ["3-merge", "4-regions"]
    (second / "3-merge" / "00000.json").write_text("its own now")
    share_steps(first, second)
    assert (second / "3-merge" / "00000.json").read_text() == "its own now"
    assert (first / "3-merge" / "00000.json").read_text() == "3-merge"


def test_held_out_photos_need_tags(write: Write, tmp_path: Path) -> None:
    path = write("untagged", 3, captions=True)
    with pytest.raises(UsageError, match="held-out set untagged: no photo has a tag"):
        open_heldout([SourceConfig(path=str(path))], tmp_path / "cache")


def test_an_unreadable_held_out_photo_is_named(
    write: Write, tmp_path: Path, seeing_model: Path
) -> None:
    path = write("broken", 3, tags=True)
    (tmp_path / "broken" / "broken001.png").write_bytes(b"no picture")
    (one,) = open_heldout([SourceConfig(path=str(path))], tmp_path / "cache")
    with pytest.raises(UsageError, match=r"held-out set broken: .*broken001"):
        one.score(seeing_model)


def outcome_of(config: AblationConfig, tmp_path: Path, better: Sequence[float]) -> Outcome:
    """Three seeds of two cases; scores of the second are nearer to the truth by ``better``."""
    examples = open_examples(config.heldout, tmp_path / "cache")
    heldout = HeldOut("labelled", examples)
    noise = np.random.default_rng(0).random((3, *heldout.truth.shape), np.float32)
    cases = tuple(
        Case(key=key, title=key.title(), reference=reference, make=lambda seed, report: None)  # type: ignore[arg-type,return-value]
        for key, reference in (("plain", None), ("more", "plain"))
    )
    result = {"num_photos": 10, "num_tags": 25, "steps": 3, "map": {}}
    return Outcome(
        config=replace(config, seeds=3),
        cases=cases,
        heldout=(heldout,),
        results={case.key: [result] * 3 for case in cases},
        scores={
            "plain": {"labelled": list(noise)},
            "more": {
                "labelled": [
                    one + np.float32(step) * heldout.truth
                    for one, step in zip(noise, better, strict=True)
                ]
            },
        },
    )


def test_figures(config: AblationConfig, tmp_path: Path) -> None:
    outcome = outcome_of(config, tmp_path, (1.0, 1.0, 1.0))
    figures = summarize(outcome)
    plain, more = (case["heldout"]["labelled"] for case in figures["cases"])
    truth, noise = outcome.heldout[0].truth, outcome.scores["plain"]["labelled"]
    expected = [100 * mean_average_precision(one, truth).value for one in noise]
    assert plain["map"] == pytest.approx(expected, abs=1e-4)
    assert plain["mean"] == pytest.approx(np.mean(expected), abs=1e-4)
    assert plain["deviation"] == pytest.approx(np.std(expected, ddof=1), abs=1e-4)
    assert "gains" not in plain
    assert more["map"] == [100.0, 100.0, 100.0]  # every present tag stands above every absent one
    assert more["gains"] == pytest.approx([100 - one for one in expected], abs=1e-4)
    assert more["gain_deviation"] == pytest.approx(plain["deviation"], abs=1e-4)
    low, high = more["gain_interval"]
    assert 0 < low < more["gain_mean"] < high
    assert more["shown"]
    assert gain_text(more).endswith(") *")


def test_gains_over_the_first_case_too(config: AblationConfig, tmp_path: Path) -> None:
    outcome = outcome_of(config, tmp_path, (1.0, 1.0, 1.0))
    last = replace(outcome.cases[1], key="last", title="Last", reference="more")
    outcome = replace(
        outcome,
        cases=(*outcome.cases, last),
        results={**outcome.results, "last": outcome.results["more"]},
        scores={**outcome.scores, "last": outcome.scores["more"]},
    )
    figures = summarize(outcome)
    more, found = (case["heldout"]["labelled"] for case in figures["cases"][1:])
    assert "over_first" not in more
    assert found["gains"] == [0.0, 0.0, 0.0]
    assert found["over_first"]["gains"] == more["gains"]
    header, rows = text_rows(figures)
    assert header[-1] == "over Plain"
    assert [row[-1] for row in rows] == ["", "", gain_text(more)]


@pytest.mark.parametrize("better", [(0.0, 0.0, 0.0), (0.4, 0.4, -0.4)])
def test_what_is_not_shown(
    config: AblationConfig, tmp_path: Path, better: tuple[float, ...]
) -> None:
    figures = summarize(outcome_of(config, tmp_path, better))
    found = figures["cases"][1]["heldout"]["labelled"]
    assert not found["shown"]
    assert not gain_text(found).endswith("*")


def test_table_and_page(config: AblationConfig, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    outcome = outcome_of(config, tmp_path, (1.0, 1.0, 1.0))
    figures = summarize(outcome)
    assert json.loads(json.dumps(figures)) == figures
    assert str(tmp_path) not in json.dumps(figures["settings"]["finetune"])
    header, rows = text_rows(figures)
    assert header == ["case", "photos", "tags a photo", "labelled mAP", "gain"]
    assert rows[1][:4] == ["More", "10", "2.5", "100.0 ± 0.0"]
    html = ablation_page(figures, outcome.heldout).html()
    for text in ("More", "12 photos, 3 classes", "arXiv 2306.03514, table 5", "82.83", "Swin-L"):
        assert text in html
    assert html.count("<svg") == 1
