"""Benchmarks, their names, and the published figures, as data."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

from anytag.errors import AnnotationError, UsageError
from anytag.evaluation.benchmarks import benchmarks, find_benchmark, match_classes
from anytag.evaluation.published import published_figures, published_tables, sources
from anytag.labels.labelset import Label, LabelSet, fold_name

#: the first names of objectInfo150.txt, in its order
ADE20K = """wall building sky floor tree ceiling road bed windowpane grass cabinet sidewalk person
earth door table mountain plant curtain chair car water painting sofa shelf house sea mirror rug
field armchair seat fence desk rock wardrobe lamp bathtub railing cushion base box column signboard
chest_of_drawers counter sand sink skyscraper fireplace refrigerator grandstand path stairs runway
case pool_table pillow screen_door stairway river bridge bookcase blind coffee_table toilet flower
book hill bench countertop stove palm kitchen_island computer swivel_chair boat bar arcade_machine
hovel bus towel light truck tower chandelier awning streetlight booth television_receiver airplane
dirt_track apparel pole land bannister escalator ottoman bottle buffet poster stage van ship
fountain conveyer_belt canopy washer plaything swimming_pool stool barrel basket waterfall tent bag
minibike cradle oven ball food step tank trade_name microwave pot animal bicycle lake dishwasher
screen blanket sculpture hood sconce vase traffic_light tray ashcan fan pier crt_screen plate
monitor bulletin_board shower radiator glass clock flag""".replace("\n", " ").split()


def test_the_sets_are_those_of_the_paper() -> None:
    counts = {one.name: (one.num_classes, one.num_images) for one in benchmarks()}
    table = next(one for one in published_tables() if one.id == "ram-1")
    for row in table.rows:
        if row["method"] != "oppo-common":  # private
            values = row["values"]
            assert counts[row["method"]] == (values["classes"], values["images"])
    assert find_benchmark("COCO-80").title == "COCO-80"
    with pytest.raises(UsageError, match="no test set 'coco'; known: openimages-common"):
        find_benchmark("coco")


def test_the_clean_subset_of_ade20k_has_143_classes() -> None:
    names = [name.replace("_", " ") for name in ADE20K]
    assert len(set(names)) == 150
    clean = find_benchmark("ade20k-clean")
    kept = clean.first_of_each_tag(names)
    dropped = [name for place, name in enumerate(names) if place not in kept]
    assert len(kept) == clean.num_classes == 143
    assert dropped == [
        "stairway", "countertop", "land", "bannister", "buffet", "step", "crt screen"
    ]  # fmt: skip
    assert all(name in clean.rule for name in dropped)
    assert set(clean.names) <= {fold_name(name) for name in names}


def test_mapping_files_name_no_class_that_is_not_there() -> None:
    coco = json.loads((files("anytag.evaluation") / "data" / "coco.json").read_text())
    assert len({names[0] for names in coco.values()}) == len(coco)  # COCO's classes stay apart
    for mapping in ("coco.json", "ade20k.json", "openimages.json"):
        for names in json.loads(
            (files("anytag.evaluation") / "data" / mapping).read_text()
        ).values():
            assert len(names) == len({fold_name(name) for name in names})


def test_names_are_looked_for_in_the_order_of_the_mapping() -> None:
    coco = find_benchmark("coco-133")
    labels = LabelSet(
        [
            Label(id=0, name="mouse"),
            Label(id=1, name="computer mouse"),
            Label(id=2, name="sofa", synonyms=("couch",)),
            Label(id=3, name="sky"),
        ]
    )
    classes = ("mouse", "couch", "sky-other-merged", "wall-brick")
    match = match_classes(classes, labels, {one: coco.names_of(one) for one in classes})
    assert match.names == ("computer mouse", "sofa", "sky", "brick wall")
    assert match.new == ("wall-brick",)
    assert match_classes(("Mouse", "owl"), labels, {}).names == ("mouse", "owl")


def test_files_of_another_set_are_refused(tmp_path: Path) -> None:
    one = {"images": [{"id": 1, "file_name": "a"}], "annotations": [],
           "categories": [{"id": 1, "name": "cat"}]}  # fmt: skip
    path = tmp_path / "instances_val2017.json"
    path.write_text(json.dumps(one))
    with pytest.raises(AnnotationError, match=re.escape("1 classes, COCO-80 has 80; it is made")):
        find_benchmark("coco-80").read(path)
    assert find_benchmark("coco-80").note_on_images(5000) == []
    assert "4 images, COCO-80 has 5,000" in find_benchmark("coco-80").note_on_images(4)[0]


def test_published_figures_are_those_of_the_paper() -> None:
    tables = {one.id: one for one in published_tables()}
    assert list(tables) == [
        "ram-1", "ram-2", "ram-3", "ram-4", "ram-5", "ram-plus-2", "ram-plus-8", "ram-plus-14"
    ]  # fmt: skip
    for one in tables.values():
        assert re.search(r"arXiv \d{4}\.\d{5}, table \d+$", one.source)
        for row in one.rows:
            assert set(row["values"]) <= set(one.columns)
            assert set(row.get("marks", {})) <= set(one.columns)
    by_method = {row["method"]: row for row in tables["ram-2"].rows}
    assert by_method["ML-Decoder"]["marks"]["coco-80"] == ["unsupported-left-out"]
    assert by_method["ML-Decoder"]["marks"]["openimages-rare"] == ["supervised"]
    assert by_method["Tag2Text-4M"]["marks"]["ade20k"] == ["cannot"]
    assert len(tables["ram-5"].rows) == 8


def test_map_and_precision_of_one_method_are_one_figure() -> None:
    found = published_figures({"ade20k-clean": ""})
    ram = next(one for one in found if one.method.startswith("RAM-14M"))
    assert (ram.map, ram.precision, ram.recall) == pytest.approx((0.569, 0.537, 0.522))
    assert ram.source.endswith("table 2 and 3")
    clip = next(one for one in found if one.method == "CLIP-400M")
    assert (clip.map, clip.recall) == (None, pytest.approx(0.055))
    assert sources(found) == [
        "Zhang et al., Recognize Anything: A Strong Image Tagging Model, arXiv 2306.03514, "
        "table 2, 3"
    ]
    common = published_figures({"openimages-common": ""})
    assert sum(one.method == "RAM" for one in common) == 4  # three mAP and one P/R: not joined
    multi = published_figures(find_benchmark("imagenet-multi").published)
    assert {one.note[:3] for one in multi} == {"492", "508"}
