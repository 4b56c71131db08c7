"""Lists beside released checkpoints: the line number is the id."""

from pathlib import Path
from typing import Any

import pytest

from anytag.errors import LabelError
from anytag.labels.labelset import LabelSet
from anytag.labels.tag_files import TAG2TEXT_MUTED, read_lines, read_released_labels

REFERENCE = Path(__file__).parents[3] / "shared/reference"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dog\ncat", ["dog", "cat"]),
        ("\ufeffdog \r\n cat\r\n", ["dog", "cat"]),
        ("狗 \n\n猫\n", ["狗", "", "猫"]),
        ("a\x0bb\u2028c\n", ["a\x0bb\u2028c"]),  # splitlines() would make three lines
    ],
)
def test_lines(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert read_lines(write(tmp_path, "list.txt", text)) == expected


def test_repeated_names_keep_their_ids_and_thresholds(tmp_path: Path) -> None:
    tags = write(tmp_path, "tags.txt", "watch\ndog\nWatch\n")
    thresholds = write(tmp_path, "thresholds.txt", "0.1\n0.2\n0.3\n")
    labels = read_released_labels(tags, family="ram", thresholds=thresholds)
    assert labels.names == ["watch", "dog", "Watch"]
    assert [label.threshold for label in labels] == [0.1, 0.2, 0.3]
    assert [label.id for label in labels.find_all("WATCH")] == [0, 2]
    found = labels.find("watch")
    assert found is not None
    assert found.id == 0
    by_name = labels.with_thresholds({"watch": 0.9})
    assert [label.threshold for label in by_name] == [0.9, 0.2, 0.9]
    path = tmp_path / "labels.json"
    path.write_text(by_name.to_json())
    assert LabelSet.load(path, repeated_names=True) == by_name
    with pytest.raises(LabelError, match="occurs twice"):
        LabelSet.load(path)


def test_translations_are_aligned_by_line(tmp_path: Path) -> None:
    tags = write(tmp_path, "tags.txt", "dog\ncat\nlion")
    chinese = write(tmp_path, "zh.txt", "狗 \n\n猫 \n")
    labels = read_released_labels(tags, family="ram", translations={"zh": chinese})
    assert [label.display_name("zh") for label in labels] == ["狗", "cat", "猫"]


def test_muted_by_name(tmp_path: Path) -> None:
    tags = write(tmp_path, "tags.txt", "two\ndog\nTwo\n")
    labels = read_released_labels(tags, family="ram", muted=["two"])
    assert [label.muted for label in labels] == [True, False, True]
    path = tmp_path / "labels.json"
    path.write_text(labels.to_json())
    assert '"muted": true' in path.read_text()
    assert LabelSet.load(path, repeated_names=True) == labels


@pytest.mark.parametrize(
    ("tags", "arguments", "message"),
    [
        ("", {}, "holds no tag names"),
        ("dog\n\ncat\n", {}, "line 2 is empty"),
        ("dog\ncat\n", {"translations": "狗\n"}, "1 lines for the 2 tags"),
        ("dog\ncat\n", {"thresholds": "0.5\n"}, "1 thresholds for 2 tags"),
        ("dog\ncat\n", {"muted": ["cow"]}, "no tag named 'cow' to mute"),
    ],
)
def test_wrong_lists(tmp_path: Path, tags: str, arguments: dict[str, Any], message: str) -> None:
    arguments = dict(arguments)
    if "translations" in arguments:
        path = write(tmp_path, "zh.txt", arguments["translations"])
        arguments["translations"] = {"zh": path}
    if "thresholds" in arguments:
        arguments["thresholds"] = write(tmp_path, "thresholds.txt", arguments["thresholds"])
    path = write(tmp_path, "tags.txt", tags)
    with pytest.raises(LabelError, match=message):
        read_released_labels(path, family="ram", **arguments)
    with pytest.raises(LabelError, match="cannot be read"):
        read_released_labels(tmp_path / "missing.txt", family="ram")


def test_tag2texts_own_values_need_its_own_list(tmp_path: Path) -> None:
    other = write(tmp_path, "tags.txt", "\n".join(f"tag {i}" for i in range(3429)))
    labels = read_released_labels(other, family="tag2text")
    assert {label.threshold for label in labels} == {0.68}
    assert not any(label.muted for label in labels)


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the published lists are not beside this clone")
class TestPublishedLists:
    def test_ram(self) -> None:
        labels = read_released_labels(
            REFERENCE / "ram_tag_list.txt",
            family="ram",
            thresholds=REFERENCE / "ram_tag_list_threshold.txt",
            translations={"zh": REFERENCE / "ram_tag_list_chinese.txt"},
        )
        assert len(labels) == 4585
        assert labels[0].name == "3D CG rendering"
        assert labels[0].display_name("zh") == "三维CG渲染"
        never = {label.name for label in labels if label.threshold == 1.0}
        assert never == {
            "body", "cocktail table", "French", "group", "lie",
            "show", "see", "set", "stop", "use",
        }  # fmt: skip
        assert sum(label.threshold == 0.65 for label in labels) == 3414
        chinese = [label.translations["zh"] for label in labels]
        assert len(set(chinese)) == 4379  # 4,466 if blanks at the ends are kept
        assert all(text == text.strip() for text in chinese)

    def test_tag2text(self) -> None:
        labels = read_released_labels(REFERENCE / "tag2text_tag_list.txt", family="tag2text")
        assert len(labels) == 3429
        assert [(label.id, label.name) for label in labels if label.muted] == sorted(TAG2TEXT_MUTED)
        special = {label.name: label.id for label in labels if label.threshold == 0.7}
        assert special == {"person": 2701, "man": 2828, "woman": 1167}
        unmuted = read_released_labels(
            REFERENCE / "tag2text_tag_list.txt", family="tag2text", muted=[]
        )
        assert not any(label.muted for label in unmuted)
