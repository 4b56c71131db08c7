"""XMP packets edited as text: elements are found by position, cut and inserted."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape, quoteattr

from anytag import __version__
from anytag.errors import MetadataError
from anytag.inference.xmp_record import NAMESPACES, OURS, PROPERTIES, Record, Values
from anytag.inference.xmp_tree import RDF, Node, parse_rdf

_LISTS = {RDF + "Bag", RDF + "Seq", RDF + "Alt"}
_ATTRIBUTE = re.compile(rb"""\s+([^\s=]+)\s*=\s*(?:"[^"]*"|'[^']*')""")
_IS_XMLNS = re.compile(rb"xmlns(:|$)")


class Packet:
    """XMP text as UTF-8 bytes, and the positions of its elements."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.rdf = parse_rdf(data)
        self.descriptions = [c for c in self.rdf.children if c.name == RDF + "Description"]

    def values(self, name: str) -> list[str]:
        """The values of a property in any form: list, text or attribute."""
        nodes = list(self._nodes(name))
        return [
            *(_value(item) for node in nodes for item in _items(node)),
            *(_value(node) for node in nodes if not node.children and _value(node)),
            *(v for d in self.descriptions for key, v in d.attributes if key == _full(name)),
        ]

    def list_of(self, name: str) -> Node | None:
        """The first rdf:Bag, Seq or Alt of a property to which an item can be added."""
        boxes = (box for node in self._nodes(name) for box in node.children)
        return next((box for box in boxes if not _is_empty_tag(box)), None)

    def record(self) -> Record | None:
        """What we wrote here earlier, in whatever RDF form other programs have left it."""
        texts: dict[str, str] = {}
        lists: dict[str, list[Node]] = {}
        for description in self.descriptions:
            texts.update(description.attributes)
            texts.update((node.name, _value(node)) for node in description.children)
            lists.update((node.name, _items(node)) for node in description.children)
        if not any(name.startswith(OURS) for name in texts):
            return None
        tags = {}
        for fact in map(_fields, lists.get(OURS + "Tags", ())):
            numbers = _number(fact.get("Score")), _number(fact.get("Threshold"))
            tags[fact.get("Name", "")] = (*numbers, fact.get("ID", ""))
        wrote, declined = (
            {n: tuple(map(_value, lists.get(OURS + kind + _local(n), ()))) for n in PROPERTIES}
            for kind in ("Wrote", "Declined")
        )
        return Record(
            model=texts.get(OURS + "Model", ""),
            source=texts.get(OURS + "Source", ""),
            created=texts.get(OURS + "Created") == "True",
            tags=tags,
            wrote=wrote,
            declined=declined,
        )

    def is_bare(self) -> bool:
        """Whether it says nothing at all."""
        return not self.rdf.annotated and all(
            child.name == RDF + "Description"
            and not (child.children or child.annotated)
            and all(_is_about(key) for key, _ in child.attributes)
            for child in self.rdf.children
        )

    def without(self, keywords: Values, whole: Iterable[str] = ()) -> bytes:
        """The packet without these keywords, each once, without the properties ``whole`` and
        without our record. An element that gets empty by that goes too."""
        gone = set(map(_full, whole))
        doomed: set[int] = set()
        for name, values in keywords.items():
            left = list(values)
            holders = [n for node in self._nodes(name) for n in (_items(node) or [node])]
            for node in reversed(holders):  # ours stand at the end
                if _value(node) in left:
                    left.remove(_value(node))
                    doomed.add(node.start)
        cuts: list[tuple[int, int]] = []
        for description in self.descriptions:
            inside = list(self._attribute_cuts(description, gone))
            rest = [key for key, _ in description.attributes if not _is_about(key)]
            empty = len(inside) == len(rest) and not description.annotated
            for node in description.children:
                whole_node = node.start in doomed or node.name in gone or _is_ours(node.name)
                items = [item for item in _items(node) if item.start in doomed]
                if items and len(items) == len(_items(node)):
                    whole_node = not (node.annotated or node.children[0].annotated)
                empty = empty and whole_node
                inside += [self._span(node)] if whole_node else [self._span(i) for i in items]
            cuts += [self._span(description)] if inside and empty else inside
        return _edited(self.data, [(start, end, "") for start, end in cuts])

    def plus(self, record: Record, kept: dict[str, list[str]]) -> bytes:
        """The packet with the record's keywords at the end of the lists that exist, and with one
        description more for the record and for the lists that do not. ``kept`` are values of
        the user for such a new list."""
        edits: list[tuple[int, int, str]] = []
        new: dict[str, list[str]] = {}
        for name in PROPERTIES:
            box = self.list_of(name)
            if box is None:
                new[name] = [*kept.get(name, ()), *record.wrote[name]]
                continue
            prefix, colon, _ = self._tag(box).rpartition(":")
            last = box.children[-1] if box.children else None
            at = last.end if last else box.opened
            space = self.data[self._span(last)[0] : last.start].decode() if last else ""
            item = f"{prefix}{colon}li"
            edits += [(at, at, f"{space}<{item}>{escape(v)}</{item}>") for v in record.wrote[name]]
        abouts = [v for d in self.descriptions for key, v in d.attributes if _is_about(key)]
        rdf = self._tag(self.rdf)
        block = _description(record, new, abouts[0] if abouts else "", declare=rdf != "rdf:RDF")
        if b"\r\n" in self.data:
            block = block.replace("\n", "\r\n")
        end = self.rdf.children[-1].end if self.rdf.children else self.rdf.opened
        if _is_empty_tag(self.rdf):
            edits.append((end - 2, end, f">{block}</{rdf}>"))
        else:
            edits.append((end, end, block))
        return _edited(self.data, edits)

    def _nodes(self, name: str) -> Iterator[Node]:
        """The elements of a property, in all descriptions."""
        for node in (n for d in self.descriptions for n in d.children if n.name == _full(name)):
            boxes = node.children
            listed = len(boxes) == 1 and boxes[0].name in _LISTS
            if not listed and (boxes or node.attributes):
                raise MetadataError(f"holds {name} in an unusual form; left as it is")
            yield node

    def _attribute_cuts(self, description: Node, gone: set[str]) -> Iterator[tuple[int, int]]:
        start_tag = self.data[description.start : description.opened]
        found = [m for m in _ATTRIBUTE.finditer(start_tag) if not _IS_XMLNS.match(m[1])]
        for match, (key, _) in zip(found, description.attributes, strict=True):
            if key in gone or _is_ours(key):
                yield description.start + match.start(), description.start + match.end()

    def _span(self, node: Node) -> tuple[int, int]:
        """The element and the white space before it."""
        before = self.data[: node.start]
        return len(before.rstrip(b" \t\r\n")), node.end

    def _tag(self, node: Node) -> str:
        """The name as the text has it, with its prefix."""
        return re.split(rb"[\s/>]", self.data[node.start + 1 : node.opened], maxsplit=1)[0].decode()


def _edited(data: bytes, edits: list[tuple[int, int, str]]) -> bytes:
    """Replace each range [start, end) by a text; edits at the same place keep their order."""
    parts: list[bytes] = []
    at = 0
    for start, end, text in sorted(edits, key=lambda edit: edit[:2]):
        parts += [data[at:start], text.encode()]
        at = end
    return b"".join([*parts, data[at:]])


def _description(record: Record, lists: dict[str, list[str]], about: str, *, declare: bool) -> str:
    """Our rdf:Description: the record, and the properties that are listed nowhere else."""
    namespaces = {**({"rdf": RDF} if declare else {}), **NAMESPACES}
    lines = [f"<rdf:Description rdf:about={quoteattr(about)}"]
    lines += [f"   xmlns:{prefix}={quoteattr(uri)}" for prefix, uri in namespaces.items()]
    lines[-1] += ">"
    texts = {"Model": record.model, "Version": __version__, "Source": record.source}
    texts |= {"Created": "True"} if record.created else {}
    lines += [f" <anytag:{key}>{escape(text)}</anytag:{key}>" for key, text in texts.items()]
    bags = {name: list(map(_li, values)) for name, values in lists.items()}
    bags["anytag:Tags"] = [
        f'<rdf:li anytag:Name={quoteattr(name)} anytag:Score="{score:.4f}"'
        f' anytag:Threshold="{threshold:.4f}" anytag:ID={quoteattr(id)}/>'
        for name, (score, threshold, id) in record.tags.items()
    ]
    for kind, values in (("Wrote", record.wrote), ("Declined", record.declined)):
        for name in PROPERTIES:
            bags[f"anytag:{kind}{_local(name)}"] = list(map(_li, values[name]))
    for name, items in bags.items():
        box = "rdf:Seq" if name in ("digiKam:TagsList", "anytag:Tags") else "rdf:Bag"
        if items:
            lines += [f" <{name}>", f"  <{box}>", *(f"   {item}" for item in items)]
            lines += [f"  </{box}>", f" </{name}>"]
    return "".join(f"\n  {line}" for line in (*lines, "</rdf:Description>"))


def _li(value: str) -> str:
    return f"<rdf:li>{escape(value)}</rdf:li>"


def _full(name: str) -> str:
    return PROPERTIES[name]


def _local(name: str) -> str:
    """ "dc:subject" -> "Subject", the end of the names in our record."""
    local = name.split(":")[1]
    return local[0].upper() + local[1:]


def _is_ours(name: str) -> bool:
    return name.startswith(OURS)


def _is_about(name: str) -> bool:
    return name in (RDF + "about", "about")


def _is_empty_tag(node: Node) -> bool:
    return node.opened == node.end


def _items(node: Node) -> list[Node]:
    return [item for box in node.children if box.name in _LISTS for item in box.children]


def _value(node: Node) -> str:
    """The text of an element; of its rdf:value, if qualifiers stand beside it."""
    inner = next((child for child in node.children if child.name == RDF + "value"), node)
    return unicodedata.normalize("NFC", inner.text.strip())


def _fields(item: Node) -> dict[str, str]:
    """A structure of ours: attributes, elements, or both inside an rdf:Description."""
    nodes = [item, *(child for child in item.children if child.name == RDF + "Description")]
    pairs = [pair for node in nodes for pair in node.attributes]
    pairs += [(child.name, _value(child)) for node in nodes for child in node.children]
    return {name.removeprefix(OURS): text for name, text in pairs}


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan
