"""The endpoints against the library: the same tags, by every way in which a request can come."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from tests.serve.servers import Running, photo, running

from anytag.inference.explain import METHODS, Explainer
from anytag.inference.tagger import Tagger
from anytag.serve import schemas


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def body(response: httpx.Response) -> dict[str, Any]:
    """The answer without its time."""
    assert response.status_code == 200, response.text
    record: dict[str, Any] = response.json()
    assert record.pop("elapsed_ms") > 0
    return record


def names(record: dict[str, Any]) -> list[str]:
    return [tag["name"] for tag in record["tags"]]


def refused(response: httpx.Response, status: int, kind: str) -> str:
    """The message of an error."""
    assert response.status_code == status, response.text
    error = schemas.ErrorResponse.model_validate(response.json()).error
    assert error.type == kind
    assert error.request_id == response.headers["x-request-id"]
    return error.message


@pytest.fixture(scope="module")
def tagger(seeing_model: Path) -> Tagger:
    return Tagger.from_pretrained(seeing_model)


def test_a_form_gives_the_record_of_the_library(
    shared: Running, tagger: Tagger, data: bytes
) -> None:
    record = body(shared.tag(data))
    expected = tagger(data).record()
    assert expected["tags"]  # else nothing would be compared
    assert record == {**expected, "path": "photo.png"}
    assert record["sha256"] == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("way", ["json", "data url", "url-safe", "raw", "octets", "file field"])
def test_all_ways_give_the_same(shared: Running, data: bytes, way: str) -> None:
    text = encoded(data)
    answer = {
        "json": lambda: shared.post("/v1/tag", json={"image": text}),
        "data url": lambda: shared.post("/v1/tag", json={"image": f"data:image/png;base64,{text}"}),
        "url-safe": lambda: shared.post(
            "/v1/tag", json={"image": base64.urlsafe_b64encode(data).decode().rstrip("=")}
        ),
        "raw": lambda: shared.post("/v1/tag", content=data, headers={"Content-Type": "image/png"}),
        "octets": lambda: shared.post(
            "/v1/tag", content=data, headers={"Content-Type": "application/octet-stream"}
        ),
        "file field": lambda: shared.post("/v1/tag", files={"file": data}),
    }[way]()
    expected = body(shared.tag(data))
    assert {**body(answer), "path": None} == {**expected, "path": None}


def test_options_come_in_the_query_the_form_or_the_json(shared: Running, data: bytes) -> None:
    asked = {"tags": ["red panda", "dog"], "top_k": 1, "model": "tiny", "all_scores": True}
    form = shared.post(
        "/v1/tag",
        files={"image": data},
        data={"tags": ["red panda", "dog"], "top_k": "1", "model": "tiny", "all_scores": "yes"},
    )
    listed = shared.tag(data, tags='["red panda", "dog"]', top_k=1, model="tiny", all_scores=1)
    query = shared.post(
        "/v1/tag", params=asked, content=data, headers={"Content-Type": "image/png"}
    )
    answers = [
        body(shared.post("/v1/tag", json={"image": encoded(data), **asked})),
        *map(body, (form, listed, query)),
    ]
    for answer in answers:
        assert answer["model"] == "tiny-1"
        assert answer["names"] == ["red panda", "dog"]
        assert len(answer["tags"]) == 1
        assert answer["scores"] == answers[0]["scores"]


def test_the_body_counts_more_than_the_query(shared: Running, data: bytes) -> None:
    files = {"image": data}
    answer = body(shared.post("/v1/tag?top_k=4", files=files, data={"top_k": "2"}))
    assert len(answer["tags"]) == 2


def test_own_tags_alone_and_beside_the_built_in_ones(
    shared: Running, tagger: Tagger, data: bytes
) -> None:
    own = body(shared.tag(data, tags=["red panda", "cat"], threshold="0"))
    assert sorted(names(own)) == ["cat", "red panda"]
    both = body(shared.tag(data, tags="red panda", extend="true", threshold="0"))
    assert sorted(names(both)) == sorted([*tagger.labels.names, "red panda"])
    expected = tagger.with_tags(["red panda"], extend=True)(data, threshold=0.0).record()
    assert both["tags"] == expected["tags"]


@pytest.mark.parametrize("threshold", ["auto", 0.0, 0.25, 1.0, None])
@pytest.mark.parametrize("top_k", [1, 3, None])
def test_thresholds_and_top_k(
    shared: Running, tagger: Tagger, data: bytes, threshold: Any, top_k: Any
) -> None:
    asked = {"image": encoded(data), "threshold": threshold, "top_k": top_k}
    answer = body(shared.post("/v1/tag", json=asked))
    assert answer["tags"] == tagger(data, threshold=threshold, top_k=top_k).record()["tags"]


def test_all_scores_are_those_of_all_tags_in_id_order(
    shared: Running, tagger: Tagger, data: bytes
) -> None:
    answer = body(shared.tag(data, all_scores=True))
    assert answer["names"] == tagger.labels.names
    scores = tagger(data).scores
    assert scores is not None
    np.testing.assert_allclose(answer["scores"], scores, atol=1e-6)


def test_a_batch_has_one_record_an_image_and_errors_in_their_place(
    shared: Running, tagger: Tagger
) -> None:
    photos = [photo(number) for number in range(3)]
    broken = photos[0][: len(photos[0]) // 2]
    sent = [photos[0], b"no image", photos[1], broken, photos[2], b""]
    files = [("images", (f"{at}.png", content)) for at, content in enumerate(sent)]
    answer = body(shared.post("/v1/tag/batch", files=files, data={"threshold": "0.2"}))
    as_json = {"images": [encoded(content) for content in sent], "threshold": 0.2}
    listed = body(shared.post("/v1/tag/batch", json=as_json))
    schemas.BatchResponse.model_validate({**answer, "elapsed_ms": 1.0})
    records = answer["results"]
    assert [record["path"] for record in records] == [f"{at}.png" for at in range(6)]
    kinds = [record["error"] and record["error"]["type"] for record in records]
    assert kinds == [None, "not_an_image", None, "truncated", None, "empty"]
    for at, number in ((0, 0), (2, 1), (4, 2)):
        assert records[at]["tags"] == tagger(photos[number], threshold=0.2).record()["tags"]
    assert [{**one, "path": None} for one in records] == listed["results"]


def test_names_of_images_in_json(shared: Running, data: bytes) -> None:
    sent = [{"image": encoded(data), "name": "eins/Äpfel.png"}, encoded(data)]
    answer = body(shared.post("/v1/tag/batch", json={"images": sent}))
    assert [record["path"] for record in answer["results"]] == ["eins/Äpfel.png", None]


def test_bad_base64_of_one_image_is_its_own_error(shared: Running, data: bytes) -> None:
    answer = body(shared.post("/v1/tag/batch", json={"images": ["%%%", encoded(data)]}))
    assert [one["error"] and one["error"]["type"] for one in answer["results"]] == [
        "bad_base64",
        None,
    ]


def test_explanations_are_those_of_the_library(
    shared: Running, tagger: Tagger, data: bytes
) -> None:
    for method in METHODS:
        answer = body(shared.post("/v1/explain", files={"image": data},
                                  data={"tag": "cat", "method": method}))  # fmt: skip
        expected = Explainer(tagger, ["cat"], method)(data)[0]
        grid = answer["heatmap"]
        assert (grid["height"], grid["width"]) == expected.grid.shape
        np.testing.assert_allclose(grid["values"], expected.grid.ravel(), atol=1e-4)
        assert answer["score"] == round(expected.score, 4)
        assert answer["box"] == (list(expected.pixel_box) if expected.grid.any() else None)
        assert (answer["width"], answer["height"]) == (90, 70)
        schemas.ExplainResponse.model_validate({**answer, "elapsed_ms": 1.0})


def test_an_explanation_as_a_picture(shared: Running, data: bytes) -> None:
    asked = {"image": encoded(data), "tag": "red panda", "format": "png"}
    answer = shared.post("/v1/explain", json=asked)
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).size == (90, 70)


def test_methods_of_the_schema_are_those_of_the_library() -> None:
    described = schemas.ExplainOptions.model_json_schema()["properties"]["method"]
    assert described["enum"] == list(METHODS)


def test_a_model_without_captioner_says_so(shared: Running, data: bytes) -> None:
    message = refused(shared.post("/v1/caption", files={"image": data}), 409, "model")
    assert "writes no captions" in message


def test_captions_are_those_of_the_library(released_models: dict[str, Path], data: bytes) -> None:
    expected = Tagger.from_pretrained(released_models["tag2text"])
    with running({"tag2text": released_models["tag2text"]}) as client:
        listed = client.get("/v1/models").json()["models"][0]
        assert (listed["captioner"], listed["own_tags"]) == (True, "none")
        answer = body(client.post("/v1/caption", files={"image": data}))
        assert answer["caption"] == expected.caption(data)
        guided = client.post("/v1/caption", files={"image": data}, data={"tags": ["tree", "dog"]})
        assert body(guided)["caption"] == expected.caption(data, ["tree", "dog"])
        schemas.CaptionResponse.model_validate(guided.json())
        message = refused(client.tag(data, tags="no such tag"), 422, "tags")
        assert "Tag2Text knows no others" in message


def test_models_and_their_tags(shared: Running, tagger: Tagger) -> None:
    answer = shared.get("/v1/models").json()
    found = schemas.ModelsResponse.model_validate(answer).models
    assert [(one.name, one.default, one.explains) for one in found] == [
        ("seeing", True, True),
        ("tiny", False, True),
    ]
    assert (found[0].num_tags, found[0].image_size) == (5, 64)
    labels = schemas.LabelsResponse.model_validate(shared.get(found[0].tags_url).json())
    assert [label.name for label in labels.tags] == tagger.labels.names
    assert labels.tags[1].synonyms == ["puppy"]
    refused(shared.get("/v1/models/other/tags"), 404, "no_such_model")


def test_answers_fit_their_schemas(shared: Running, data: bytes) -> None:
    schemas.TagResponse.model_validate(shared.tag(data, all_scores=True).json())
    assert shared.get("/healthz").json() == {"status": "ok"}
    assert shared.get("/readyz").json() == {"status": "ready"}


JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


@pytest.mark.parametrize(
    ("headers", "content", "status", "kind"),
    [
        (JSON, b"{", 400, "bad_json"),
        (JSON, b"\xff\xfe", 400, "bad_json"),
        (JSON, b"[" * 100_000, 400, "bad_json"),
        (JSON, b"[]", 422, "invalid"),
        (JSON, b"{}", 422, "no_image"),
        (JSON, b'{"image": 5}', 422, "invalid"),
        (JSON, b'{"image": null}', 422, "invalid"),
        (JSON, b'{"image": "%%%"}', 400, "bad_base64"),
        (JSON, '{"image": "ä"}'.encode(), 400, "bad_base64"),
        (JSON, b'{"image": "AAAA"}', 415, "not_an_image"),
        (JSON, b'{"image": ""}', 422, "empty"),
        (JSON, b'{"image": "AAAA", "url": "http://example.org/a.jpg"}', 422, "invalid"),
        (JSON, b'{"url": "http://example.org/a.jpg"}', 403, "urls_not_allowed"),
        (JSON, b'{"images": "AAAA"}', 422, "invalid"),
        (JSON, b'{"images": ["AAAA", "AAAA"]}', 422, "too_many_images"),
        (JSON, b'{"image": "AAAA", "colour": "red"}', 422, "invalid"),
        (JSON, b'{"image": "AAAA", "top_k": 0}', 422, "invalid"),
        (JSON, b'{"image": "AAAA", "threshold": NaN}', 422, "invalid"),
        (JSON, b'{"image": "AAAA", "threshold": 1.5}', 422, "invalid"),
        (JSON, b'{"image": "AAAA", "tags": "cat"}', 422, "invalid"),
        (JSON, b'{"image": "AAAA", "tags": [" "]}', 422, "tags"),
        (JSON, b'{"image": "AAAA", "tags": ["\\ud800"]}', 422, "tags"),
        (JSON, b'{"image": "AAAA", "\\ud800": 1}', 422, "invalid"),
        (JSON, b'{"image": "AAAA", "model": "\\ud800"}', 404, "no_such_model"),
        (JSON, b'{"image": "AAAA", "model": "other"}', 404, "no_such_model"),
        (FORM, b"", 422, "no_image"),
        (FORM, b"no form", 400, "bad_form"),
        (FORM, b"--x\r\n\r\nabc\r\n--x--\r\n", 400, "bad_form"),
        (
            FORM,
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--',
            422,
            "no_image",
        ),
        ({"Content-Type": "multipart/form-data"}, b"abc", 400, "bad_form"),
        ({"Content-Type": "text/plain"}, b"abc", 415, "unsupported_media_type"),
        ({}, b"abc", 415, "unsupported_media_type"),
        ({"Content-Type": "image/jpeg"}, b"", 422, "empty"),
        ({"Content-Type": "image/jpeg"}, b"\xff\xd8\xff\xe0 no", 422, "truncated"),
        ({"Content-Type": "image/svg+xml"}, b"<svg/>", 415, "unsupported"),
    ],
)
def test_bad_requests(
    shared: Running, headers: dict[str, str], content: bytes, status: int, kind: str
) -> None:
    refused(shared.post("/v1/tag", content=content, headers=headers), status, kind)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"top_k": ["1", "2"]}, "given twice"),
        ({"tags": '["a"'}, "not a valid JSON list"),
        ({"tags": "[1]"}, "valid string"),
        ({"image": "text"}, "must be a file"),
        ({"threshold": "high"}, "threshold"),
        ({"extend": "perhaps"}, "extend"),
    ],
)
def test_bad_form_fields(shared: Running, data: bytes, fields: dict[str, Any], text: str) -> None:
    assert text in refused(
        shared.post("/v1/tag", files={"file": data}, data=fields), 422, "invalid"
    )


def test_explanations_need_a_tag(shared: Running, data: bytes) -> None:
    assert "tag" in refused(shared.post("/v1/explain", files={"image": data}), 422, "invalid")
    files = {"image": data}
    refused(shared.post("/v1/explain", files=files, data={"tag": " "}), 422, "tags")
    asked = {"tag": "cat", "method": "magic"}
    refused(shared.post("/v1/explain", files=files, data=asked), 422, "invalid")


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/v1/tag", 405, "method_not_allowed"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("POST", "/v1/nothing", 405, "method_not_allowed"),
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/../pyproject.toml", 404, "not_found"),
        ("GET", "/%2e%2e/app.py", 404, "not_found"),
    ],
)
def test_other_paths_and_methods(
    shared: Running, method: str, path: str, status: int, kind: str
) -> None:
    refused(shared.request(method, path), status, kind)


def test_images_of_batches_are_needed(shared: Running) -> None:
    refused(shared.post("/v1/tag/batch", json={"images": []}), 422, "no_image")
    refused(shared.post("/v1/tag/batch", json={"images": [{}]}), 422, "invalid")
    refused(shared.post("/v1/tag/batch", json={"images": [5]}), 422, "invalid")


def test_the_description_of_the_api(shared: Running) -> None:
    document = shared.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    text = json.dumps(document)
    schemas_there = document["components"]["schemas"]
    for part in text.split('"#/components/schemas/')[1:]:
        assert part.partition('"')[0] in schemas_there
    posts = {path for path, operations in document["paths"].items() if "post" in operations}
    assert posts == {
        "/v1/tag",
        "/v1/tag/batch",
        "/v1/caption",
        "/v1/explain",
        "/v1/images:annotate",
    }
    for path in posts:
        operation = document["paths"][path]["post"]
        assert "application/json" in operation["requestBody"]["content"]
        assert {"400", "413", "422", "429", "503", "504"} <= set(operation["responses"])


def test_the_api_as_a_page_needs_nothing_from_elsewhere(shared: Running) -> None:
    page = shared.get("/docs").text
    assert all(path in page for path in ("/v1/tag/batch", "/v1/explain", "all_scores"))
    assert (
        f"curl -F image=@photo.jpg {shared.url}" in page.replace("&quot;", '"')
        or shared.url in page
    )
    assert "<script" not in page
    assert page.count("href=") == 2
    assert shared.get("/docs.css").headers["content-type"].startswith("text/css")
