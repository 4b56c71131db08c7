"""Score files of other systems, in every format, against the annotations."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anytag.errors import AnnotationError
from anytag.evaluation.annotations import Annotations
from anytag.evaluation.score_files import image_key, read_scores

IMAGES = ("test/a", "test/b", "val/c.jpg")
CLASSES = ("cat", "red car")
SCORES = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.4]], np.float32)


def annotations(images: tuple[str, ...] = IMAGES) -> Annotations:
    truth = np.zeros((len(images), len(CLASSES)), bool)
    truth[0, 0] = True
    return Annotations(images=images, classes=CLASSES, truth=truth)


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def save_parquet(path: Path, columns: dict[str, Any]) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table(columns), path)


def make(form: str, folder: Path, scores: npt.NDArray[Any] = SCORES) -> Path:
    """Scores in one format; photos in another order, with other names and one more."""
    order = [2, 0, 1]
    files = ["/data/val/c.jpg", "/data/test/a.jpg", "b.JPEG", "other.jpg"]
    rows = [*scores[order].tolist(), [0.0, 0.0]]
    path = folder / f"scores.{form.removesuffix('-long')}"
    if form == "npz":
        np.savez(path, scores=np.array(rows), images=np.array(files), classes=np.array(CLASSES))
    elif form == "npy":
        np.save(path, scores)
    elif form == "csv":
        lines = [
            "image,Red_Car,cat",
            *(f"{f},{r[1]},{r[0]}" for f, r in zip(files, rows, strict=True)),
        ]
        write(folder, path.name, "\n".join(lines))
    elif form == "csv-long":
        lines = ["path,tag,score"]
        lines += [
            f"{f},{n},{v}"
            for f, r in zip(files, rows, strict=True)
            for n, v in zip(CLASSES, r, strict=True)
        ]
        write(folder, path.name, "\n".join(lines))
    elif form == "parquet":
        save_parquet(
            path, {"image": files, "cat": [r[0] for r in rows], "red car": [r[1] for r in rows]}
        )
    elif form == "parquet-long":
        cells = [
            (f, n, v)
            for f, r in zip(files, rows, strict=True)
            for n, v in zip(CLASSES, r, strict=True)
        ]
        names = ("image", "tag", "score")
        save_parquet(path, dict(zip(names, map(list, zip(*cells, strict=True)), strict=True)))
    else:
        records = [
            {"path": f, "tags": [{"name": n, "score": v} for n, v in zip(CLASSES, r, strict=True)]}
            for f, r in zip(files, rows, strict=True)
        ]
        records[0] = {"image": files[0], "tags": dict(zip(CLASSES, rows[0], strict=True))}
        write(folder, path.name, "\n".join(map(json.dumps, records)))
    return path


FORMS = ("npz", "npy", "csv", "csv-long", "parquet", "parquet-long", "jsonl")


@pytest.mark.parametrize("form", FORMS)
def test_every_format_gives_the_same_scores(tmp_path: Path, form: str) -> None:
    found = read_scores("x", make(form, tmp_path), annotations())
    np.testing.assert_allclose(found.scores, SCORES, atol=1e-6)
    assert found.supported.all()
    assert found.scored.all()
    assert found.thresholds is None
    assert any("1 images are not in the annotations" in note for note in found.notes) or (
        form == "npy"
    )


def test_classes_that_a_system_lacks_and_other_names(tmp_path: Path) -> None:
    path = write(tmp_path, "s.csv", "image,kitten\ntest/a,1\ntest/b,2\nval/c,3\n")
    found = read_scores("x", path, annotations(), {"cat": ("feline", "kitten")})
    np.testing.assert_array_equal(found.supported, [True, False])
    np.testing.assert_array_equal(found.scores[:, 0], [1, 2, 3])
    assert np.isnan(found.scores[:, 1]).all()


@pytest.mark.parametrize(("scores", "lowest"), [((0.9, 0.8), 0.0), ((-0.9, 0.8), -np.inf)])
def test_scores_that_are_not_in_the_file_are_the_lowest(
    tmp_path: Path, scores: tuple[float, float], lowest: float
) -> None:
    lines = ["image,tag,score", f"test/a,cat,{scores[0]}", f"test/b,red car,{scores[1]}", "c,,"]
    found = read_scores("x", write(tmp_path, "s.csv", "\n".join(lines)), annotations())
    expected = [[scores[0], lowest], [lowest, scores[1]], [lowest, lowest]]
    np.testing.assert_allclose(found.scores, np.array(expected, np.float32))
    assert "66.7% of the scores are not in the file" in found.notes[-1]


GOOGLE = {"responses": [{"labelAnnotations": [{"description": "Cat", "score": 0.9}]}]}
AMAZON = {"Labels": [{"Name": "Automobile", "Confidence": 80.0, "Aliases": [{"Name": "Red Car"}]}]}
AZURE_4 = {"tagsResult": {"values": [{"name": "cat", "confidence": 0.7}]}}
AZURE_3 = {"tags": [{"name": "red car", "confidence": 0.6}], "requestId": "x"}


def test_answers_of_cloud_services_in_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    answers = {"test/a.jpg.json": GOOGLE, "test/b.json": AMAZON, "c.json": AZURE_4}
    for name, answer in answers.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(answer))
    found = read_scores("cloud", folder, annotations())
    np.testing.assert_allclose(found.scores, [[0.9, 0], [0, 0.8], [0.7, 0]], rtol=1e-6)


def test_answers_of_cloud_services_in_jsonl(tmp_path: Path) -> None:
    answers = (("test/a", {}), ("test/b", AZURE_3), ("c", GOOGLE["responses"][0]))
    lines = [json.dumps({"image": image, "response": answer}) for image, answer in answers]
    found = read_scores("cloud", write(tmp_path, "a.jsonl", "\n".join(lines)), annotations())
    np.testing.assert_allclose(found.scores, [[0, 0], [0, 0.6], [0.9, 0]], rtol=1e-6)


def test_of_equal_names_the_highest_counts(tmp_path: Path) -> None:
    lines = ["image,tag,score", "test/a,cat,0.9", "test/a,Cat,0.3", "test/b,cat,0", "c,cat,0"]
    found = read_scores("x", write(tmp_path, "s.csv", "\n".join(lines)), annotations())
    assert found.scores[0, 0] == np.float32(0.9)


WRONG = [
    ("s.csv", "image,cat\ntest/a,1\ntest/b,2\n", "no scores for 1 of 3 images; the first is val/c"),
    ("s.csv", "image,cat\ntest/a,1\nx/test/a.jpg,2\n", "line 3: the image x/test/a.jpg comes"),
    ("s.csv", "image,cat\ntest/a,1\ntest/a,2\n", "line 3: the image test/a comes again"),
    ("s.csv", "image,cow\ntest/a,1\ntest/b,2\nc,3\n", "has none of the 2 classes; it has cow"),
    ("s.csv", "image,cat\ntest/a,1,2\n", "line 2: expected 2 columns, found 3"),
    ("s.csv", "image,cat\ntest/a,high\n", "line 2: the score 'high' is no number"),
    ("s.csv", "image,cat\ntest/a,nan\n", "line 2: the score 'nan' is no finite number; leave out"),
    ("s.csv", "image,cat\ntest/a,1\ntest/b,-inf\n", "line 3: the score '-inf' is no finite number"),
    ("s.csv", "image,tag,score\na,cat,1e39\n", "line 2: the score '1e39' is no finite number"),
    ("s.jsonl", '{"image": "a", "tags": {"cat": NaN}}', "line 1: the score of 'cat' is nan"),
    ("s.jsonl", '{"image": "a", "tags": {}}\n{"image": "b", "tags": {"cat": -Infinity}}',
     "line 2: the score of 'cat' is -inf, expected a finite number"),
    ("s.jsonl", '{"image": "a", "tags": {"cat": 1e999}}', "line 1: the score of 'cat' is inf"),
    ("s.jsonl", '{"image": "a", "tags": {"cat": 1%s}}' % ("0" * 400), "line 1: the score of 'cat'"),
    ("s.jsonl", '{"image": "a", "response": {"Labels": [{"Name": "x", "Confidence": Infinity}]}}',
     "line 1: the score of 'x' is inf"),
    ("s.csv", "picture,cat\n", "line 1: expected a header with 'image'"),
    ("s.csv", "image,tag,score\n", "holds no images"),
    ("s.jsonl", '{"image": "test/a"}\n', "line 1: expected 'tags' as"),
    ("s.jsonl", '{"tags": {}}\n', "line 1: expected an object with 'image'"),
    ("s.jsonl", '\n{"image": "a", "tags": {"cat": "0.5"}}', "line 2: the score of 'cat' is '0.5'"),
    ("s.jsonl", "{", "line 1: is no JSON"),
    ("s.jsonl", '{"path": "a", "error": {"type": "missing"}, "tags": []}', "line 1: a has no"),
    ("s.jsonl", '{"image": "a", "response": {"x": 1}}', "line 1: is no answer of Google"),
    ("s.jsonl", '{"image": "a", "response": {"Labels": [{"Name": "x"}]}}',
     "line 1: is a damaged answer: a label has no 'Confidence'"),
    ("s.xlsx", "", "scores are read from .npz"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "message"), WRONG)
def test_wrong_files(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = write(tmp_path, name, text)
    with pytest.raises(AnnotationError, match=re.escape(message)) as caught:
        read_scores("x", path, annotations())
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"logits": SCORES}, "no array 'scores', found logits"),
        ({"scores": SCORES[:2]}, "expected scores [3, 2] for 3 images and 2 classes, found [2, 2]"),
        ({"scores": SCORES[0]}, "expected scores [images, classes] of numbers"),
        ({"scores": SCORES.astype(str)}, "of numbers, found <U"),
        ({"scores": SCORES, "images": np.array(IMAGES)}, "expected 'classes', texts [2]"),
        ({"scores": SCORES, "classes": np.array(CLASSES), "images": np.arange(3)},
         "expected 'images', texts [3], found int64 [3]"),
        ({"scores": np.where(SCORES > 0.8, np.nan, SCORES)}, "image 1, class 1 is nan, expected"),
        ({"scores": np.where(SCORES > 0.8, np.inf, SCORES)}, "image 1, class 1 is inf, expected"),
        ({"scores": np.where(SCORES > 0.8, 1e39, SCORES.astype(float))}, "class 1 is 1e+39"),
        ({"scores": np.where(SCORES < 0.15, np.nan, SCORES), "images": np.array(IMAGES),
          "classes": np.array(CLASSES)}, "image 1 (test/a), class 2 (red car) is nan"),
    ],
)  # fmt: skip
def test_wrong_arrays(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "s.npz", **arrays)
    with pytest.raises(AnnotationError, match=re.escape(message)):
        read_scores("x", tmp_path / "s.npz", annotations())


BAD = (float("nan"), float("inf"), float("-inf"), 1e39)


@pytest.mark.parametrize("form", ["parquet", "parquet-long"])
@pytest.mark.parametrize("bad", BAD)
def test_parquet_with_a_score_that_is_no_finite_number(
    tmp_path: Path, form: str, bad: float
) -> None:
    path = tmp_path / "s.parquet"
    if form == "parquet":
        save_parquet(path, {"image": list(IMAGES), "cat": [0.5, bad, 0.1]})
    else:
        save_parquet(path, {"image": list(IMAGES), "tag": ["cat"] * 3, "score": [0.5, bad, 0.1]})
    message = rf"s\.parquet, line 2: the score of 'cat' is {re.escape(str(bad))}, expected a finite"
    with pytest.raises(AnnotationError, match=message):
        read_scores("x", path, annotations())


def test_an_empty_cell_of_parquet_is_a_score_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    columns = {"cat": [0.5, None, 0.1], "red car": [None, 0.3, None]}
    save_parquet(path, {"image": list(IMAGES), **columns})
    found = read_scores("x", path, annotations())
    expected = np.array([[0.5, 0], [0, 0.3], [0.1, 0]], np.float32)
    np.testing.assert_array_equal(found.scores, expected)
    assert "50.0% of the scores are not in the file" in found.notes[-1]
    save_parquet(path, {"image": list(IMAGES), "cat": ["0.5", "", "high"]})
    with pytest.raises(AnnotationError, match="a score of 'cat' is no number"):
        read_scores("x", path, annotations())


def test_a_wrong_number_in_a_folder_of_answers_names_its_file(tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    folder.mkdir()
    answer = {"tags": [{"name": "cat", "confidence": float("inf")}]}
    (folder / "b.json").write_text(json.dumps(answer))
    with pytest.raises(AnnotationError, match=r"answers.b\.json: the score of 'cat' is inf"):
        read_scores("x", folder, annotations())


@settings(deadline=None, max_examples=60)
@given(
    form=st.sampled_from(FORMS),
    value=st.one_of(st.floats(), st.floats(width=32), st.sampled_from([3.4e38, 3.5e38, -3.5e38])),
    row=st.integers(0, 2),
)
def test_a_score_is_kept_or_refused_in_every_format(
    form: str, value: float, row: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Finite in float32: kept to the bit; anything else: the file, and the place, are named."""
    if form.startswith("parquet"):
        pytest.importorskip("pyarrow")
    scores = SCORES.astype(np.float64)
    scores[row, 0] = value
    path = make(form, tmp_path_factory.mktemp("score"), scores)
    with np.errstate(over="ignore"):
        kept = np.float32(value)
    if np.isfinite(kept):
        found = read_scores("x", path, annotations())
        assert found.scores[row, 0] == kept
        return
    with pytest.raises(AnnotationError, match=r"line \d|image \d, class 1|image \d \(.*\), class"):
        read_scores("x", path, annotations())


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="does not exist"):
        read_scores("x", tmp_path / "none.npz", annotations())
    for name in ("s.npz", "s.npy", "s.parquet"):
        with pytest.raises(AnnotationError, match="cannot be read"):
            read_scores("x", write(tmp_path, name, "no such file"), annotations())
    np.savez(tmp_path / "cut.npz", scores=SCORES)
    whole = (tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[:100])
    with pytest.raises(AnnotationError, match=r"cut\.npz: cannot be read"):
        read_scores("x", tmp_path / "cut.npz", annotations())
    np.save(tmp_path / "p.npy", np.array([{}], object))  # a pickle is never opened
    with pytest.raises(AnnotationError, match="cannot be read"):
        read_scores("x", tmp_path / "p.npy", annotations())
    (tmp_path / "answers").mkdir()
    write(tmp_path / "answers", "a.json", "{")
    with pytest.raises(AnnotationError, match=r"a\.json: is no JSON"):
        read_scores("x", tmp_path / "answers", annotations())


def test_photos_that_cannot_be_told_apart(tmp_path: Path) -> None:
    path = write(tmp_path, "s.csv", "image,cat\na,1\n")
    with pytest.raises(AnnotationError, match=r"a\.jpg and a\.png, which scores cannot tell"):
        read_scores("x", path, annotations(("a.jpg", "a.png")))


@settings(deadline=None)
@given(name=st.text(st.characters(codec="utf-8"), min_size=1))
def test_image_keys_do_not_change_again(name: str) -> None:
    assert image_key(image_key(name)) == image_key(name)


@settings(deadline=None, max_examples=30)
@given(text=st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_text_is_read_or_refused(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    for name in ("s.csv", "s.jsonl"):
        with pytest.raises(AnnotationError):  # it never has the three photos
            read_scores("x", write(folder, name, text), annotations())
