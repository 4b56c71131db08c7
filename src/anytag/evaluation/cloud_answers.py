"""Label lists in the answers of cloud services -> names and confidences in [0, 1].

    Google Vision        {"responses": [{"labelAnnotations": [{"description", "score"}]}]}
    Amazon Rekognition   {"Labels": [{"Name", "Confidence": 0 to 100, "Aliases": [{"Name"}],
                          "Parents": [{"Name"}]}]}
    Azure Image Analysis {"tagsResult": {"values": [{"name", "confidence"}]}}   (4.0)
                         {"tags": [{"name", "confidence"}]}                     (3.2)

Sources: the services' public API references. Rekognition's aliases count with the label's own
confidence, as it says that they are the same thing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def is_answer(answer: object) -> bool:
    """Whether this is an answer of one of the services with labels, of which there may be none."""
    if not isinstance(answer, Mapping):
        return False
    answer = _first(answer)
    if any(name in answer for name in ("labelAnnotations", "Labels", "tagsResult")):
        return True
    return "tags" in answer or answer == {}  # Google leaves out an empty list


def labels_of(answer: Any) -> Iterator[tuple[str, object]]:  # Any: JSON
    """Names and confidences of an answer."""
    answer = _first(answer)
    for label in answer.get("labelAnnotations", ()):
        yield label["description"], label["score"]
    for label in answer.get("Labels", ()):
        confidence = label["Confidence"] / 100
        yield label["Name"], confidence
        for alias in label.get("Aliases", ()):
            yield alias["Name"], confidence
    for label in answer.get("tagsResult", {}).get("values", ()):
        yield label["name"], label["confidence"]
    for label in answer.get("tags", ()):
        yield label["name"], label["confidence"]


def _first(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Google's answer for one photo, which stands in a list."""
    responses = answer.get("responses")
    if isinstance(responses, list) and len(responses) == 1 and isinstance(responses[0], Mapping):
        return responses[0]
    return answer
