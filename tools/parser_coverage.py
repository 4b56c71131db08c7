"""Which tags of a list the open caption parser can give.

    python tools/parser_coverage.py tag_list.txt

Each tag is put into template captions. A tag that comes out as it is written counts; whether a
corpus says it so is another question.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from anytag.labels.labelset import fold_name, read_tag_list
from anytag.labels.parse import CaptionParser

TEMPLATES = {
    "noun": ("a photo of a {}.", "{} on the table", "two {} in the park"),
    "verb": ("people {} in the park.", "a man is {} something", "he can {}."),
    "adjective": ("a {} cat", "the cat is {}."),
}


def main(path: Path) -> None:
    """Print the share, by template, and the tags that never come out."""
    parser = CaptionParser.open()
    names = read_tag_list(path)
    found_as: Counter[str] = Counter()
    misses = []
    for name in names:
        for kind, templates in TEMPLATES.items():
            captions = [template.format(name) for template in templates]
            if any(fold_name(name) == tag.name for text in captions for tag in parser.parse(text)):
                found_as[kind] += 1
                break
        else:
            misses.append(name)
    share = 1 - len(misses) / len(names)
    print(f"{len(names) - len(misses)} of {len(names)} tags ({share:.1%}): {dict(found_as)}")
    print("not:", ", ".join(misses))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
