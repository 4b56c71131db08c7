"""Reader of the WordNet 3.0 database files (Debian package ``wordnet-base``).

Source and format: ``man 5 wndb``; licence: WordNet 3.0 (use and redistribution with its notice).
Only what the nano tools need: synsets, their lemmas, glosses, hypernyms, and corpus counts.

    >>> wordnet = WordNet.load(Path("/usr/share/wordnet"))          # doctest: +SKIP
    >>> wordnet.senses("dog", "n")[0].lemmas                        # doctest: +SKIP
    ('dog', 'domestic dog', 'Canis familiaris')
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_FILES = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
_SENSE_TYPES = {"1": "n", "2": "v", "3": "a", "4": "r", "5": "a"}
#: numbers of the lexicographer files of nouns, ``man 5 lexnames``
_NOUN_FILES = [
    "Tops",
    "act",
    "animal",
    "artifact",
    "attribute",
    "body",
    "cognition",
    "communication",
    "event",
    "feeling",
    "food",
    "group",
    "location",
    "motive",
    "object",
    "person",
    "phenomenon",
    "plant",
    "possession",
    "process",
    "quantity",
    "relation",
    "shape",
    "state",
    "substance",
    "time",
]


@dataclass(frozen=True, slots=True)
class Synset:
    """One sense: the words that share it, its gloss and its more general senses."""

    #: part of speech and file offset, such as ``n02084071``
    id: str
    #: words as written, with spaces for ``_``
    lemmas: tuple[str, ...]
    gloss: str
    #: lexicographer file of a noun ("animal", "artifact", ...), "" for other parts of speech
    topic: str
    #: ids of the direct hypernyms, of an instance too
    hypernyms: tuple[str, ...]
    #: a named individual ("Eiffel Tower") and not a kind of thing
    is_instance: bool

    @property
    def definition(self) -> str:
        """The gloss without its example sentences."""
        return self.gloss.split('; "')[0].strip()


@dataclass
class WordNet:
    """Synsets by id and senses by word, the most frequent sense first."""

    synsets: dict[str, Synset] = field(default_factory=dict)
    #: (lower-case word, part of speech) -> synset ids
    index: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    #: (lower-case word, part of speech) -> occurrences in the sense-tagged corpus
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    #: (inflected form, part of speech) -> base form, the irregular ones only
    exceptions: dict[tuple[str, str], str] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> WordNet:
        """Read ``data.*``, ``index.*``, ``*.exc`` and ``cntlist.rev`` of ``folder``."""
        wordnet = cls()
        for pos, name in _FILES.items():
            for line in _lines(folder / f"data.{name}"):
                synset = _synset(line, pos)
                wordnet.synsets[synset.id] = synset
            for line in _lines(folder / f"index.{name}"):
                parts = line.split()
                ids = tuple(pos + offset for offset in parts[-int(parts[2]) :])
                wordnet.index[parts[0].replace("_", " "), pos] = ids
            for line in (folder / f"{name}.exc").read_text(encoding="utf-8").splitlines():
                form, base = line.split()[:2]
                wordnet.exceptions[form.replace("_", " "), pos] = base.replace("_", " ")
        for line in (folder / "cntlist.rev").read_text(encoding="utf-8").splitlines():
            sense, _, count = line.split()
            word, _, rest = sense.partition("%")
            key = (word.replace("_", " "), _SENSE_TYPES[rest[0]])
            wordnet.counts[key] = wordnet.counts.get(key, 0) + int(count)
        return wordnet

    def senses(self, word: str, pos: str = "n") -> list[Synset]:
        """The senses of ``word``, most frequent first; empty where it has none."""
        return [self.synsets[id_] for id_ in self.index.get((word.lower(), pos), ())]

    def ancestors(self, synset: Synset) -> list[Synset]:
        """All more general synsets, nearest first (breadth first), each once."""
        found: dict[str, Synset] = {}
        level = [synset]
        while level:
            ids = dict.fromkeys(id_ for one in level for id_ in one.hypernyms)
            level = [self.synsets[id_] for id_ in ids if id_ not in found]
            found.update((one.id, one) for one in level)
        return list(found.values())


def _lines(path: Path) -> Iterator[str]:
    """Lines of a database file without its licence header, which is indented."""
    with path.open(encoding="utf-8") as lines:
        yield from (line for line in lines if not line.startswith(" "))


def _synset(line: str, pos: str) -> Synset:
    head, _, gloss = line.partition("|")
    parts = head.split()
    num_words = int(parts[3], 16)
    words = parts[4 : 4 + 2 * num_words : 2]
    start = 4 + 2 * num_words
    pointers = [parts[i : i + 4] for i in range(start + 1, start + 1 + 4 * int(parts[start]), 4)]
    up = [pointer for pointer in pointers if pointer[0] in ("@", "@i")]
    return Synset(
        id=pos + parts[0],
        # an adjective may carry its position, such as "afraid(p)"
        lemmas=tuple(word.split("(")[0].replace("_", " ") for word in words),
        gloss=gloss.strip(),
        topic=_NOUN_FILES[int(parts[1]) - 3] if pos == "n" else "",
        hypernyms=tuple(pointer[2] + pointer[1] for pointer in up),
        is_instance=any(pointer[0] == "@i" for pointer in up),
    )
