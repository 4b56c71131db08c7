"""anytag on a Ray cluster: Ray Serve has the replicas, the batches and the HTTP.

    pip install 'anytag' 'ray[serve]'
    python examples/ray_serve.py photo.jpg      # starts, asks once, ends
    serve run examples.ray_serve:application    # stays, at http://127.0.0.1:8000/

    curl --data-binary @photo.jpg "http://127.0.0.1:8000/?top_k=5"

Where one machine is enough `anytag serve` does more: forms, limits, keys, metrics.
"""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path
from typing import Any

from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse

from anytag import Tagger
from anytag.data.images import ImageLimits

MAX_BYTES = 20_000_000
LIMITS = ImageLimits(max_bytes=MAX_BYTES, max_pixels=64_000_000)


@serve.deployment(max_ongoing_requests=64, ray_actor_options={"num_cpus": 1})
class Tags:
    """One replica: a model, and the requests that are put together for it."""

    def __init__(self, model: str = "nano") -> None:
        self._tagger = Tagger.from_pretrained(model)

    @serve.batch(max_batch_size=16, batch_wait_timeout_s=0.005)
    async def tag(self, images: list[bytes], top_k: list[int | None]) -> list[dict[str, Any]]:
        """Records of many images; a broken one has an error in its own."""
        records = []
        results = self._tagger.stream(images, limits=LIMITS)
        for result, most in zip(results, top_k, strict=True):
            record = result.record()
            record["tags"] = record["tags"][:most]
            records.append(record)
        return records

    async def __call__(self, request: Request) -> JSONResponse:
        """The body is an image file; ``?top_k=`` cuts the list."""
        image = b""
        async for chunk in request.stream():
            image += chunk
            if len(image) > MAX_BYTES:
                return JSONResponse({"error": f"the limit is {MAX_BYTES:,} bytes"}, 413)
        top_k = request.query_params.get("top_k", "")
        record = await self.tag(image, int(top_k) if top_k.isdecimal() else None)
        return JSONResponse(record, 200 if record["error"] is None else 422)


application = Tags.bind()

if __name__ == "__main__":
    serve.run(application)
    photo = Path(sys.argv[1]).read_bytes()
    request = urllib.request.Request("http://127.0.0.1:8000/?top_k=5", photo)
    with urllib.request.urlopen(request) as answer:
        sys.stdout.write(answer.read().decode() + "\n")
    serve.shutdown()
