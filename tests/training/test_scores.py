"""Another tagger's scores as answers: which ones count, where they come from, what is refused."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anytag.data.record_files import write_jsonl
from anytag.data.records import Record
from anytag.errors import AnnotationError, ConfigError
from anytag.labels.labelset import Label, LabelSet
from anytag.training.config import SourceConfig
from anytag.training.examples import Examples, open_examples
from anytag.training.scores import match_pictures
from anytag.training.targets import TargetMaker, gather_evidence

LABELS = LabelSet(
    [
        Label(id=0, name="cat", parents=("animal",)),
        Label(id=1, name="dog", synonyms=("puppy",)),
        Label(id=2, name="animal"),
        Label(id=3, name="grass"),
        Label(id=4, name="sky"),
    ]
)
RECORDS = [
    Record(image="/x/photos/0.jpg", tags=("cat",)),
    Record(image="/x/photos/1.jpg", tags=("dog", "grass")),
    Record(image="/x/photos/2.jpg"),
]
CLASSES = ["cat", "puppy", "Dog", "animal", "unicorn", "sky"]
VALUES = np.array(
    [[0.25, 0.5, 0.125, 0.75, 1.0, 0.0], [0.5, 0.0, 0.0, 0.25, 1.0, 0.875]], np.float32
)


def write_npz(path: Path, images: list[str], values: np.ndarray = VALUES) -> Path:
    np.savez(path, scores=values, images=np.array(images), classes=np.array(CLASSES))
    return path


def open_set(
    folder: Path, scores: Path | None, *, records: list[Record] = RECORDS, **options: object
) -> Examples:
    write_jsonl(folder / "set.jsonl", records)
    named = None if scores is None else str(scores)
    source = SourceConfig(path=str(folder / "set.jsonl"), scores=named, **options)  # type: ignore[arg-type]
    return open_examples([source], folder / "cache")


def make(folder: Path, scores: Path | None, **options: object) -> tuple[TargetMaker, Examples]:
    examples = open_set(folder, scores, **options)
    maker = TargetMaker(LABELS)
    maker.evidence = gather_evidence(examples, maker, folder / "cache")
    return maker, examples


def answers(maker: TargetMaker, examples: Examples) -> list[tuple[list[float], list[float]]]:
    found = []
    for number in range(len(examples)):
        ids = maker.make(examples.record(number)[1]).ids
        targets, weights = maker.answers(*examples.place(number), ids)
        assert weights is not None
        found.append((targets.tolist(), weights.tolist()))
    return found


def test_people_come_first_and_scores_speak_of_the_rest(tmp_path: Path) -> None:
    """dog and puppy are one tag, with the higher score; the third picture is not in the file."""
    scores = write_npz(tmp_path / "s.npz", ["photos/0.jpg", "photos/1.jpg"])
    maker, examples = make(tmp_path, scores, exhaustive=False, absent_weight=0.5)
    assert answers(maker, examples) == [
        # cat is named, and so animal; dog 0.5 and sky 0 by the scores; grass is named elsewhere
        ([1.0, 0.5, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.5, 1.0]),
        ([0.5, 1.0, 0.25, 1.0, 0.875], [1.0, 1.0, 1.0, 1.0, 1.0]),
        ([0.0, 0.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.5, 0.5, 0.0]),
    ]
    assert maker.notes() == (
        f"{scores}: no scores for 1 of 3 pictures; they are learned from their own tags alone",
        f"{scores}: 1 classes are no tags that are learned and are left out: unicorn",
    )
    again = pickle.loads(pickle.dumps(maker))  # as a worker process gets it
    assert answers(again, examples) == answers(maker, examples)
    assert b"float16" not in pickle.dumps(maker)  # the table itself is mapped and not sent


def test_of_an_exhaustive_set_its_own_tags_are_settled(tmp_path: Path) -> None:
    scores = write_npz(tmp_path / "s.npz", ["0", "1"])
    maker, examples = make(tmp_path, scores, absent_weight=0.25)
    assert answers(maker, examples) == [
        ([1.0, 0.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0, 1.0]),
        ([0.0, 1.0, 0.0, 1.0, 0.875], [1.0, 1.0, 1.0, 1.0, 1.0]),
        ([0.0, 0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0, 0.25]),
    ]


def test_pictures_without_any_tag_learn_from_scores_alone(tmp_path: Path) -> None:
    records = [Record(image="/x/photos/0.jpg"), Record(image="/x/photos/1.jpg")]
    scores = write_npz(tmp_path / "s.npz", ["photos/1.jpg", "photos/0.jpg"])
    maker, examples = make(tmp_path, scores, records=records)
    assert [targets for targets, _ in answers(maker, examples)] == [
        [0.5, 0.0, 0.25, 0.0, 0.875],
        [0.25, 0.5, 0.75, 0.0, 0.0],
    ]


def test_records_of_a_tagger_with_a_failed_picture(tmp_path: Path) -> None:
    """What is below the tagger's threshold is not in its records, and counts as 0."""
    lines = [
        {"path": "photos/0.jpg", "error": None, "tags": [{"name": "dog", "score": 0.75}]},
        {"path": "photos/1.jpg", "error": {"kind": "truncated", "message": "no"}, "tags": []},
        {"path": "photos/2.jpg", "error": None, "tags": [{"name": "sky", "score": 0.5}]},
    ]
    path = tmp_path / "s.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    maker, examples = make(tmp_path, path, exhaustive=False)
    assert [targets for targets, _ in answers(maker, examples)] == [
        [1.0, 0.75, 1.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 1.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.5],
    ]


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    scores = write_npz(tmp_path / "s.npz", ["0", "1"])
    before = answers(*make(tmp_path, scores, exhaustive=False))
    assert answers(*make(tmp_path, scores, exhaustive=False)) == before
    write_npz(scores, ["1", "0", "2"], np.concatenate([VALUES, VALUES[:1]]))
    after = answers(*make(tmp_path, scores, exhaustive=False))
    assert after[0][0][4] == 0.875
    assert after[2][0] == [0.25, 0.5, 0.75, 0.0, 0.0]


def test_without_scores_nothing_is_gathered_unless_asked(tmp_path: Path) -> None:
    maker, examples = make(tmp_path, None)
    assert maker.evidence is None
    targets, weights = maker.answers(0, 0, [1])
    assert (targets.tolist(), weights) == ([0, 1, 0, 0, 0], None)
    maker, examples = make(tmp_path, None, absent_weight=0.5)
    assert [weights for _, weights in answers(maker, examples)] == [[1, 1, 1, 1, 0.5]] * 3


@pytest.mark.parametrize(
    ("values", "images", "message"),
    [
        (VALUES * 8, ["0", "1"], r"score of 'cat' for 0 is 2, expected probabilities"),
        (VALUES - 1, ["0", "1"], r"1 / \(1 \+ exp\(-x\)\)"),
        (VALUES, ["8", "9"], r"has no picture of .*set\.jsonl; it begins with 8"),
        (VALUES, ["a/photos/0.jpg", "b/photos/0.jpg"], r"photos/0\.jpg may be .* and "),
    ],
)
def test_what_is_refused(
    tmp_path: Path, values: np.ndarray, images: list[str], message: str
) -> None:
    with pytest.raises(AnnotationError, match=message):
        make(tmp_path, write_npz(tmp_path / "s.npz", images, values))


def test_files_that_name_no_pictures_or_no_tags(tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", VALUES)
    with pytest.raises(AnnotationError, match="which picture"):
        make(tmp_path, tmp_path / "s.npy")
    (tmp_path / "s.csv").write_text("image,unicorn\nphotos/0.jpg,0.5\n")
    with pytest.raises(AnnotationError, match="none of its 1 classes is a tag"):
        make(tmp_path, tmp_path / "s.csv")
    with pytest.raises(AnnotationError, match="does not exist"):
        make(tmp_path, tmp_path / "none.npz")
    with pytest.raises(ConfigError, match="absent_weight is 0"):
        SourceConfig(path="x", absent_weight=0)


def match(found: list[str], wanted: list[str]) -> list[int]:
    return match_pictures(Path("s.npz"), found, wanted).tolist()


def test_pictures_are_told_apart_by_their_folders() -> None:
    wanted = ["/d/cat/1.jpg", "/d/dog/1.jpg", "/d/dog/2.png"]
    assert match(["pets/dog/1.jpg", "pets/cat/1.jpg"], wanted) == [1, 0, -1]
    assert match(["2"], wanted) == [-1, -1, 0]
    assert match(["fox/2.png"], wanted) == [-1, -1, -1]
    assert match(["x.tar/000.jpg"], ["/far/x.tar/000.jpg", "/far/y.tar/000.jpg"]) == [0, -1]
    same = ["/d/a/x/1.jpg", "/d/b/x/1.jpg"]
    assert match(["/d/b/x/1.jpg"], same) == [-1, 0]
    with pytest.raises(AnnotationError, match=r"1 may be /d/cat/1\.jpg and /d/dog/1\.jpg"):
        match(["1"], wanted)
    with pytest.raises(AnnotationError, match="may be"):
        match(["x/1.jpg"], same)


@given(st.permutations(range(6)), st.lists(st.sampled_from("abc"), min_size=6, max_size=6))
def test_any_order_of_a_file_is_found(order: list[int], folders: list[str]) -> None:
    wanted = [f"/data/{folder}/{number}.jpg" for number, folder in enumerate(folders)]
    found = [f"photos/{folders[number]}/{number}.jpeg" for number in order]
    places = match(found, wanted)
    assert [order[place] for place in places] == list(range(6))
