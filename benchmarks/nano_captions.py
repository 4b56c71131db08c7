"""Are nano's captions better than an old caption of a similar photo, or a list of tags?

::

    python benchmarks/nano_captions.py --model nano --test coco2017-mix-heldout.tar \\
        --train coco2017-mix.tar flickr8k-1000.tar --json OUT.json

--test and --train are tars of ``KEY.jpg`` and ``KEY.json`` with "captions"; the model was trained
on the second and never saw the first. Compared are

* the model's captions, greedy and with three beams;
* the first caption of the training photo whose mean image token is nearest (cosine);
* a template: "a picture of A, B and C" with the three tags of the highest scores;
* people: one caption of each photo against the others.

Measured are CIDEr-D (Vedantam et al., arXiv 1411.5726; times 100 as usual) and BLEU-4 (Papineni et
al., 2002, one brevity penalty for the corpus), on lower-case words without punctuation and without
a stemmer, so figures of other tools differ somewhat; and precision and recall of the tags that
`anytag parse` finds in a caption, of those in any human caption of the photo.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from quality import machine, today

import anytag
from anytag.labels.parse import CaptionParser

#: a caption's n-grams by n
Grams = list[Counter[tuple[str, ...]]]
ORDERS = 4
SIGMA = 6.0
TEMPLATE_TAGS = 3


def words(caption: str) -> list[str]:
    """Lower-case words."""
    return re.findall(r"[a-z0-9']+", caption.lower())


def grams(caption: str) -> Grams:
    """N-grams of 1 to 4 words."""
    text = words(caption)
    return [
        Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1))
        for n in range(1, ORDERS + 1)
    ]


def cider(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """CIDEr-D times 100; how common a phrase is comes from the references."""
    found = [grams(text) for text in candidates]
    known = [[grams(text) for text in texts] for texts in references]
    photos: Counter[tuple[str, ...]] = Counter()
    for texts in known:
        photos.update({gram for one in texts for order in one for gram in order})
    log_number = math.log(len(candidates))

    def weigh(counts: Counter[tuple[str, ...]]) -> dict[tuple[str, ...], float]:
        return {g: n * (log_number - math.log(max(1, photos[g]))) for g, n in counts.items()}

    def norm(values: dict[tuple[str, ...], float]) -> float:
        return math.sqrt(sum(value**2 for value in values.values()))

    scores = []
    for own, others in zip(found, known, strict=True):
        total = 0.0
        for other in others:
            shorter = sum(own[0].values()) - sum(other[0].values())
            penalty = math.exp(-(shorter**2) / (2 * SIGMA**2))
            for order in range(ORDERS):
                mine, theirs = weigh(own[order]), weigh(other[order])
                product = sum(
                    min(value, theirs[gram]) * theirs[gram]
                    for gram, value in mine.items()
                    if gram in theirs
                )
                size = norm(mine) * norm(theirs)
                total += penalty * product / size / ORDERS if size else 0.0
        scores.append(total / len(others))
    return 1000 * sum(scores) / len(scores)


def bleu(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """BLEU-4 in percent."""
    hits, given = [0] * ORDERS, [0] * ORDERS
    length = nearest = 0
    for text, texts in zip(candidates, references, strict=True):
        own, others = grams(text), [grams(one) for one in texts]
        size = sum(own[0].values())
        length += size
        sizes = [sum(one[0].values()) for one in others]
        nearest += min(sizes, key=lambda value: (abs(value - size), value))
        for order in range(ORDERS):
            most: Counter[tuple[str, ...]] = Counter()
            for one in others:
                most |= one[order]
            hits[order] += sum((own[order] & most).values())
            given[order] += sum(own[order].values())
    if not all(hits):
        return 0.0
    precision = sum(math.log(a / b) for a, b in zip(hits, given, strict=True)) / ORDERS
    return 100 * math.exp(precision + min(0.0, 1 - nearest / length))


def tag_agreement(
    parser: CaptionParser, candidates: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Precision and recall of a caption's tags, over all photos together."""

    def tags(caption: str) -> set[str]:
        return {tag.name for tag in parser.parse(caption) if not tag.negated}

    hits = given = there = 0
    for text, texts in zip(candidates, references, strict=True):
        own, true = tags(text), set().union(*map(tags, texts))
        hits, given, there = hits + len(own & true), given + len(own), there + len(true)
    return {"precision": hits / max(1, given), "recall": hits / max(1, there)}


def read_captioned(tar: Path) -> Iterator[tuple[Image.Image, list[str]]]:
    """Photos with at least two captions."""
    parts: dict[str, dict[str, bytes]] = {}
    with tarfile.open(tar) as archive:
        for member in archive:
            key, _, kind = member.name.rpartition(".")
            file = archive.extractfile(member)
            if file is not None:
                parts.setdefault(key, {})[kind] = file.read()
    for files in parts.values():
        captions = json.loads(files["json"]).get("captions", [])
        if len(captions) > 1:
            yield Image.open(io.BytesIO(files["jpg"])), captions


def embed(tagger: anytag.Tagger, images: Sequence[Image.Image]) -> np.ndarray[Any, Any]:
    """Mean image tokens of length 1 [N, D]."""
    rows = []
    for image in images:
        # Any: exported models give no tokens
        model: Any = tagger.model
        _, token = model.look(tagger.load(image).pixels[None], tagger.label_state)
        rows.append(token[0] / np.linalg.norm(token[0]))
    return np.stack(rows)


def candidates(
    tagger: anytag.Tagger,
    images: Sequence[Image.Image],
    captions: Sequence[Sequence[str]],
    train: Sequence[Path],
) -> dict[str, list[str]]:
    """Captions by name of what wrote them."""
    old: list[str] = []
    tokens = []
    for tar in train:
        for image, texts in read_captioned(tar):
            tokens.append(embed(tagger, [image]))
            old.append(texts[0])
    nearest = (embed(tagger, images) @ np.concatenate(tokens).T).argmax(1)
    best = [[tag.name for tag in tagger(image, top_k=TEMPLATE_TAGS).tags] for image in images]
    return {
        "model, greedy": [str(tagger.caption(image, num_beams=1)) for image in images],
        "model, 3 beams": [str(tagger.caption(image)) for image in images],
        "nearest photo": [old[place] for place in nearest],
        "template": [f"a picture of {', '.join(n[:-1])} and {n[-1]}" for n in best],
        "people": [texts[0] for texts in captions],
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="nano")
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--train", type=Path, nargs="+", required=True)
    parser.add_argument("--examples", type=int, default=20, help="captions that are printed")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    tagger = anytag.Tagger.from_pretrained(options.model)
    images, captions = (list(part) for part in zip(*read_captioned(options.test), strict=True))
    written = candidates(tagger, images, captions, options.train)
    caption_parser = CaptionParser.closed(tagger.labels)
    # the first caption is the person's; the others are what all are compared with
    references = [texts[1:] for texts in captions]
    rows = {
        name: {
            "cider": cider(texts, references),
            "bleu4": bleu(texts, references),
            **tag_agreement(caption_parser, texts, references),
            "different": len(set(texts)) / len(texts),
        }
        for name, texts in written.items()
    }
    for name, row in rows.items():
        print(f"{name:16}" + "  ".join(f"{key} {value:.3f}" for key, value in row.items()))
    for place in range(0, len(images), max(1, len(images) // options.examples)):
        print(f"\n{place}: {captions[place][0]}")
        for name in ("model, 3 beams", "nearest photo"):
            print(f"   {name}: {written[name][place]}")
    if options.json:
        result = {"kind": "nano-captions", "date": today(), "machine": machine()}
        result |= {"model": tagger.model_name, "photos": len(images), "rows": rows}
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
