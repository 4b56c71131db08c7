"""Real Ray: each command once, with the files of one process; finished shards are left alone."""

from __future__ import annotations

import json
import random
import shlex
import subprocess
import sys
import tarfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from anytag.data.problems import Problems
from anytag.data.shards import read_samples

from .conftest import picture
from .ray_jobs import ON_RAY, PATIENCE, Job

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc"),
]


MANIFEST = Path(__file__).parents[2] / "examples" / "kuberay-job.yaml"


@pytest.fixture
def shards(tmp_path: Path) -> list[str]:
    """Two webdataset shards and a Parquet table, of six pictures each."""
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    for shard in range(2):
        with tarfile.open(tmp_path / f"{shard}.tar", "w") as tar:
            for number in range(6):
                path = tmp_path / f"{shard}{number}.png"
                path.write_bytes(picture(10 * shard + number))
                tar.add(path, path.name)
    parquet.write_table(
        arrow.table({"image": [picture(number) for number in range(20, 26)]}),
        tmp_path / "2.parquet",
    )
    return ["0.tar", "1.tar", "2.parquet"]


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Annotations of 14 pictures, one of them broken."""
    rows = ["image,tags"]
    for number in range(14):
        (tmp_path / f"{number}.png").write_bytes(picture(number))
        rows.append(f"{number}.png,{'cat' if number % 2 else 'dog|beach'}")
    (tmp_path / "5.png").write_bytes(b"broken")
    (tmp_path / "truth.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "truth.csv"


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".jsonl", ".npy", ".json", ".scores")
    }


def both(job: Job, command: tuple[str, ...]) -> tuple[int, int]:
    """Exit codes of a command into the folder "ray" and, without Ray, into "one"."""
    codes = []
    for name, more in (("ray", ON_RAY), ("one", ())):
        process = job.begin(*command, "-o", name, *more)
        process.communicate(timeout=PATIENCE)
        codes.append(process.returncode)
    return codes[0], codes[1]


def test_webdataset_and_parquet_in_webdataset_out(job: Job, shards: list[str]) -> None:
    to_parts = (*shards, "-o", "tagged", "--format", "webdataset")
    assert job.run(*to_parts)[0] == 0
    assert job.run(*shards, "-o", "one.jsonl", engine="local")[0] == 0
    parts = [job.folder / "tagged" / f"{number:05}.tar" for number in range(3)]
    samples = [sample for part in parts for sample in read_samples(part, Problems())]
    records = (job.folder / "one.jsonl").read_text().splitlines()
    assert [json.loads(sample.files["json"])["anytag"] for sample in samples] == [
        json.loads(line) for line in records
    ]
    assert [sample.files["png"] for sample in samples[:6]] == [picture(n) for n in range(6)]

    before = [(part.stat().st_ino, part.read_bytes()) for part in parts]
    parts[1].unlink()
    (job.folder / "tagged" / "_job" / "00001.json").unlink()
    code, err = job.run(*to_parts, "--resume")
    assert code == 0
    assert "18 tagged, 0 failed; 12 of them earlier" in err
    after = [(part.stat().st_ino, part.read_bytes()) for part in parts]
    assert (before[0], before[2]) == (after[0], after[2])
    assert before[1][1] == after[1][1]


def test_parquet_out(job: Job, shards: list[str]) -> None:
    from pyarrow import parquet

    assert job.run(*shards, "-o", "ray.parquet")[0] == 0
    assert job.run(*shards, "-o", "one.parquet", engine="local")[0] == 0
    one, ray = (parquet.read_table(job.folder / f"{name}.parquet") for name in ("one", "ray"))
    assert ray.num_rows == 18
    assert ray.equals(one)


def test_parse(job: Job) -> None:
    draw = random.Random(0)
    words = ["two dogs", "a red car", "on the beach", "without people", "near a tree", "at night"]
    for number in range(3):
        rows = [{"caption": " ".join(draw.sample(words, 3))} for _ in range(50)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (job.folder / f"{number}.jsonl").write_text(text)
    inputs = ("parse", "0.jsonl", "1.jsonl", "2.jsonl")
    assert job.end(job.begin(*inputs, "-o", "ray.jsonl.out", "--format", "jsonl", *ON_RAY))[0] == 0
    assert job.end(job.begin(*inputs, "-o", "one.jsonl.out", "--format", "jsonl"))[0] == 0
    ray, one = ((job.folder / f"{name}.jsonl.out").read_bytes() for name in ("ray", "one"))
    assert len(ray.splitlines()) == 150
    assert ray == one


def test_engine_run(job: Job, truth: Path) -> None:
    pytest.importorskip("sklearn")
    settings = (
        *("--data", "truth.csv", "--model", str(job.model), "--device", "cpu", "shard_size=4"),
        *("clean.num_background=5", "clean.min_regions=4", "clean.rules=[outlier, unsure]"),
    )
    command = ("engine", "run", *settings)
    assert both(job, command) == (1, 1)  # for the broken picture
    ray, one = files(job.folder / "ray"), files(job.folder / "one")
    assert {"records/00000.jsonl", "5-judge/00000.npy"} <= set(ray)
    assert ray == one


def test_eval(job: Job, truth: Path) -> None:
    pytest.importorskip("matplotlib")
    command = (
        *("eval", "--annotations", "truth.csv", "--images", ".", "--device", "cpu"),
        *("--workers", "1", "--model", f"seeing={job.model}"),
    )
    assert both(job, command) == (1, 1)  # for the broken picture
    found = files(job.folder / "ray")
    assert "scores/seeing.scores" in found
    assert found == files(job.folder / "one")


@pytest.mark.skipif(not MANIFEST.exists(), reason="examples/ is not part of a wheel")
def test_the_entrypoint_of_the_kuberay_manifest(job: Job, shards: list[str]) -> None:
    yaml = pytest.importorskip("yaml")
    entrypoint = yaml.safe_load(MANIFEST.read_text())["spec"]["entrypoint"]
    assert not set("$'") & set(entrypoint)
    words = shlex.split(entrypoint.replace("/data", str(job.folder)))
    words = [word.replace("anytag tag", f"{sys.executable} -m anytag tag") for word in words]
    words = [
        word.replace("--ray-workers 8", f"--ray-workers 2 --model {job.model}") for word in words
    ]
    environment = job.environment | {"RAY_ADDRESS": "local"}

    def run() -> int:
        return subprocess.run(
            words, env=environment, capture_output=True, timeout=PATIENCE, check=False
        ).returncode

    assert run() != 0  # there are no shards
    (job.folder / "shards").mkdir()
    for name in shards[:2]:
        (job.folder / name).rename(job.folder / "shards" / name)
    with tarfile.open(job.folder / "shards" / "1.tar", "a") as tar:
        (job.folder / "broken.png").write_bytes(b"broken")
        tar.add(job.folder / "broken.png", "broken.png")
    assert run() == 0  # though a picture failed
    parts = sorted((job.folder / "tagged").glob("*.tar"))
    samples = [sample for part in parts for sample in read_samples(part, Problems())]
    assert len(samples) == 13
