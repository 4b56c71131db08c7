"""Label Studio: choices of photos, filled in by anytag.

    pip install 'anytag[serve]'
    export LABEL_STUDIO_URL=http://localhost:8080 LABEL_STUDIO_TOKEN=...
    python examples/label_studio_backend.py

Then, in Label Studio: Settings > Model > Connect Model, http://localhost:9090. It serves projects
whose labelling interface has ``<Choices>`` over an ``<Image>``; the choices are the tags that are
asked for, and those above ``THRESHOLD`` are chosen. Speaks the protocol of Label Studio's ML
backends (`/health`, `/setup`, `/predict`) without their SDK.

Label Studio stores uploaded photos itself; the token lets this program read them. Photos elsewhere
are fetched from public addresses alone.
"""

from __future__ import annotations

import logging
import os
import urllib.request
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import uvicorn
from fastapi import FastAPI

from anytag import Tagger
from anytag.errors import AnytagError
from anytag.fetch import fetch

STUDIO = os.environ.get("LABEL_STUDIO_URL", "http://localhost:8080")
TOKEN = os.environ.get("LABEL_STUDIO_TOKEN", "")
THRESHOLD = float(os.environ.get("THRESHOLD", "0.4"))
MAX_BYTES = 20_000_000

logger = logging.getLogger("uvicorn.error")
app = FastAPI()
tagger = Tagger.from_pretrained(os.environ.get("MODEL", "nano"))


@dataclass(frozen=True)
class Control:
    """A ``<Choices>`` of the labelling interface, and the ``<Image>`` that it is about."""

    name: str
    image: str
    #: key of the photo's address in a task
    key: str
    choices: list[str]


def read_control(interface: str) -> Control:
    """The first ``<Choices>`` over an ``<Image>``."""
    root = ET.fromstring(interface)
    images = {tag.get("name"): (tag.get("value") or "").lstrip("$") for tag in root.iter("Image")}
    for tag in root.iter("Choices"):
        image = tag.get("toName")
        if image in images:
            choices = [choice.get("value") or "" for choice in tag.iter("Choice")]
            return Control(tag.get("name") or "", image or "", images[image], choices)
    raise ValueError("the labelling interface has no Choices over an Image")


def photo(address: str) -> bytes:
    """A photo of Label Studio's own, or of the public web."""
    if not address.startswith("/") and not address.startswith(STUDIO.rstrip("/") + "/"):
        return fetch(address, allow_octet_stream=True)
    headers = {"Authorization": f"Token {TOKEN}"}
    request = urllib.request.Request(urljoin(STUDIO, address), headers=headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return bytes(answer.read(MAX_BYTES))


def predict_one(asked: Tagger, control: Control, task: dict[str, Any]) -> dict[str, Any]:
    """A prediction in Label Studio's shape; none at all where the photo cannot be read."""
    try:
        tags = asked(photo(task["data"][control.key]), threshold=THRESHOLD).tags
    except (AnytagError, OSError, KeyError) as error:
        logger.warning("task %s: %s", task.get("id"), error)
        tags = ()
    chosen = {
        "from_name": control.name,
        "to_name": control.image,
        "type": "choices",
        "value": {"choices": [tag.name for tag in tags]},
    }
    return {
        "model_version": tagger.model_name,
        "score": max((tag.score for tag in tags), default=0.0),
        "result": [chosen] if tags else [],
    }


@app.get("/health")
def health() -> dict[str, str]:
    """Label Studio looks here before it connects."""
    return {"status": "UP", "model_class": "anytag"}


@app.post("/setup")
def setup() -> dict[str, str]:
    """And asks this of every project."""
    return {"model_version": tagger.model_name}


@app.post("/predict")
def predict(request: dict[str, Any]) -> dict[str, Any]:
    """Choices of some tasks."""
    control = read_control(request["label_config"])
    asked = tagger.with_tags(control.choices)
    results = [predict_one(asked, control, task) for task in request["tasks"]]
    return {"results": results, "model_version": tagger.model_name}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=9090)
