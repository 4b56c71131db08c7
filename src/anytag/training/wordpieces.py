"""A WordPiece vocabulary of one's own captions, for a captioner that starts anew.

Published captioners have that of bert-base-uncased (30,522 pieces), which is most of a small
model's weights; captions of photos need a few thousand. Words that occur often are pieces
themselves; rare ones are put together from frequent beginnings and endings, at worst from letters.
The same captions give the same file, which libraries that learn pieces do not promise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from anytag.errors import UsageError
from anytag.files import atomic_write
from anytag.inference.captioning import PROMPT, SEPARATOR
from anytag.inference.wordpiece import split_words

#: pieces, special ones included
SIZE = 4000
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
#: share of the pieces that are parts of words
_PARTS = 0.15
#: letters of a part of a word
_SHORTEST, _LONGEST = 2, 8


def learn_wordpieces(captions: Iterable[str], path: Path, size: int = SIZE) -> None:
    """Write ``vocab.txt``, one piece a line.

    Raises:
        UsageError: there are no captions
    """
    words = Counter(word for caption in captions for word in split_words(caption))
    if not words:
        raise UsageError("the data hold no captions, so none can be learned: set loss.captioning")
    with atomic_write(path) as file:
        file.write("".join(f"{piece}\n" for piece in choose_pieces(words, size)).encode())


def choose_pieces(words: Counter[str], size: int) -> list[str]:
    """Special pieces, letters, then frequent words and parts of words; at most ``size``.

    Letters come before the limit: every word of the captions can be written.

    >>> choose_pieces(Counter({"cat": 3, "cats": 2}), 200)[-3:]
    ['of', 'cat', 'cats']
    """
    prompt = split_words(PROMPT + SEPARATOR)
    letters = sorted({letter for word in (*words, *prompt) for letter in word})
    pieces = dict.fromkeys([*SPECIAL, *letters, *(f"##{letter}" for letter in letters)])
    pieces.update(dict.fromkeys(prompt))
    room = max(0, size - len(pieces))
    for piece in _most_frequent(words, room - int(room * _PARTS)):
        pieces[piece] = None
    parts: Counter[str] = Counter()
    for word, count in words.items():
        if word in pieces and count > 1:
            continue
        for cut in range(1, len(word)):
            start, end = word[:cut], word[cut:]
            if _SHORTEST <= len(start) <= _LONGEST:
                parts[start] += count
            if _SHORTEST <= len(end) <= _LONGEST:
                parts[f"##{end}"] += count
    for piece in _most_frequent(parts, max(0, size - len(pieces))):
        pieces[piece] = None
    return list(pieces)


def _most_frequent(counts: Counter[str], number: int) -> list[str]:
    return sorted(counts, key=lambda piece: (-counts[piece], piece))[:number]
