"""Text as Slack takes it: escaped, and cut with an ellipsis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

#: Characters that one text of a block may have.
BLOCK_CHARS: Final = 3000

#: Stands for what was cut off.
ELLIPSIS: Final = "…"

#: Characters of a URL that stay as they are.
_URL_SAFE: Final = ":/?#[]@!$&'()*+,;=%-._~"

#: Characters of a URL that is made a link: two of them fit into one block.
_URL_CHARS: Final = 1200

_MINUTE, _HOUR = 60, 3600


def escape(text: str) -> str:
    """Return text without Slack's control characters: no mention and no link can hide in it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def cut(text: str, characters: int) -> str:
    """Return text on one line, of at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= characters else line[: characters - 1].rstrip() + ELLIPSIS


def code(text: str) -> str:
    """Return text in fixed width: nothing in it is formatted."""
    return f"`{escape(text.replace('`', chr(39)))}`" if text else ""


def link(url: str | None, label: str) -> str:
    """Return a link; empty for what is no web address, or too long for one."""
    if not url or urlsplit(url).scheme not in {"http", "https"}:
        return ""
    target = escape(quote(url, safe=_URL_SAFE))
    return f"<{target}|{escape(label)}>" if len(target) <= _URL_CHARS else ""


def fit(lines: Iterable[str], characters: int = BLOCK_CHARS) -> str:
    """Return as many of the lines, which are escaped already, as fit; an ellipsis stands for the rest."""
    kept: list[str] = []
    left = characters - len(ELLIPSIS) - 1
    for line in lines:
        left -= len(line) + 1
        if left < 0:
            return "\n".join([*kept, ELLIPSIS])
        kept.append(line)
    return "\n".join(kept)


def number(value: float) -> str:
    """Return a number with at most two decimals, thousands apart."""
    text = f"{value:,.2f}"
    return text.rstrip("0").rstrip(".")


def tests(count: int) -> str:
    """Return a number of tests."""
    return f"{count:,} test{'' if count == 1 else 's'}"


def duration(length: timedelta) -> str:
    """Return a length of time as a person says it; empty when it is not positive."""
    seconds = int(length.total_seconds())
    if seconds <= 0:
        return ""
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min"
    return f"{seconds // _HOUR} h {seconds % _HOUR // _MINUTE:02d} min"
