"""Google Vision's label endpoint, in the shapes that its public reference gives."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.serve.servers import Running, photo, running

from anytag.inference.tagger import Tagger

PATH = "/v1/images:annotate"
LABELS = [{"type": "LABEL_DETECTION", "maxResults": 3}]


def image(data: bytes) -> dict[str, str]:
    return {"content": base64.b64encode(data).decode()}


def asked(*requests: dict[str, Any]) -> dict[str, Any]:
    return {"requests": list(requests)}


@pytest.fixture(scope="module")
def tagger(seeing_model: Path) -> Tagger:
    return Tagger.from_pretrained(seeing_model)


def test_labels_are_the_tags(shared: Running, tagger: Tagger, data: bytes) -> None:
    answer = shared.post(PATH, json=asked({"image": image(data), "features": LABELS}))
    assert answer.status_code == 200
    labels = answer.json()["responses"][0]["labelAnnotations"]
    expected = tagger(data, threshold="auto", top_k=3).tags
    assert expected
    assert [label["description"] for label in labels] == [tag.name for tag in expected]
    for label, tag in zip(labels, expected, strict=True):
        assert set(label) == {"mid", "description", "score", "topicality"}
        assert label["score"] == label["topicality"] == pytest.approx(tag.score, abs=1e-6)
        assert label["mid"].endswith(f"/{tag.id}")


def test_features_as_numbers_and_keys_that_are_not_ours(
    shared: Running, tagger: Tagger, data: bytes
) -> None:
    request = {
        "image": image(data),
        "features": [{"type": 4, "model": "builtin/stable"}],
        "imageContext": {"languageHints": ["en"]},
    }
    answer = shared.post(f"{PATH}?$alt=json;enum-encoding=int", json=asked(request))
    labels = answer.json()["responses"][0]["labelAnnotations"]
    assert [one["description"] for one in labels] == [tag.name for tag in tagger(data).tags]


def test_one_response_an_image_with_an_error_for_each_that_fails(
    shared: Running, data: bytes
) -> None:
    good = {"image": image(data), "features": LABELS}
    faces = {"image": image(data), "features": [{"type": "FACE_DETECTION"}]}
    requests = [
        good,
        {"image": image(b"no image"), "features": LABELS},
        {"image": {"content": "%%%"}, "features": LABELS},
        faces,
        {"image": {}, "features": LABELS},
        {"image": {"source": {"imageUri": "https://example.org/a.jpg"}}, "features": LABELS},
        {"image": {"source": {"gcsImageUri": "gs://bucket/a.jpg"}}, "features": LABELS},
        {"image": image(photo(2)), "features": [*faces["features"], *LABELS]},
    ]
    responses = shared.post(PATH, json=asked(*requests)).json()["responses"]
    codes = [response.get("error", {}).get("code") for response in responses]
    assert codes == [None, 3, 3, 12, 3, 7, 3, None]
    assert all(response["error"]["message"] for response in responses if "error" in response)
    assert all("labelAnnotations" in responses[at] for at in (0, 7))


def test_no_requests_no_responses(shared: Running) -> None:
    assert shared.post(PATH, json=asked()).json() == {"responses": []}


@pytest.mark.parametrize(
    ("content", "status", "word"),
    [
        (b"{", 400, "INVALID_ARGUMENT"),
        (b'{"requests": 5}', 422, "INVALID_ARGUMENT"),
        (b'{"requests": [{"image": {}}]}', 422, "INVALID_ARGUMENT"),
    ],
)
def test_errors_of_the_whole_request_have_google_s_shape(
    shared: Running, content: bytes, status: int, word: str
) -> None:
    answer = shared.post(PATH, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    error = answer.json()["error"]
    assert (error["code"], error["status"]) == (status, word)
    assert error["message"]


@pytest.fixture(scope="module")
def locked(tiny_model: Path) -> Iterator[Running]:
    from anytag.serve.security import digest

    keys = (digest("a-key-that-is-long-enough"), digest("ein-schlüssel-der-reicht"))
    with running({"tiny": tiny_model}, key_digests=keys, max_images=2) as client:
        yield client


def test_the_key_in_the_query(locked: Running, data: bytes) -> None:
    content = asked({"image": image(data), "features": LABELS})
    answer = locked.post(f"{PATH}?key=wrong", json=content)
    assert answer.status_code == 401
    assert answer.json()["error"]["status"] == "UNAUTHENTICATED"
    assert locked.post(f"{PATH}?key=a-key-that-is-long-enough", json=content).status_code == 200
    params = {"key": "ein-schlüssel-der-reicht"}
    assert locked.post(PATH, params=params, json=content).status_code == 200


def test_too_many_images(locked: Running, data: bytes) -> None:
    headers = {"X-Goog-Api-Key": "a-key-that-is-long-enough"}
    request = {"image": image(data), "features": LABELS}
    answer = locked.post(PATH, json=asked(*[request] * 3), headers=headers)
    assert answer.status_code == 413
