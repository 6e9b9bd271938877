"""Text as ReportPortal takes it: whole characters, no longer than there is room for, and honest about what was cut."""

from __future__ import annotations

import re
from typing import Final

from reportportal_client.helpers.common_helpers import clean_binary_characters

#: Longest name of a launch.
LAUNCH_NAME: Final = 256

#: Longest name of an item.
ITEM_NAME: Final = 1024

#: Longest key or value of an attribute.
ATTRIBUTE: Final = 128

#: Longest description of a launch or an item; ReportPortal would cut the rest without a word.
DESCRIPTION: Final = 2048

#: Longest comment of a defect that is sent.
COMMENT: Final = 2048


#: Code points up to here are one UTF-16 unit, which is what Java counts.
_ONE_UNIT: Final = 0xFFFF


def clean(text: str) -> str:
    """Return a text without control characters, which ReportPortal's own client replaces, and what `storable` does."""
    if text.isascii() and text.isprintable():
        # By far the most, and the cheapest to tell.
        return text
    return str(clean_binary_characters(storable(text)))


def storable(text: str) -> str:
    """Return a text without what ReportPortal's database refuses: NUL and halves of surrogate pairs.

    For what tests are known by: any other character that was replaced would make another test of it.
    """
    if not text.isascii():
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\x00", "\ufffd")


def units(text: str) -> int:
    """Return a text's length as ReportPortal measures it, in UTF-16 units: an emoji counts twice."""
    return len(text) if text.isascii() else len(text) + sum(ord(char) > _ONE_UNIT for char in text)


def fit(text: str, limit: int) -> str:
    """Return a text cleaned and at most `limit` UTF-16 units long; what is cut is counted at its end."""
    text = clean(text)
    if units(text) <= limit:
        return text
    room = limit - len(_told(len(text)))
    kept = text.encode("utf-16-le")[: 2 * room].decode("utf-16-le", "ignore")
    return kept + _told(len(text) - len(kept))


def _told(characters: int) -> str:
    return f"… (cut, {characters} characters)"


#: Where an address in Markdown leads out of the page and not to the web: its scheme, or what may hide one.
_ELSEWHERE: Final = r"(?!https?://|mailto:)[^)/?#]*[:&]"

#: A link or a picture with such an address, a reference (at the beginning of a line) with one, a tag that holds one.
_LINK: Final = re.compile(rf"(\]\s*)\((?=\s*<?{_ELSEWHERE})")
_REFERENCE: Final = re.compile(r"^( {0,3}\[[^\]\n]*\]):(?=\s*<?(?!https?://|mailto:)[^\s/?#]*[:&])", re.MULTILINE)
_TAG: Final = re.compile(r"<(?!https?://|mailto:)(?=[A-Za-z/&][^<>]*[:&][^<>]*>)")


def without_scripts(text: str) -> str:
    """Return Markdown in which no address leads anywhere but to the web: `javascript:` and its like are only shown."""
    return _TAG.sub(r"\\<", _REFERENCE.sub(r"\1\\:", _LINK.sub(r"\1\\(", text)))
