"""XML of any size, from anybody, piece by piece.

The parser is defusedxml's: entities are refused, so that no small file becomes a huge one, and nothing outside of the
file is read. Everything that is kept is bounded: texts, attributes, depth, and the children of one element.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from xml.sax import SAXException, SAXParseException
from xml.sax.handler import ContentHandler, feature_external_ges

from defusedxml.common import DefusedXmlException
from defusedxml.sax import make_parser

from testbus_producers.errors import ReportError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

#: Bytes that are read at a time.
_CHUNK: Final = 64 * 1024

#: Bound in characters of each half of one element's text; of a longer one the middle is left out.
_HALF_TEXT: Final = 128 * 1024

#: Bound in bytes of one tag with its attributes.
_MAX_TAG: Final = 8 * 1024 * 1024

#: Bound of elements inside of each other.
_MAX_DEPTH: Final = 200

#: Bound of the children of one kept element; further ones are passed over.
_MAX_CHILDREN: Final = 10_000

#: What an XML declaration says of the encoding.
_DECLARED = re.compile(rb"""^((?:\xef\xbb\xbf)?<\?xml[^>]{0,80}?\s)(encoding\s*=\s*["']([A-Za-z0-9._:-]+)["'])""")

#: The last two characters of Unicode's first plane, which XML forbids and tests print all the same: in UTF-8, and the
#: digit by which references to them differ from one to the replacement character, which takes their place.
_FORBIDDEN = re.compile(rb"(?<=\xef\xbf)[\xbe\xbf]")
_REFERENCE = re.compile(rb"(?i)(?<=&#)(x0*fff[ef]|0*6553[45])(?=;)")

#: The end of a chunk that may be the beginning of one of them.
_SPLIT = re.compile(rb"(?:&[#0-9a-zA-Z]{0,12}|\xef\xbf?)\Z")

#: Bytes that such a beginning has at most.
_LONGEST: Final = 16

#: What the parser says, and what that means to somebody who has the file.
_MEANINGS: Final = {
    "no element found": ("it ends too early", "whatever writes it was stopped; have it written anew"),
    "unclosed token": ("it ends too early", "whatever writes it was stopped; have it written anew"),
    "unclosed CDATA section": ("it ends too early", "whatever writes it was stopped; have it written anew"),
    "junk after document element": ("there is more behind its end", "publish each report as a file of its own"),
}


class Sign(Enum):
    """What happened while reading."""

    #: An element began.
    START = "start"
    #: It ended.
    END = "end"
    #: A kept element ended, and is given with all that is in it.
    WHOLE = "whole"


@dataclass(slots=True)
class Element:
    """One element; its text and children are there for kept elements only."""

    #: Name without prefix.
    tag: str
    #: Attributes, with their prefixes.
    attributes: dict[str, str]
    #: Text directly inside, bounded.
    text: str = ""
    #: Elements directly inside, bounded.
    children: list[Element] = field(default_factory=list)

    def get(self, name: str) -> str:
        """Return an attribute without space around it; empty when it is not there."""
        return self.attributes.get(name, "").strip()

    def named(self, *tags: str) -> list[Element]:
        """Return the children of these names, in their order."""
        return [child for child in self.children if child.tag in tags]


def parse(path: Path, *, keep: Collection[str], texts: bool = True) -> Iterator[tuple[Sign, Element]]:
    """Yield what is in a file, in its order; elements named in `keep` come whole, with `texts` or without.

    Raises ReportError.
    """
    handler = _Handler(keep, texts=texts)
    parser: Any = make_parser()
    # The document type that Cobertura writes names an address: it may stand there, and is never looked up.
    parser.forbid_external = False
    parser.setFeature(feature_external_ges, False)  # noqa: FBT003 the standard library's signature
    parser.setContentHandler(handler)
    fed = heard = 0
    try:
        with path.open("rb") as file:
            for chunk in _chunks(file):
                before = handler.callbacks
                parser.feed(chunk)
                fed += len(chunk)
                heard = fed if handler.callbacks != before else heard
                if fed - heard > _MAX_TAG:
                    raise _TooMuchError(f"one tag or comment has more than {_MAX_TAG >> 20} MiB")
                yield from handler.take()
            parser.close()
            yield from handler.take()
    except OSError as error:
        raise ReportError(str(path), f"it cannot be read ({error.strerror or error})") from error
    except (SAXException, DefusedXmlException, LookupError, ValueError) as error:
        where = f"line {parser.getLineNumber()}, column {parser.getColumnNumber() + 1}"
        what, remedy = _explain(error, path, parser)
        raise ReportError(str(path), what, where=where, remedy=remedy) from error


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    """Yield a file's bytes as the parser takes them, without the characters that XML has no room for."""
    chunk = file.read(_CHUNK)
    declared = _DECLARED.match(chunk)
    codec = "utf-16" if chunk.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else _codec(declared)
    decoder = codecs.getincrementaldecoder(codec)() if codec not in {"", "utf-8"} else None
    left = b""
    first = True
    while chunk or left:
        last = not chunk
        plain = left + (decoder.decode(chunk, last).encode("utf-8", "surrogatepass") if decoder else chunk)
        if first and codec:
            # Of the same length, so that errors are where they are said to be.
            plain = _DECLARED.sub(lambda match: match[1] + b" " * len(match[2]), plain)
        split = None if last else _SPLIT.search(plain, max(0, len(plain) - _LONGEST))
        plain, left = (plain[: split.start()], plain[split.start() :]) if split else (plain, b"")
        # Looked for first as plain bytes, which is much quicker, and nearly all files have neither.
        if b"&#" in plain:
            plain = _REFERENCE.sub(lambda match: match[1][:-1] + (b"D" if match[1][:1] in b"xX" else b"3"), plain)
        if codec and b"\xef\xbf" in plain:
            plain = _FORBIDDEN.sub(b"\xbd", plain)
        yield plain
        chunk = file.read(_CHUNK)
        first = False


def _codec(declared: re.Match[bytes] | None) -> str:
    """Return Python's codec for a file with this declaration; empty for one that the parser is left alone with."""
    if declared is None:
        return "utf-8"
    try:
        codec = codecs.lookup(declared[3].decode("ascii"))
        whole = bytes(range(256)).decode(codec.name)
    except LookupError:
        return ""
    except UnicodeDecodeError as error:
        # The parser takes encodings of one byte to a character by itself, and no others.
        return codec.name if codec.name == "utf-8" or "multibyte" in error.reason else ""
    except ValueError:
        return ""
    return "" if len(whole) == 256 else codec.name  # noqa: PLR2004 all that a byte can be


class _TooMuchError(SAXException):
    """The file has more of something than any report."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}: no report has that")


class _Handler(ContentHandler):
    """Collects what the parser calls out, until it is taken."""

    def __init__(self, keep: Collection[str], *, texts: bool) -> None:
        super().__init__()
        self.callbacks = 0
        self._texts = texts
        self._keep = keep
        self._depth = 0
        self._ready: list[tuple[Sign, Element]] = []
        self._open: list[tuple[Element, _Text]] = []

    def take(self) -> list[tuple[Sign, Element]]:
        ready, self._ready = self._ready, []
        return ready

    def startElement(self, name: str, attrs: Any) -> None:  # noqa: N802 the standard library's name
        self.callbacks += 1
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _TooMuchError(f"more than {_MAX_DEPTH} elements lie inside of each other")
        element = Element(name.rpartition(":")[2], dict(attrs.items()))
        if self._open or element.tag in self._keep:
            if self._open and len(self._open[-1][0].children) < _MAX_CHILDREN:
                self._open[-1][0].children.append(element)
            self._open.append((element, _Text()))
        else:
            self._ready.append((Sign.START, element))

    def characters(self, content: str) -> None:
        self.callbacks += 1
        if self._open and self._texts:
            self._open[-1][1].add(content)

    def endElement(self, name: str) -> None:  # noqa: N802 the same
        self.callbacks += 1
        self._depth -= 1
        if not self._open:
            self._ready.append((Sign.END, Element(name.rpartition(":")[2], {})))
            return
        element, text = self._open.pop()
        element.text = text.whole()
        if not self._open:
            self._ready.append((Sign.WHOLE, element))


class _Text:
    """A text of which the beginning and the end are kept."""

    __slots__ = ("_head", "_left_out", "_length", "_room", "_tail")

    def __init__(self) -> None:
        self._head: list[str] = []
        self._tail: list[str] = []
        self._length = 0
        self._room = _HALF_TEXT
        self._left_out = 0

    def add(self, content: str) -> None:
        if self._room > 0:
            self._head.append(content[: self._room])
            content = content[self._room :]
            self._room -= len(self._head[-1])
        if content:
            self._tail.append(content)
            self._length += len(content)
            if self._length > 2 * _HALF_TEXT:
                self._cut()

    def whole(self) -> str:
        if self._length > _HALF_TEXT:
            self._cut()
        gap = f"\n… {self._left_out} characters left out …\n" if self._left_out else ""
        return "".join(self._head) + gap + "".join(self._tail)

    def _cut(self) -> None:
        self._left_out += self._length - _HALF_TEXT
        self._tail = ["".join(self._tail)[-_HALF_TEXT:]]
        self._length = _HALF_TEXT


def _explain(error: Exception, path: Path, parser: Any) -> tuple[str, str]:
    """Return what is wrong and what to do, for people."""
    if isinstance(error, DefusedXmlException):
        return "it declares entities, by which a small file can become a huge one", "write it without a DTD of its own"
    if isinstance(error, SAXParseException):
        message = error.getMessage()
        if message in _MEANINGS:
            return _MEANINGS[message]
        if message == "not well-formed (invalid token)":
            return _token(path, parser._parser.ErrorByteIndex)  # noqa: SLF001 the offset is said nowhere else
        return f"it is no XML ({message})", "have it written anew"
    if isinstance(error, SAXException):
        return error.getMessage(), "is this a test report?"
    return f"it has an encoding that cannot be read ({error})", "write it in UTF-8"


def _token(path: Path, offset: int) -> tuple[str, str]:
    """Return what is wrong with the byte that the parser stumbled over."""
    with path.open("rb") as file:
        declared = b"encoding" in file.read(100)
        file.seek(max(offset, 0))
        around = file.read(4)
    code = around[0] if around else 0
    if code >= 0x80:  # noqa: PLR2004 the first byte that is not ASCII
        says = "the encoding that it declares" if declared else "UTF-8"
        return f"the bytes {around.hex(' ')} are not {says}", "write it in UTF-8, or declare the encoding it has"
    if code < 0x20 and code not in b"\t\n\r":  # noqa: PLR2004 the first byte that is no control character
        return f"it holds the control character 0x{code:02x}, which XML forbids", "have the test not print it"
    return "it is no XML (something that does not belong there)", "have it written anew"
