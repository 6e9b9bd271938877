"""Removes secrets where results are born.

Two kinds of rules: shapes that vendors gave their tokens, and values that stand beside a telling name. Each rule has
hints, plain pieces of text without which it cannot match: looking for these first costs clean text almost nothing. No
rule backtracks over a stretch without bound, so that a hostile text costs no more than a long one.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: What stands where a secret was.
MASK: Final = "[redacted]"


class _Rule(NamedTuple):
    """One kind of secret."""

    #: Lower-case pieces, one of which must occur.
    hints: tuple[str, ...]
    #: What is found, a regular expression; compiled when a hint first occurs.
    pattern: str
    #: What takes its place.
    replacement: str | Callable[[re.Match[str]], str] = MASK


#: Values after a telling name that are no secrets: types, constants and placeholders of source lines.
_HARMLESS: Final = frozenset(
    {"none", "null", "true", "false", "str", "bytes", "int", "float", "bool", "any", "object", "optional", "...", ""}
)

#: A number this short is a count, not a secret.
_SHORT_NUMBER: Final = 3

_NAMES: Final = (
    r"pass(?:word|wd|phrase)|pwd|secret(?:[_-]?(?:access[_-]?)?key)?|token|api[_-]?key|apikey|access[_-]?key|"
    r"private[_-]?key|auth[_-]?key|encryption[_-]?key|signing[_-]?key|credentials?|accountkey|sharedaccesskey"
)

_ASSIGNMENT = (
    rf"(?i)(?P<name>(?:{_NAMES})s?(?:[_-](?:hash|value|string|id))?)"
    r"(?P<by>\\?[\"']?[ \t]{0,8}(?:=>|:=|==|!=|[=:])[ \t]{0,8})"
    r"(?P<value>\\?\"(?:[^\"\\\n]|\\[^\"\n])*+\\?\"|\\?'(?:[^'\\\n]|\\[^'\n])*+\\?'|[^\s,;&\"'()\[\]{}<>\\]++(?![(\[]))"
)


def _assignment(match: re.Match[str]) -> str:
    value = match["value"]
    bare = value.strip("\\\"'")
    if bare.lower() in _HARMLESS or bare == MASK or (bare.isdecimal() and len(bare) <= _SHORT_NUMBER):
        return match[0]
    opening = value[: len(value) - len(value.lstrip("\\\"'"))]
    return f"{match['name']}{match['by']}{opening}{MASK}{opening}"


_RULES: Final = (
    _Rule(
        ("private key-----",),
        (r"(?s)-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)"),
    ),
    _Rule(("://",), r"(://[^\s/:@\"'<>]{0,256}:)[^\s/\"'<>]{1,1024}(?=@)", rf"\1{MASK}"),
    _Rule(
        ("authorization", "bearer "),
        (
            r"(?i)(\bauthorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?:(?:bearer|basic|token|digest|apikey)\s{1,4})?|\bbearer\s{1,4})"
            r"[A-Za-z0-9._~+/=:-]{8,}"
        ),
        rf"\1{MASK}",
    ),
    _Rule(("akia", "asia", "abia", "acca"), r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"),
    _Rule(("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"\bgh[pousr]_[A-Za-z0-9]{20,255}"),
    _Rule(("github_pat_",), r"\bgithub_pat_[A-Za-z0-9_]{20,255}"),
    _Rule(("gl",), r"\bgl(?:pat|ptt|dt|rt|cbt|ft|imt|agent|oas|soat)-[0-9A-Za-z_-]{20,255}"),
    _Rule(("xox", "xapp-"), r"\b(?:xox[abceoprs]|xapp)-[A-Za-z0-9-]{10,255}"),
    _Rule(
        ("hooks.slack.com",),
        r"(hooks\.slack\.com/(?:services|workflows|triggers)/)[A-Za-z0-9_/-]+",
        rf"\1{MASK}",
    ),
    _Rule(("eyj",), r"(?<![\w-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
    _Rule(("_live_", "_test_"), r"\b[srp]k_(?:live|test)_[0-9A-Za-z]{10,255}"),
    _Rule(("whsec_",), r"\bwhsec_[0-9A-Za-z+/=]{16,255}"),
    _Rule(("aiza",), r"\bAIza[0-9A-Za-z_-]{35}"),
    _Rule(("ya29.",), r"\bya29\.[0-9A-Za-z_-]{20,}"),
    _Rule(("gocspx-",), r"\bGOCSPX-[0-9A-Za-z_-]{20,}"),
    _Rule(("npm_",), r"\bnpm_[0-9A-Za-z]{36}"),
    _Rule(("pypi-ag",), r"\bpypi-Ag[0-9A-Za-z_-]{40,}"),
    _Rule(("sg.",), r"\bSG\.[0-9A-Za-z_-]{16,64}\.[0-9A-Za-z_-]{16,64}"),
    _Rule(("sk-",), r"\bsk-[0-9A-Za-z_-]{20,255}"),
    _Rule(("dop_v1_", "doo_v1_", "dor_v1_"), r"\bdo[opr]_v1_[0-9a-f]{64}"),
    _Rule(("dckr_pat_",), r"\bdckr_pat_[0-9A-Za-z_-]{20,}"),
    _Rule(("shpat_", "shpss_", "shpca_"), r"\bshp(?:at|ss|ca)_[0-9a-fA-F]{32}"),
    _Rule(("hvs.",), r"\bhvs\.[0-9A-Za-z_-]{24,}"),
    _Rule(("hf_",), r"\bhf_[0-9A-Za-z]{30,}"),
    _Rule(
        ("pass", "pwd", "secret", "token", "key", "credential"),
        _ASSIGNMENT,
        _assignment,
    ),
)


class Redactor:
    """Removes secrets from texts. Immutable; any thread may use it."""

    def __init__(self, patterns: Iterable[re.Pattern[str]] = ()) -> None:
        """Add a user's patterns to the known shapes; of a pattern with a group `secret` only that is removed."""
        self._patterns = tuple(patterns)

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        lowered = text.lower()
        for rule in _RULES:
            for hint in rule.hints:
                if hint in lowered:
                    text = _compiled(rule.pattern).sub(rule.replacement, text)
                    break
        for pattern in self._patterns:
            text = pattern.sub(_user, text)
        return text


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _user(match: re.Match[str]) -> str:
    if "secret" not in match.re.groupindex:
        return MASK
    begin, end = match.start("secret") - match.start(), match.end("secret") - match.start()
    return match[0] if begin < 0 else f"{match[0][:begin]}{MASK}{match[0][end:]}"
