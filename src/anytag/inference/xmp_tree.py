"""The XML of an XMP packet as elements that know where they stand in its bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.parsers import expat

from anytag.errors import MetadataError

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_START_TAG = re.compile(rb"""<[^"'>]*(?:(?:"[^"]*"|'[^']*')[^"'>]*)*>""")


@dataclass(slots=True)
class Node:
    """An XML element and its byte positions in the packet.

    Names are namespace and local name joined, as XMP does ("http://.../elements/1.1/subject").
    """

    name: str
    attributes: list[tuple[str, str]]
    #: "<" of the start tag, the byte after it, and the byte after the whole element
    start: int
    opened: int
    end: int = 0
    #: its own text, without that of its children
    text: str = ""
    #: holds a comment or a processing instruction
    annotated: bool = False
    children: list[Node] = field(default_factory=list)


def parse_rdf(packet: bytes) -> Node:
    """The rdf:RDF element of an XMP packet in UTF-8 (whatever its XML declaration says).

    Raises:
        MetadataError: not well-formed XML, a document type declaration (its entities could
            expand without limit), or no rdf:RDF.
    """
    parser = expat.ParserCreate("utf-8", "\x01")  # a character that no namespace can hold
    parser.ordered_attributes = True
    parser.buffer_text = True
    top = Node("", [], 0, 0)
    stack = [top]

    def start(name: str, pairs: list[str]) -> None:
        at = parser.CurrentByteIndex
        tag = _START_TAG.match(packet, at)
        assert tag, "expat accepted the tag"
        names = [key.replace("\x01", "") for key in pairs[::2]]
        attributes = list(zip(names, pairs[1::2], strict=True))
        node = Node(name.replace("\x01", ""), attributes, at, tag.end())
        stack[-1].children.append(node)
        stack.append(node)

    def end(name: str) -> None:
        node = stack.pop()
        empty = packet[node.opened - 2 : node.opened] == b"/>"
        closing = node.opened - 1 if empty else packet.index(b">", parser.CurrentByteIndex)
        node.end = closing + 1

    def text(data: str) -> None:
        stack[-1].text += data

    def annotation(*_: str) -> None:
        stack[-1].annotated = True

    def doctype(*_: object) -> None:
        raise MetadataError("has a document type declaration, which XMP must not have")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.CommentHandler = parser.ProcessingInstructionHandler = annotation
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(packet, True)
    except expat.ExpatError as error:
        raise MetadataError(f"is not valid XML ({error}); repair or remove it") from error
    root = top.children[0]
    for node in (root, *root.children):
        if node.name == RDF + "RDF":
            return node
    raise MetadataError("holds no rdf:RDF element, so it is not XMP")
