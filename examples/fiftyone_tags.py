"""FiftyOne: a folder of photos with anytag's tags as classifications, to be looked through.

    pip install anytag fiftyone
    python examples/fiftyone_tags.py photos

Every photo gets a field ``anytag`` with its tags and their scores; those that cannot be read get
the reason as ``anytag_error``.
"""

from __future__ import annotations

import sys

import fiftyone as fo

from anytag import Tagger


def add_tags(dataset: fo.Dataset, tagger: Tagger) -> None:
    """Tags of every photo of a dataset."""
    paths = dataset.values("filepath")
    samples = dataset.iter_samples(autosave=True, progress=True)
    for sample, result in zip(samples, tagger.stream(paths), strict=True):
        if result.error is not None:
            sample["anytag_error"] = result.error.message
            continue
        found = [fo.Classification(label=tag.name, confidence=tag.score) for tag in result.tags]
        sample["anytag"] = fo.Classifications(classifications=found)


if __name__ == "__main__":
    photos = fo.Dataset.from_images_dir(sys.argv[1])
    add_tags(photos, Tagger.from_pretrained("nano"))
    fo.launch_app(photos).wait()
