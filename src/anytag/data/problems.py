"""What is wrong with a data file: counted, shown with file and line, never fatal.

Public data sets hold broken rows, missing pictures and texts in three encodings. Readers leave such
rows out, tell `Problems`, and go on.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from anytag.files import display_path

#: malformed: a row that is not as its format wants it, left out. truncated: the file ends too
#: early. encoding: a text that is not UTF-8, read as Windows-1252. duplicate: the same image or
#: caption again. missing_image: a row whose picture is not there. unreadable: a file.
ProblemKind: TypeAlias = Literal[
    "malformed", "truncated", "encoding", "duplicate", "missing_image", "unreadable"
]


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding."""

    kind: ProblemKind
    #: file in which it stands
    path: str
    #: from 1; None where the file has no lines
    line: int | None
    message: str

    def __str__(self) -> str:
        place = "" if self.line is None else f", line {self.line}"
        return f"{display_path(self.path)}{place}: {self.message}"


class Problems:
    """Counts of all findings, and the first of each kind.

    Args:
        max_examples: of one kind that are kept

    >>> problems = Problems()
    >>> problems.add("malformed", "a.tsv", 3, "2 columns expected, found 1")
    >>> print(dict(problems.counts), problems.examples[0])
    {'malformed': 1} a.tsv, line 3: 2 columns expected, found 1
    """

    def __init__(self, max_examples: int = 20) -> None:
        self.counts: Counter[ProblemKind] = Counter()
        self.examples: list[Problem] = []
        self._max_examples = max_examples

    def add(self, kind: ProblemKind, path: object, line: int | None, message: str) -> None:
        """Count one finding; ``path`` is anything with a text form."""
        self.counts[kind] += 1
        if self.counts[kind] <= self._max_examples:
            self.examples.append(Problem(kind, str(path), line, message))


class SeenKeys:
    """Which keys came before, in 8 bytes a key: 14 million images take 112 MB.

    Keys are told apart by 64 bits of a hash: among 14 million, one is wrongly taken for another
    with a probability of 1 in 190,000.

    >>> seen = SeenKeys()
    >>> seen.add("a"), seen.add("b"), seen.add("a")
    (True, True, False)
    """

    _RECENT = 1 << 17

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._sorted: npt.NDArray[np.uint64] = np.empty(0, np.uint64)

    def __len__(self) -> int:
        return len(self._recent) + len(self._sorted)

    def add(self, key: str) -> bool:
        """Remember a key; True if it is new."""
        digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        number = int.from_bytes(digest, "little")
        if number in self._recent or self._is_sorted_in(number):
            return False
        self._recent.add(number)
        if len(self._recent) >= self._RECENT:
            fresh = np.fromiter(self._recent, np.uint64, len(self._recent))
            self._sorted = np.sort(np.concatenate([self._sorted, fresh]))
            self._recent.clear()
        return True

    def _is_sorted_in(self, number: int) -> bool:
        wanted = np.uint64(number)
        place = int(np.searchsorted(self._sorted, wanted))
        return place < len(self._sorted) and bool(self._sorted[place] == wanted)
