"""Counts, category lists and translations to a review table (RAM, section 3.1).

The most frequent parsed tags, united with the names of category lists, without those of a
blocklist; names of one meaning share a label. Everything is decided by sorted data: the same
inputs give the same table. With a base, the ids of its labels stay, what it merged stays merged and
what it kept apart stays apart, and new labels get the ids after its last.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from anytag.labels.category_lists import Category
from anytag.labels.compounds import resolve_compounds
from anytag.labels.counts import TagCounts
from anytag.labels.labelset import fold_name
from anytag.labels.lexicon import load_lexicon
from anytag.labels.parse import CaptionParser
from anytag.labels.synonym_groups import Groups
from anytag.labels.synonym_tables import Curated, load_curated, load_senses
from anytag.labels.synonyms import Names, Vectors, find_links
from anytag.labels.table import Row
from anytag.labels.table_rows import Base, KnownName, TableRows

#: a name is of any kind if its second kind has at least this share of its captions
_MIXED_SHARE = 0.3


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What a label system is made from."""

    counts: TagCounts
    #: name of the list -> its categories
    lists: Mapping[str, Sequence[Category]] = field(default_factory=dict)
    blocklist: Collection[str] = ()
    #: language -> name -> translation
    translations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    base: Base = field(default_factory=Base)
    #: added to the curated table of this package
    curated: Curated = field(default_factory=Curated)
    #: names -> unit vectors [number of names, E]
    embed: Callable[[Sequence[str]], Vectors] | None = None


def build_table(sources: Sources, *, top: int = 10_000, min_count: int = 5) -> list[Row]:
    """The review table: labels by id, each followed by the names that share it.

    Args:
        sources: what it is made from
        top: names of the corpus, the most frequent ones
        min_count: captions that a name of the corpus must be in
    """
    blocked = {fold_name(name) for name in sources.blocklist}
    dropped = dict.fromkeys(sorted(blocked), "blocklist: given by the user")
    dropped |= dict.fromkeys(sorted(sources.base.dropped), "base: not kept before")
    names = _from_corpus(sources, set(dropped), top, min_count)
    listed = _add_lists(names, sources.lists)
    for name in sorted(sources.base.label_of):
        names.setdefault(name, KnownName())
    dropped = {name: why for name, why in dropped.items() if name in names}
    kept = {name: one for name, one in names.items() if name not in dropped}
    kinds = _kinds(kept, sources.base)
    mixed = frozenset(name for name, one in kept.items() if _is_mixed(one))
    known = Names(
        kinds={name: kinds[name] for name in sorted(kept)},
        mixed=mixed,
        translations=sources.translations,
        listed=listed,
        vectors=sources.embed(sorted(kept)) if sources.embed and kept else None,
    )
    curated = load_curated() | sources.curated
    links = find_links(known, senses=load_senses(), curated=curated, lexicon=load_lexicon())
    groups = Groups(known.kinds, apart=curated.vetoes, anchors=sources.base.label_of)
    groups.apply(links)
    rows = TableRows(
        names,
        known,
        groups,
        links,
        base=sources.base,
        translations=sources.translations,
        heads=curated.heads,
    )
    return [*rows.kept(), *rows.dropped(dropped)]


def _from_corpus(
    sources: Sources, dropped: Collection[str], top: int, min_count: int
) -> dict[str, KnownName]:
    lexicon, senses = load_lexicon(), load_senses()
    # what is said less often still counts where a list or the base asks for the name
    wanted = {
        one
        for entries in sources.lists.values()
        for entry in entries
        for one in (entry.name, *entry.synonyms)
    } | set(sources.base.label_of)
    found = resolve_compounds(
        sources.counts,
        lambda words: words in lexicon.phrases or senses.is_phrase(words),
        min_count=min_count,
        is_description=lambda word: lexicon.options(word).get("n", ("", 0))[0] == "q",
        wanted=wanted,
    ).names
    ranked = sorted(found, key=lambda name: (-max(found[name].values()), name))
    names: dict[str, KnownName] = {}
    rank = 0
    for name in ranked:
        count = max(found[name].values())
        if count < min_count or rank >= top:
            break
        if fold_name(name) != name:
            continue
        is_dropped = name in dropped
        rank += not is_dropped
        place = None if is_dropped else rank
        names[name] = KnownName(count=count, rank=place, kinds=found[name])
    for name in sorted(wanted & found.keys() - names.keys()):
        names[name] = KnownName(count=max(found[name].values()), kinds=found[name])
    return names


def _add_lists(
    names: dict[str, KnownName], lists: Mapping[str, Sequence[Category]]
) -> list[tuple[str, tuple[str, ...]]]:
    """Add the names of lists.

    Returns:
        names that a list has for one category
    """
    same = []
    for source, categories in lists.items():
        for category in categories:
            for name in (category.name, *category.synonyms):
                found = names.setdefault(name, KnownName())
                if source not in found.lists:
                    found.lists.append(source)
            if category.synonyms:
                same.append((source, (category.name, *category.synonyms)))
    return same


def _is_mixed(name: KnownName) -> bool:
    counts = sorted(name.kinds.values(), reverse=True)
    return len(counts) > 1 and counts[1] >= _MIXED_SHARE * sum(counts)


def _kinds(names: Mapping[str, KnownName], base: Base) -> dict[str, str]:
    """Kind of each name: its most frequent one, that of the base, or what the parser says."""
    parser = CaptionParser.open()
    found = {}
    for name, known in names.items():
        if known.kinds:
            found[name] = next(iter(known.kinds))
            continue
        kind = base.kinds.get(name, "")
        tags = [] if kind else parser.parse(name)
        whole = [tag for tag in tags if tag.end == len(name)]
        found[name] = kind or (whole[-1].kind if whole else "object")
    return found
