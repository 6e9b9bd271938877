"""What a test printed, and which files it left: from `system-out` and `system-err`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from testbus_producers.readers.markup import Element
    from testbus_producers.text import Cleaner

#: How pytest separates what it puts into one element.
_BANNER = re.compile(r"^-+ Captured (Log|Out|Err) -+\n", re.MULTILINE)

_BANNER_NAMES: Final = {"Log": "log", "Out": "stdout", "Err": "stderr"}

_ELEMENT_NAMES: Final = {"system-out": "stdout", "system-err": "stderr"}

#: The convention by which tools name attached files within output (Jenkins' JUnit Attachments, GitLab, Playwright).
_ATTACHMENT = re.compile(r"\[\[ATTACHMENT\|([^\]\n]+)\]\]\n?")

#: Bound of the attachments of one test.
_MAX_ATTACHMENTS: Final = 100


class Printed:
    """What one test, or one attempt of it, printed."""

    def __init__(self, elements: Iterable[Element]) -> None:
        """Take the elements that may hold output."""
        #: Paths of attached files, as the report has them.
        self.attachments: list[str] = []
        self._texts: dict[str, list[str]] = {}
        for element in elements:
            if element.tag not in _ELEMENT_NAMES:
                continue
            self.attachments += _ATTACHMENT.findall(element.text)[: _MAX_ATTACHMENTS - len(self.attachments)]
            for name, text in _sections(_ATTACHMENT.sub("", element.text), _ELEMENT_NAMES[element.tag]):
                known = self._texts.setdefault(name, [])
                if text not in known:
                    known.append(text)

    @property
    def last_line(self) -> str:
        """Return the last line that is not empty, of errors if there are any."""
        for name in ("stderr", "stdout", "log"):
            lines = [line.strip() for text in self._texts.get(name, ()) for line in text.splitlines() if line.strip()]
            if lines:
                return lines[-1]
        return ""

    def as_json(self, clean: Cleaner) -> list[dict[str, Any]]:
        """Return the texts as plain JSON data, redacted and bounded."""
        return [{"name": name, "text": clean.text("\n".join(texts))} for name, texts in self._texts.items()]


def _sections(text: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield name and text of each part that is not empty."""
    parts = _BANNER.split(text)
    named = [
        (name, parts[0]),
        *((_BANNER_NAMES[title], part) for title, part in zip(parts[1::2], parts[2::2], strict=True)),
    ]
    for title, part in named:
        if part.strip():
            yield title, part.strip("\n")
