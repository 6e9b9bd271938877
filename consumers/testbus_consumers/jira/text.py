"""Text as Jira can hold it: no control characters, nothing longer than it takes."""

from __future__ import annotations

import re
from typing import Final

#: Stands for what was cut off.
ELLIPSIS: Final = "…"

#: Colours of a terminal.
_ANSI: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")

#: Characters that neither a database nor an editor takes: controls but for tab and line feed, and half characters.
_UNWANTED: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def clean(text: str) -> str:
    """Return text without colours, and with a replacement for every character that cannot be kept."""
    plain = _ANSI.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _UNWANTED.sub("\N{REPLACEMENT CHARACTER}", plain)


def excerpt(text: str, characters: int) -> str:
    """Return the end of a text, whole lines of it if possible: of a traceback that is what matters."""
    text = clean(text).strip("\n")
    if len(text) <= characters:
        return text
    kept = text[-(characters - len(ELLIPSIS) - 1) :]
    _, found, rest = kept.partition("\n")
    return f"{ELLIPSIS}\n{rest if found else kept}"
