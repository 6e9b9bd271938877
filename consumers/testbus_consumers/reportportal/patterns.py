"""Regular expressions from the configuration, whose cost has a bound whatever a test prints.

Python's engine goes back and tries again: with what may repeat inside of what repeats it can take for ever. So a
group cannot be repeated, and only few things may vary in length; alternatives are free.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

#: Longest pattern.
LONGEST: Final = 300

#: Quantifiers (`*`, `+`, `?`, `{m,n}`) in one pattern, at most: the cost grows with the text's length to their power.
QUANTIFIERS: Final = 3

#: Characters of a text that are looked at, from its beginning.
LOOKED_AT: Final = 300

#: What a pattern is made of: an escape, a set, the beginning of a group, a quantifier with its suffix, anything else.
_TOKENS: Final = re.compile(
    r"(?P<escape>\\.)|(?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])|(?P<open>\((?:\?(?:P<\w+>|[a-zA-Z:<=!>-]+|\(\w+\)))?)"
    r"|(?P<quantifier>(?:[*+?]|\{\d*,?\d*\})[?+]?)|(?P<other>.)",
    re.DOTALL,
)


def compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern ready for use; raise ValueError that says why it cannot be used."""
    if len(pattern) > LONGEST:
        raise ValueError(f"longer than {LONGEST} characters")
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from None
    quantifiers, before = 0, ""
    for token in _TOKENS.finditer(pattern):
        kind, text = str(token.lastgroup), token.group()
        if kind == "escape" and text[1].isdigit() and text[1] != "0":
            raise ValueError(f"{text} refers back to a group, which has no bound on its cost")
        if kind == "open" and text.startswith("(?P="):
            raise ValueError("(?P=…) refers back to a group, which has no bound on its cost")
        if kind == "quantifier":
            quantifiers += 1
            if before == ")" and not text.startswith("?"):
                raise ValueError(f"{text} repeats a group, which has no bound on its cost: repeat characters or sets")
        before = text if kind == "other" else ""
    if quantifiers > QUANTIFIERS:
        raise ValueError(
            f"{quantifiers} quantifiers, at most {QUANTIFIERS} may be used: give the other words as alternatives"
        )
    return found


@lru_cache(maxsize=1024)
def found(pattern: str, text: str) -> bool:
    """Tell whether a pattern is found in the beginning of a text; of many tests with one message, one is looked at."""
    return compiled(pattern).search(text[:LOOKED_AT]) is not None
