"""Removes secrets where results are born.

Two kinds of rules, both in `secret_shapes`: shapes that vendors gave their tokens, and values that stand beside a
telling name. Private keys, of which a cut may have left only the end, have code of their own. No rule backtracks over a
stretch without bound, so that a hostile text costs no more than a long one.
"""

from __future__ import annotations

import re
import time
from functools import cache
from typing import TYPE_CHECKING, Final

from testbus_producers.redaction.secret_patterns import ASSIGNMENT, MASK, NAME_HINTS, PLACES, TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbus_producers.redaction.secret_patterns import Shape

#: Values after a telling name that are no secrets: types, constants and placeholders of source lines.
_HARMLESS: Final = frozenset(
    {"none", "null", "true", "false", "str", "bytes", "int", "float", "bool", "any", "object", "optional", "...", ""}
    | {"***", "****", "*****", "******", "********", "undefined", "nil", "xxx", "secretstr", "secretbytes", "string"}
    # Assigned from one of its own name, or said of it.
    | {"password", "passwd", "token", "secret", "user", "the"}
)

#: What a value begins with that a program has from itself.
_OWN: Final = ("self.", "cls.")

#: A number this short is a count, not a secret.
_SHORT_NUMBER: Final = 3

#: A word this short that stands beside "token" or "key" is a word.
_SHORT_WORD: Final = 16

#: Names whose plural counts things, and which parsers use for words.
_ALSO_WORDS: Final = ("token", "key", "credential", "secret")

#: Characters of the longest piece of text in which a user's pattern is looked for, and those that two pieces share.
_PIECE: Final = 2048
_SHARED: Final = 256

#: Seconds that a user's patterns may take for one text; what is left of it by then is not published.
SLOW_S: Final = 2.0

#: What stands where the rest of a text was that took too long.
TOO_SLOW: Final = "[redacted: a pattern of TESTBUS_REDACT is too slow for the rest of this text]"

#: The quotes that open a value.
_QUOTES: Final = re.compile(r"[burfBURF]{0,2}(\\{0,3}[\"'])")

#: What follows a quote that did not open a value, but ended the text before it.
_NO_OPENING: Final = re.compile(r"[,)\]}:]|\s")

#: A value without any of these says nothing.
_SAYS: Final = re.compile(r"[^\W_]")

#: A word, an operator's character, or a small number, as parsers call them tokens.
_CODE: Final = re.compile(r"[A-Za-z]+|\W?\w?|0x[0-9A-Fa-f]{1,4}")

#: A name in a program.
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z_.]*")

_KEY_BEGIN: Final = r"(?s)-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_KEY_END: Final = r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
_KEY_HINTS: Final = ("private key-----", "private key block-----")

#: What a line of a key is made of, whatever shows it (pytest's margin, quotes, escapes).
_KEY_LINE: Final = r"[ \t>E|+\-\"'(,]{0,16}(?:[A-Za-z0-9+/=]|\\[nr]){8,}[\"'),\\]{0,8}[ \t]*"


class Redactor:
    """Removes secrets from texts. Immutable; any thread may use it."""

    def __init__(self, patterns: Iterable[re.Pattern[str]] = ()) -> None:
        """Add a user's patterns to the known shapes; of a pattern with a group `secret` only that is removed.

        They are looked for within lines, and within pieces of a few thousand characters of a longer one.
        """
        self._patterns = tuple(patterns)

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        lowered = text.lower()
        if any(hint in lowered for hint in _KEY_HINTS):
            text = _without_keys(text)
        for shapes in (TOKENS, PLACES):
            text = _without(shapes, text, lowered)
        if any(hint in lowered for hint in NAME_HINTS):
            text = _without_values(text)
        return self._without_users(text) if self._patterns else text

    def _without_users(self, text: str) -> str:
        began = time.perf_counter()
        lines = []
        for line in text.split("\n"):
            if time.perf_counter() - began > SLOW_S:
                lines.append(TOO_SLOW)
                break
            for pattern in self._patterns:
                line = _in_pieces(pattern, line)  # noqa: PLW2901 it is the same line
            lines.append(line)
        return "\n".join(lines)


def without_tokens(text: str) -> str:
    """Return the text without tokens that are known by themselves: for names, beside which nothing stands."""
    return _without(TOKENS, text, text.lower())


def _without(shapes: Iterable[Shape], text: str, lowered: str) -> str:
    for shape in shapes:
        for hint in shape.hints:
            if hint in lowered:
                text = _compiled(shape.pattern).sub(shape.replacement, text)
                break
    return text


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _without_values(text: str) -> str:
    """Return the text without values beside telling names; both are in one line, and most lines have no such name."""
    lines = text.split("\n")
    replace = _compiled(ASSIGNMENT).sub
    for number, lowered in enumerate(text.lower().split("\n")):
        for hint in NAME_HINTS:
            if hint in lowered:
                lines[number] = replace(_assignment, lines[number])
                break
    return "\n".join(lines)


def _assignment(match: re.Match[str]) -> str:
    value = match["value"]
    quotes = _QUOTES.match(value)
    opening, closing = (quotes[0], quotes[1]) if quotes else ("", "")
    inner = value[len(opening) :]
    bare = inner.rstrip("\\\"'") if quotes else inner.rstrip(":")
    if bare.lower() in _HARMLESS or MASK in bare or (quotes and _NO_OPENING.match(inner)) or not _SAYS.search(bare):
        return match[0]
    if bare.startswith(_OWN) or (bare.isdecimal() and len(bare) <= _SHORT_NUMBER):
        return match[0]
    if match["name"].lower().startswith(_ALSO_WORDS) and _is_code(match, bare, quoted=bool(quotes)):
        return match[0]
    return f"{match['name']}{match['by']}{opening}{MASK}{closing}"


def _is_code(match: re.Match[str], bare: str, *, quoted: bool) -> bool:
    """Tell whether what stands beside "token" or "key" is a parser's word, a count, or a name of the program's own."""
    if match["name"].endswith("s") and bare.isdecimal():
        return True
    if _CODE.fullmatch(bare) and len(bare) < _SHORT_WORD:
        return True
    return not quoted and " " in match["by"] and "=" in match["by"] and _IDENTIFIER.fullmatch(bare) is not None


def _without_keys(text: str) -> str:
    """Return the text without private keys: whole ones, beginnings to the end of the text, and ends."""
    text = _compiled(rf"{_KEY_BEGIN}.*?(?:{_KEY_END}|\Z)").sub(MASK, text)
    kept: list[str] = []
    is_key_line = _compiled(_KEY_LINE).fullmatch
    ends = _compiled(_KEY_END).search
    for line in text.split("\n"):
        end = ends(line)
        if end is None:
            kept.append(line)
            continue
        while kept and is_key_line(kept[-1]):
            kept.pop()
        kept.append(MASK + line[end.end() :])
    return "\n".join(kept)


def _in_pieces(pattern: re.Pattern[str], line: str) -> str:
    """Replace a user's pattern in a line; in a long one piece by piece, so that a slow pattern stays bounded."""
    if len(line) <= _PIECE:
        return pattern.sub(_user, line)
    spans: list[tuple[int, int]] = []
    for start in range(0, len(line), _PIECE - _SHARED):
        for match in pattern.finditer(line, start, start + _PIECE):
            begin, end = match.span("secret" if "secret" in pattern.groupindex else 0)
            if begin < end:
                spans.append((begin, end))
    parts, done = [], 0
    for begin, end in sorted(spans):
        if begin >= done:
            parts += [line[done:begin], MASK]
        done = max(done, end)
    return "".join([*parts, line[done:]])


def _user(match: re.Match[str]) -> str:
    if "secret" not in match.re.groupindex:
        return MASK if match[0] else ""
    begin, end = match.start("secret") - match.start(), match.end("secret") - match.start()
    return match[0] if begin < 0 else f"{match[0][:begin]}{MASK}{match[0][end:]}"
