"""Results as the JSON that goes out; `anytag.serve.schemas` describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anytag.inference.results import ItemError, Tag, TagResult
from anytag.inference.selection import TagSelector
from anytag.inference.stream import Scored
from anytag.inference.tagger import Tagger
from anytag.serve.errors import ApiError, item_record
from anytag.serve.inputs import Picture
from anytag.serve.schemas import TagOptions

if TYPE_CHECKING:
    from anytag.inference.explain import Explanation
    from anytag.serve.models import ServedModel
    from anytag.serve.tasks import Captioned


def selector(tagger: Tagger, options: TagOptions) -> TagSelector:
    """Takes the tags that were asked for.

    Raises:
        UsageError: a number is out of range
    """
    return TagSelector(tagger.labels, threshold=options.threshold, top_k=options.top_k)


def tag_record(
    picture: Picture,
    scored: Scored[Tagger] | Exception,
    tagger: Tagger,
    select: TagSelector,
    options: TagOptions,
) -> dict[str, Any]:
    """The record of one image, with its error if it has one."""
    if isinstance(scored, Exception):
        scored = Scored(item=tagger, error=item_record(scored))
    record = scored.result(picture.path, tagger.model_name, select).record()
    if options.all_scores and scored.scores is not None:
        record["names"] = tagger.labels.names
        record["scores"] = [round(score, 6) for score in scored.scores.tolist()]
    return record


def raise_error(scored: Scored[Any]) -> None:
    """For the answer about one image alone.

    Raises:
        ApiError: the image has no scores
    """
    error: ItemError | None = scored.error
    if error is not None:
        raise ApiError(500, error.type, error.message)


def tags_record(tags: tuple[Tag, ...]) -> list[dict[str, Any]]:
    """Tags as they stand in a record."""
    result = TagResult(path=None, sha256=None, width=None, height=None, model="", tags=tags)
    found: list[dict[str, Any]] = result.record()["tags"]
    return found


def caption_record(found: Captioned, model: ServedModel) -> dict[str, Any]:
    """A sentence and the tags that were found."""
    return {
        "caption": found.caption,
        "model": model.tagger.model_name,
        "tags": tags_record(found.tags),
    }


def explain_record(found: Explanation, model: ServedModel) -> dict[str, Any]:
    """A grid and a box."""
    rows, columns = found.grid.shape
    values = [round(value, 4) for value in found.grid.ravel().tolist()]
    return {
        "tag": found.tag,
        "score": round(found.score, 4),
        "heatmap": {"width": columns, "height": rows, "values": values},
        "box": list(found.pixel_box) if any(values) else None,
        "width": found.width,
        "height": found.height,
        "method": found.method,
        "model": model.tagger.model_name,
    }


def model_record(model: ServedModel, *, default: bool) -> dict[str, Any]:
    """What `/v1/models` tells of a model."""
    return {
        "name": model.name,
        "version": model.tagger.model_name,
        "num_tags": len(model.tagger.labels),
        "own_tags": model.tagger.own_tags,
        "captioner": model.captions,
        "explains": model.explains,
        "image_size": model.tagger.image_size,
        "default": default,
        "tags_url": f"/v1/models/{model.name}/tags",
    }


def labels_record(model: ServedModel) -> dict[str, Any]:
    """The tags of a model, in id order."""
    tags = [
        {
            "id": label.id,
            "name": label.name,
            "threshold": round(label.threshold, 4),
            "kind": label.kind,
            "synonyms": list(label.synonyms),
        }
        for label in model.tagger.labels
    ]
    return {"model": model.tagger.model_name, "tags": tags}
