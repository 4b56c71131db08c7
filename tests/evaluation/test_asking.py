"""Models asked for the classes of a set; scores that survive a stop."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anytag.errors import ModelError, OutputError
from anytag.evaluation.asking import Asked, ask_tagger, find_images, score_images
from anytag.evaluation.score_store import ScoreStore, fingerprint
from anytag.inference.tagger import Tagger


def make_photos(folder: Path, number: int) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{i}.png" for i in range(number)]
    for i, path in enumerate(paths):
        Image.new("RGB", (70, 66), (37 * i % 256, 90, 211 * i % 256)).save(path)
    return paths


def test_a_tagger_is_asked_for_every_class_once(tiny_model: Path, tmp_path: Path) -> None:
    tagger = Tagger.from_pretrained(tiny_model)
    classes = ("beach", "hound", "whelp", "red panda", "tree")
    names_of = {"hound": ("dog", "hound"), "whelp": ("puppy",)}  # both are the model's "dog"
    asked = ask_tagger("tiny", tagger, classes, names_of)
    paths = make_photos(tmp_path / "p", 5)
    ids = [path.name for path in paths]
    store = ScoreStore(None, "tiny", asked.settings, ids, asked.num_columns)
    found, failed = score_images(asked, ids, paths, store, batch_size=2, workers=1)
    assert failed == {}
    expected = tagger.with_tags(["beach", "dog", "red panda", "tree"])(
        [str(path) for path in paths]
    )
    for row, result in enumerate(expected):
        assert result.scores is not None
        wanted = result.scores[[0, 1, 1, 2, 3]]
        np.testing.assert_allclose(found.scores[row], wanted, atol=1e-6)
    assert found.supported.all()
    assert found.thresholds is not None
    np.testing.assert_allclose(found.thresholds, [0.5, 0.5, 0.5, 0.4, 1.0])


def test_a_closed_model_answers_for_its_own_tags(released_models: dict[str, Path]) -> None:
    tagger = Tagger.from_pretrained(released_models["tag2text"])
    own = tagger.labels.names[2]
    asked = ask_tagger("t2t", tagger, ("zyzzyva", own))
    assert asked.columns[0] == ()
    assert asked.columns[1]
    assert "its own tags alone" in asked.notes[0]
    with pytest.raises(ModelError, match="t2t has none of the 1 classes: 'zyzzyva'"):
        ask_tagger("t2t", tagger, ("zyzzyva",))


def test_descriptions_are_asked_for(tiny_model: Path) -> None:
    tagger = Tagger.from_pretrained(tiny_model)
    plain = ask_tagger("tiny", tagger, ("cat", "beach"))
    described = ask_tagger("tiny", tagger, ("cat", "beach"), None, {"Cat": ["red panda"]})
    assert plain.settings["descriptions"] is None
    assert described.settings["descriptions"] == {"cat": ["red panda"], "beach": []}
    pixels = np.full((1, tagger.image_size, tagger.image_size, 3), 80, np.uint8)
    assert plain.score(pixels)[0, 1] == described.score(pixels)[0, 1]
    assert plain.score(pixels)[0, 0] != described.score(pixels)[0, 0]


class Counting:
    """A model that counts its photos and can stop in the middle."""

    def __init__(self, stop_at: int = 10**9) -> None:
        self.seen = 0
        self._stop_at = stop_at

    def ask(self, **settings: str) -> Asked:
        from anytag.data.images import load_image

        def score(pixels: np.ndarray) -> np.ndarray:
            if self.seen + len(pixels) > self._stop_at:
                raise KeyboardInterrupt
            self.seen += len(pixels)
            return pixels.reshape(len(pixels), -1, 3).mean(axis=1).astype(np.float32) / 255

        return Asked(
            name="counting",
            settings=settings,
            load=lambda path: load_image(path, size=4),
            score=score,
            num_columns=3,
            columns=((0,), (), (1, 2)),
        )


def run(folder: Path, model: Counting, paths: list[Path], **settings: str) -> np.ndarray:
    ids = [path.name for path in paths]
    asked = model.ask(**settings)
    store = ScoreStore(folder, asked.name, asked.settings, ids, asked.num_columns)
    try:
        return score_images(asked, ids, paths, store, batch_size=2, workers=1)[0].scores
    finally:
        store.close()


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    paths = make_photos(tmp_path / "p", 9)
    whole = run(tmp_path / "a", Counting(), paths)
    stopped = Counting(stop_at=5)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", stopped, paths)
    file = tmp_path / "b" / "counting.scores"
    os.truncate(file, file.stat().st_size - 3)  # torn in a record
    rest = Counting()
    np.testing.assert_array_equal(run(tmp_path / "b", rest, paths), whole)
    assert rest.seen == 9 - stopped.seen + 1
    again = Counting()
    np.testing.assert_array_equal(run(tmp_path / "b", again, paths), whole)
    assert again.seen == 0
    assert np.isnan(whole[:, 1]).all()  # the class that is not supported
    np.testing.assert_array_equal(whole[:, 2], np.maximum(90 / 255, whole[:, 2]))


def test_what_changes_the_scores_begins_anew(tmp_path: Path) -> None:
    paths = make_photos(tmp_path / "p", 3)
    run(tmp_path, Counting(), paths, template="a")
    other = Counting()
    run(tmp_path, other, paths, template="b")
    assert other.seen == 3
    Image.new("RGB", (9, 9), (1, 2, 3)).save(paths[1])
    changed = Counting()
    found = run(tmp_path, changed, paths, template="b")
    assert changed.seen == 1
    assert found[1, 0] == np.float32(1 / 255)
    fewer = Counting()
    run(tmp_path, fewer, paths[:2], template="b")
    assert fewer.seen == 2


def test_photos_that_fail_are_tried_again(tmp_path: Path) -> None:
    paths = make_photos(tmp_path / "p", 3)
    paths[1].unlink()
    paths[2].write_bytes(b"no image")
    model = Counting()
    ids = [path.name for path in paths]
    asked = model.ask()
    store = ScoreStore(tmp_path, "m", {}, ids, 3)
    seen: list[bool] = []
    found, failed = score_images(asked, ids, paths, store, advance=seen.append)
    store.close()
    assert list(failed) == ["1.png", "2.png"]
    assert "does not exist" in failed["1.png"]
    assert found.scored.tolist() == [True, False, False]
    assert seen == [False, True, True]
    make_photos(tmp_path / "p", 3)
    run_again = Counting()
    store = ScoreStore(tmp_path, "m", {}, ids, 3)
    found, failed = score_images(run_again.ask(), ids, paths, store)
    store.close()
    assert (failed, found.scored.all()) == ({}, True)
    assert fingerprint(tmp_path / "none") == 0


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot use"):
        ScoreStore(tmp_path / "file", "m", {}, ["a"], 2)


def test_photos_are_found_with_and_without_ending(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    for name in ("test/a.jpg", "b.png", "c.JPEG"):
        (tmp_path / name).write_bytes(b"")
    found = find_images(["test/a", "x/b.png", "c", "gone"], tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "test/a.jpg", "b.png", "c.JPEG", "gone"
    ]  # fmt: skip
