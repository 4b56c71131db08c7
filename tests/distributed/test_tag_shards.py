"""``anytag tag`` in shards: the bytes of one process, each image once, whatever breaks."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from anytag.data.problems import Problems
from anytag.data.record_files import RecordStream
from anytag.data.shards import read_samples
from anytag.distributed import worker
from anytag.distributed.pool import here
from anytag.distributed.worker import ShardWorker
from anytag.errors import OutputError, UsageError
from anytag.inference.writers import Format

from .conftest import Flaky, Tag, counted, default_options, picture


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_tar(path: Path, numbers: range) -> Path:
    """A webdataset shard."""
    with tarfile.open(path, "w") as tar:
        for number in numbers:
            for name, content in (
                (f"{number:03}.png", picture(number)),
                (f"{number:03}.txt", b"t"),
            ):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


def write_parquet(path: Path, column: str, values: list[Any]) -> Path:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(arrow.table({"id": range(len(values)), column: values}), path)
    return path


@pytest.mark.parametrize("form", ["jsonl", "csv", "json", "coco", "table"])
@pytest.mark.parametrize("shard_size", [1, 7, 500])
def test_the_bytes_of_one_process(tag: Tag, photos: Path, form: str, shard_size: int) -> None:
    one, ray = Path(f"one.{form}"), Path(f"ray.{form}")
    more = {"form": Format(form)}
    assert tag("photos", "nowhere.png", out=one, **more) == 1
    assert tag("photos", "nowhere.png", out=ray, shard_size=shard_size, pool=here, **more) == 1
    assert ray.read_bytes() == one.read_bytes()
    assert not list(Path().glob("ray.*.job"))


def test_parquet_has_the_rows_of_one_process(tag: Tag, photos: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    tag("photos", out=Path("one.parquet"))
    tag("photos", out=Path("ray.parquet"), shard_size=7, pool=here)
    assert parquet.read_table("ray.parquet").equals(parquet.read_table("one.parquet"))


def test_a_later_run_adds_to_the_file(tag: Tag, photos: Path) -> None:
    tag("photos/0", out=Path("out.jsonl"), pool=here)
    first = Path("out.jsonl").read_bytes()
    tag("photos/0", "photos/1", resume=True)
    both = Path("out.jsonl").read_bytes()
    assert both.startswith(first)
    assert len(records(Path("out.jsonl"))) == 11 + 1 + 11


def test_a_killed_driver_is_followed_by_another(
    tag: Tag, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag("photos", out=Path("one.jsonl"))
    with pytest.raises(SystemExit, match="killed"):
        tag("photos", shard_size=5, pool=Flaky(3))
    assert not Path("out.jsonl").exists()
    with pytest.raises(UsageError, match="was begun; continue with --resume"):
        tag("photos", shard_size=5, pool=here)
    with pytest.raises(UsageError, match="shard_size"):
        tag("photos", shard_size=6, pool=here, resume=True)
    begun: list[int] = []

    def watched(step: Any, make: Any, shards: Any) -> Any:
        begun.extend(shards)
        return here(step, make, shards)

    assert tag("photos", shard_size=5, pool=watched, resume=True) == 1
    assert begun == [3, 4, 5, 6]
    assert Path("out.jsonl").read_bytes() == Path("one.jsonl").read_bytes()


def test_a_folder_of_parts(tag: Tag, photos: Path) -> None:
    tag("photos", out=Path("one.jsonl"))
    tag("photos", out=Path("parts"), shard_size=10, pool=here)
    parts = sorted(Path("parts").glob("*.jsonl"))
    assert [part.name for part in parts] == [f"{n:05}.jsonl" for n in range(4)]
    together = b"".join(part.read_bytes() for part in parts)
    assert together == Path("one.jsonl").read_bytes()
    assert tag("photos", out=Path("parts"), shard_size=10, pool=here, resume=True) == 1


def test_webdataset_in_and_out(tag: Tag, tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", range(5))
    write_tar(tmp_path / "b.tar", range(5, 8))
    code = tag("a.tar", "b.tar", out=Path("tagged"), form=Format.WEBDATASET, pool=here)
    assert code == 0
    tag("a.tar", "b.tar", out=Path("one.jsonl"))
    problems = Problems()
    samples = [s for n in range(2) for s in read_samples(Path(f"tagged/{n:05}.tar"), problems)]
    assert [s.key for s in samples] == [f"00000{n:04}" for n in range(5)] + [
        f"00001{n:04}" for n in range(3)
    ]
    assert [s.files["png"] for s in samples] == [picture(number) for number in range(8)]
    found = [json.loads(s.files["json"])["anytag"] for s in samples]
    assert found == records(Path("one.jsonl"))
    assert [one["path"] for one in found][:2] == ["a.tar/000.png", "a.tar/001.png"]
    assert not problems.counts


def test_training_reads_what_tagging_wrote(tag: Tag, photos: Path) -> None:
    tag("photos/0", out=Path("tagged"), form=Format.WEBDATASET, pool=here, threshold="0.0")
    found = list(RecordStream([Path("tagged/00000.tar")]))
    assert {tag for record in found for tag in record.tags} == {"red", "green", "blue"}
    assert {record.source for record in found} == {"nano-fake"}


def test_parquet_of_pictures_and_of_paths(tag: Tag, photos: Path, tmp_path: Path) -> None:
    write_parquet(tmp_path / "bytes.parquet", "image", [picture(1), None, picture(2)])
    rows = [{"bytes": picture(3), "path": None}]
    write_parquet(tmp_path / "face.parquet", "image", rows)
    write_parquet(tmp_path / "paths.parquet", "path", ["photos/0/000.png", "nowhere.png"])
    write_parquet(tmp_path / "none.parquet", "caption", ["a cat"])
    names = [f"{one}.parquet" for one in ("bytes", "face", "paths", "none")]
    assert tag(*names, pool=here) == 1
    tag(*names, out=Path("one.jsonl"))
    assert Path("out.jsonl").read_bytes() == Path("one.jsonl").read_bytes()
    assert [(r["path"], r["error"] and r["error"]["type"]) for r in records(Path("out.jsonl"))] == [
        ("bytes.parquet/0", None),
        ("bytes.parquet/1", "no_images"),
        ("bytes.parquet/2", None),
        ("face.parquet/0", None),
        ("photos/0/000.png", None),
        ("nowhere.png", "missing"),
        ("none.parquet", "no_images"),
    ]


def test_broken_shards_are_records(tag: Tag, tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "whole.tar", range(4)).read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "noise.tar").write_bytes(bytes(range(256)) * 8)
    table = write_parquet(tmp_path / "bad.parquet", "image", [picture(1)])
    table.write_bytes(table.read_bytes()[:-40])
    names = ["whole.tar", "cut.tar", "noise.tar", "bad.parquet", "gone.tar"]
    assert tag(*names, pool=here) == 1
    found = records(Path("out.jsonl"))
    assert counted([record["path"] for record in found]) == {}
    errors = {r["path"]: r["error"]["type"] for r in found if r["error"]}
    assert errors == {
        "cut.tar": "truncated",
        "noise.tar": "damaged",
        "bad.parquet": "damaged",
        "gone.tar": "missing",
    }
    done = [record["path"] for record in found if record["error"] is None]
    assert done == [f"whole.tar/{n:03}.png" for n in range(4)] + [
        "cut.tar/000.png",
        "cut.tar/001.png",
    ]


def test_broken_images_within_a_shard(tag: Tag, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        members = {"a.png": picture(1), "b.png": b"no", "c.txt": b"only text", "d.png": picture(2)}
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    assert tag("x.tar", pool=here) == 1
    found = [(r["path"], r["error"] and r["error"]["type"]) for r in records(Path("out.jsonl"))]
    assert found == [
        ("x.tar/a.png", None),
        ("x.tar/b.png", "not_an_image"),
        ("x.tar/c", "no_images"),
        ("x.tar/d.png", None),
    ]


def impatient(step: Any, make: Any, shards: Any) -> Any:
    return map(ShardWorker(step, make, waits=()), shards)


def test_a_share_that_is_away_leaves_no_false_errors(tag: Tag, photos: Path) -> None:
    """Simulated: its folder is renamed after the plan was made."""
    tag("photos", out=Path("one.jsonl"))

    def unmounting(step: Any, make: Any, shards: Any) -> Any:
        for answer in impatient(step, make, shards):
            yield answer
            if answer.shard == 1:
                photos.rename("away")

    with pytest.raises(OutputError, match=r"5 shards were left undone: .*was there when the job"):
        tag("photos", shard_size=5, pool=unmounting)
    assert not Path("out.jsonl").exists()
    Path("away").rename(photos)
    assert tag("photos", shard_size=5, pool=impatient, resume=True) == 1
    assert Path("out.jsonl").read_bytes() == Path("one.jsonl").read_bytes()


def test_a_share_that_comes_back_is_waited_for(
    tag: Tag, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag("photos", out=Path("one.jsonl"))
    slept: list[float] = []

    def remount(seconds: float) -> None:
        if not seconds:  # the model's
            return
        slept.append(seconds)
        if len(slept) == 2:
            Path("away").rename(photos)

    monkeypatch.setattr(worker.time, "sleep", remount)

    def unmounted(step: Any, make: Any, shards: Any) -> Any:
        photos.rename("away")
        return here(step, make, shards)

    assert tag("photos", shard_size=20, pool=unmounted) == 1
    assert slept == list(worker.STORAGE_WAITS[:2])
    assert Path("out.jsonl").read_bytes() == Path("one.jsonl").read_bytes()


def test_one_deleted_image_is_an_error_record(tag: Tag, photos: Path) -> None:
    def deleting(step: Any, make: Any, shards: Any) -> Any:
        (photos / "0" / "003.png").unlink()
        return impatient(step, make, shards)

    assert tag("photos", shard_size=20, pool=deleting) == 1
    errors = {r["path"]: r["error"]["type"] for r in records(Path("out.jsonl")) if r["error"]}
    assert errors["photos/0/003.png"] == "missing"


def test_an_image_that_kills_is_found(tag: Tag, photos: Path) -> None:
    """The worker dies of one image: its shard is made one by one, and only that image is lost."""
    from anytag.cli import tag_shards

    original = tag_shards.load

    class Dead(BaseException):
        pass

    def load(tagger: Any, item: Any) -> Any:
        if "016" in str(item):
            raise Dead
        return original(tagger, item)

    def dying(step: Any, make: Any, shards: Any) -> Any:
        for shard in shards:
            while True:
                try:
                    answer = ShardWorker(step, make)(shard)
                except Dead:
                    deaths.append(shard)
                    continue
                break
            yield answer

    deaths: list[int] = []
    tag("photos", out=Path("one.jsonl"))
    tag_shards.load = load
    try:
        assert tag("photos", shard_size=8, pool=dying) == 1
    finally:
        tag_shards.load = original
    expected, found = records(Path("one.jsonl")), records(Path("out.jsonl"))
    different = [b for a, b in zip(expected, found, strict=True) if a != b]
    assert [one["path"] for one in different] == ["photos/1/016.png"]
    assert different[0]["error"]["type"] == "worker_lost"
    assert len(set(deaths)) == 1
    assert len(deaths) == worker.PLAIN_TRIES + 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"out": None}, "--engine ray needs an output"),
        ({"caption_txt": True}, "writes nothing beside the images"),
        ({"form": Format.XMP}, "writes nothing beside the images"),
        ({"out": Path("parts"), "form": Format.COCO}, "a folder of parts holds"),
        ({"form": Format.WEBDATASET}, "needs --engine ray and a folder"),
    ],
)
def test_options_that_do_not_fit(tag: Tag, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tag("x", pool=here, **changes)


def test_options_of_ray_need_ray() -> None:
    from dataclasses import replace

    with pytest.raises(UsageError, match="need --engine ray"):
        replace(default_options(), ray_workers=2)


def test_container_without_a_suffix_of_its_own_is_an_image(tag: Tag, tmp_path: Path) -> None:
    (tmp_path / "tar").write_bytes(picture(1))
    assert tag("tar", pool=here) == 0
    with Image.open(tmp_path / "tar") as image:
        assert records(Path("out.jsonl"))[0]["width"] == image.width
