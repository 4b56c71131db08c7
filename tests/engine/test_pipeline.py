"""Whole runs on a tiny network: what comes out, what is reused, what survives a kill."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anytag.config import from_plain
from anytag.data.sources import open_source
from anytag.engine.config import EngineConfig
from anytag.engine.pipeline import Engine
from anytag.engine.records import original
from anytag.engine.report import write_report
from anytag.errors import UsageError
from anytag.inference.tagger import Tagger

pytest.importorskip("sklearn")
CLEAN = {"rules": ["outlier", "crop", "unseen", "unsure"], "min_regions": 4, "num_background": 12}
MakeData = Callable[..., Path]


@pytest.fixture
def config(tmp_path: Path, seeing_model: Path) -> Callable[..., EngineConfig]:
    def make(data: Path, name: str = "out", **values: Any) -> EngineConfig:
        plain = {
            "output": str(tmp_path / name),
            "data": [{"path": str(data)}],
            "model": str(seeing_model),
            "shard_size": 7,
            "clean": CLEAN,
            **values,
        }
        return from_plain(EngineConfig, plain)

    return make


def rows_of(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def files_of(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_run(
    make_data: MakeData, config: Callable[..., EngineConfig], seeing_model: Path
) -> None:
    data = make_data(30)
    result = Engine(config(data)).run()
    rows = rows_of(result.records)
    given = [json.loads(line) for line in data.read_text().splitlines()]
    assert [row["image"] for row in rows] == [row["image"] for row in given]
    assert [list(original(row).tags) for row in rows] == [row["tags"] for row in given]

    tagger = Tagger.from_pretrained(seeing_model)
    for number, row in enumerate(rows):
        everything = {
            **row["provenance"],
            **{n: w["provenance"] for n, w in row["removed"].items()},
        }
        from_tagger = {
            name: one["score"]
            for name, found in everything.items()
            for one in found
            if one["source"] == "tagger"
        }
        if number % 10 == 7:  # cannot be read: nothing is known, nothing is changed
            assert from_tagger == row["scores"] == row["removed"] == {}
            assert set(row["given"]["tags"]) <= set(row["tags"])
            continue
        found = {tag.name: tag.score for tag in tagger(row["image"]).tags}
        assert from_tagger == pytest.approx(found, abs=1e-4)
        assert "sofa" not in row["scores"]  # the model has no such tag
    # "no dog" and "two cats": what a caption denies is no tag
    captions = [row for row in rows if row["captions"] == ["no dog", "two cats"]]
    assert all(row["parsed_tags"] == [[], ["cat"]] for row in captions if not row["removed"])

    counts = result.counts
    assert counts["1-read"]["records"] == 30
    assert counts["2-generate"]["unreadable pictures"] == 3
    assert counts["records"]["tags"] == sum(len(row["tags"]) for row in rows)
    removed = [why["reason"] for row in rows for why in row["removed"].values()]
    assert counts["records"]["tags removed"] == len(removed) > 0
    assert {"unseen", "unsure"} & set(removed)
    assert counts["3-merge"]["tags"] == counts["records"]["tags"] + len(removed)


def test_readers_take_the_result_as_it_is(
    make_data: MakeData, config: Callable[..., EngineConfig]
) -> None:
    result = Engine(config(make_data(15))).run()
    source = open_source(result.records)
    read = list(source)
    assert source.kind == "records"
    assert not source.problems.counts
    assert [list(one.tags) for one in read] == [row["tags"] for row in rows_of(result.records)]


def test_a_second_round_starts_from_what_people_gave(
    make_data: MakeData, config: Callable[..., EngineConfig]
) -> None:
    first = Engine(config(make_data(15))).run()
    again = Engine(config(first.records, "again")).run()
    assert files_of(again.records) == {
        name: content if name != "settings.json" and name != "manifest.json" else own
        for (name, content), own in zip(
            files_of(first.records).items(), files_of(again.records).values(), strict=True
        )
    }


def test_generation_alone_then_cleaning(
    make_data: MakeData, config: Callable[..., EngineConfig]
) -> None:
    data = make_data(15)
    generated = Engine(config(data, steps=["generate"])).run()
    assert generated.records.name == "3-merge"
    assert all(row["removed"] == {} for row in rows_of(generated.records))
    before = (generated.records / "00000.jsonl").stat().st_mtime_ns
    both = Engine(config(data)).run()
    assert (generated.records / "00000.jsonl").stat().st_mtime_ns == before
    at_once = Engine(config(data, "other")).run()
    assert files_of(both.records) == files_of(at_once.records)


def test_cleaning_alone_adds_nothing(
    make_data: MakeData, config: Callable[..., EngineConfig]
) -> None:
    result = Engine(config(make_data(15), steps=["clean"])).run()
    sources = {
        one["source"]
        for row in rows_of(result.records)
        for found in row["provenance"].values()
        for one in found
    }
    assert sources <= {"human", "caption"}
    assert result.counts["records"]["tags removed"] > 0


def test_own_tags_are_asked(make_data: MakeData, config: Callable[..., EngineConfig]) -> None:
    made = config(make_data(15, broken=False), generate={"vocabulary": "data", "threshold": 0.0})
    rows = rows_of(Engine(made).run().records)
    assert all("sofa" in row["scores"] for row in rows)
    assert not any("tree" in {**row["provenance"], **row["removed"]} for row in rows)


def test_pictures_in_shards(
    make_shard: Callable[[int], Path], config: Callable[..., EngineConfig]
) -> None:
    result = Engine(config(make_shard(9))).run()
    rows = rows_of(result.records)
    assert len(rows) == 9
    assert all(row["scores"] for row in rows)
    assert result.counts["2-generate"]["unreadable pictures"] == 0


def test_captions_of_a_model(
    make_data: MakeData,
    config: Callable[..., EngineConfig],
    released_models: dict[str, Path],
) -> None:
    model = str(released_models["ram"])
    asked = {"model": model, "steps": ["generate"], "generate": {"captions": True}}
    rows = rows_of(Engine(config(make_data(3), **asked)).run().records)
    for row in rows:
        assert len(row["generated_captions"]) == 1
        assert row["captions"][row["generated_captions"][0]]
        assert len(row["parsed_tags"]) == len(row["captions"])


def test_a_model_is_not_asked_for_captions_unless_told(
    make_data: MakeData,
    config: Callable[..., EngineConfig],
    released_models: dict[str, Path],
) -> None:
    asked = {"model": str(released_models["ram"]), "steps": ["generate"]}
    rows = rows_of(Engine(config(make_data(3), **asked)).run().records)
    assert [row["generated_captions"] for row in rows] == [[]] * 3


def test_other_settings_in_the_same_folder(
    make_data: MakeData, config: Callable[..., EngineConfig]
) -> None:
    data = make_data(12)
    Engine(config(data)).run()
    other = config(data, clean={**CLEAN, "rules": ["outlier"], "outlier_share": 0.3})
    with pytest.raises(UsageError, match="5-judge was made with clean"):
        Engine(other).run()
    generated = Path(other.output) / "2-generate" / "00000.jsonl"
    before = generated.stat().st_mtime_ns
    Engine(other, redo=True).run()
    assert generated.stat().st_mtime_ns == before
    reasons = {
        why["reason"]
        for row in rows_of(Path(other.output) / "records")
        for why in row["removed"].values()
    }
    assert reasons == {"outlier"}


def test_folders_of_others_are_left_alone(
    tmp_path: Path, make_data: MakeData, config: Callable[..., EngineConfig]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(UsageError, match="holds other files"):
        Engine(config(make_data(2)))


@pytest.mark.skipif(sys.platform == "win32", reason="no locks there")
def test_one_run_at_a_time(make_data: MakeData, config: Callable[..., EngineConfig]) -> None:
    made = config(make_data(2))
    second = Engine(made)

    def report(name: str, done: int, total: int) -> None:
        with pytest.raises(UsageError, match="another run works in"):
            second.run()

    first = Engine(made, report=report)
    first.run()


def test_nothing_to_do(tmp_path: Path, config: Callable[..., EngineConfig]) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(UsageError, match="no record"):
        Engine(config(tmp_path / "empty.jsonl")).run()


def test_the_report_shows_crops_and_clusters(
    tmp_path: Path, make_data: MakeData, config: Callable[..., EngineConfig]
) -> None:
    pytest.importorskip("matplotlib")
    made = config(make_data(30))
    result = Engine(made).run()
    path = tmp_path / "report.html"
    write_report(made, result, path)
    page = path.read_text()
    for heading in ("Counts", "Tags added", "Tags removed", "Clusters"):
        assert f"<h2>{heading}</h2>" in page
    reason = next(
        (name, why) for row in rows_of(result.records) for name, why in row["removed"].items()
    )
    assert f"{reason[0]}: {reason[1]['reason']}" in page
    assert page.count('src="data:image/jpeg;base64,') >= 4
    assert "<svg" in page
    assert 'class="bad"' in page
    # made again from the same files it is the same
    write_report(made, result, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == path.read_bytes()


RUN = """
import json, sys, torch
torch.set_num_threads(1)
from anytag.config import from_plain
from anytag.engine.config import EngineConfig
from anytag.engine.pipeline import Engine
Engine(from_plain(EngineConfig, json.loads(sys.argv[1]))).run()
"""


@pytest.mark.slow
def test_killed_at_any_moment_and_resumed(
    tmp_path: Path, make_data: MakeData, config: Callable[..., EngineConfig]
) -> None:
    from anytag.config import to_plain

    made = config(make_data(40), shard_size=3)

    def start(output: str) -> subprocess.Popen[bytes]:
        values = to_plain(replace(made, output=str(tmp_path / output)))
        return subprocess.Popen([sys.executable, "-c", RUN, json.dumps(values)])

    assert start("whole").wait() == 0
    draw = random.Random(0)
    num_killed = 0
    for _ in range(8):
        process = start("killed")
        # from the first files on, so that the kill meets work and not the import of torch
        watched = len(files_of(tmp_path / "killed")) if (tmp_path / "killed").is_dir() else 0
        while process.poll() is None:
            folder = tmp_path / "killed"
            if folder.is_dir() and sum(1 for _ in folder.rglob("*")) > watched + 2:
                break
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            break
        num_killed += 1
    assert num_killed >= 3
    assert start("killed").wait() == 0
    whole, resumed = files_of(tmp_path / "whole"), files_of(tmp_path / "killed")
    assert whole.keys() == resumed.keys()
    assert [name for name in whole if whole[name] != resumed[name]] == []
