r"""Fingerprints: the identity of a failure's root cause, from its text alone.

Version 1: an exception's type and the first line of its message, with what varies from run to run masked: quoted
text, numbers, hexadecimal, paths, UUIDs and memory addresses. A pure function: the same failure has the same
fingerprint in Jira, Slack, ReportPortal and the flaky record, whoever computes it. A change of the rules is a new
version, never a change of an old one, because fingerprints are kept in other people's systems.

Version 2 looks into a failure: one that was raised `from` another, that wraps one (doctest) or that is a group with
members of one cause has the cause's own fingerprint, as where that fails unwrapped; it is written as version 1. A group
of several causes has `v2:` and a digest of them all, in no order. A failure that says nothing of what led to it, as all
those of older producers, has what it had in version 1.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from testbus_schemas.results import Failure

#: Version of the rules that `fingerprint` follows.
FINGERPRINT_VERSION: Final = 2

#: Characters of a message's first line that count.
_LINE_CHARS: Final = 512

#: A number with its sign, separators and exponent, wherever it stands: also in `user_17`.
_NUMBER: Final = r"[-+]?\d+(?:[.,:_]\d+)*(?:[eE][-+]?\d+)?"

#: What is masked, in this order, and the word that takes its place.
_MASKS: Final = tuple(
    (re.compile(pattern), mask)
    for pattern, mask in (
        (r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b", "<uuid>"),
        (r"(?<!\w)'[^'\n]*'(?!\w)|\"[^\"\n]*\"|`[^`\n]*`", "<str>"),
        (r"\b0[xX][0-9a-fA-F]+\b", "<addr>"),
        (r"(?<![\w<])(?:[A-Za-z]:)?(?:[\\/][\w.@+~-]+){2,}[\\/]?|\b[\w.-]+(?:/[\w.-]+)*\.py\b", "<path>"),
        # One word for numbers and long hexadecimal: a counter that reaches eight digits is still the same failure.
        (rf"(?>{_NUMBER})(?!\w)|\b(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{{8,}}\b|{_NUMBER}", "<num>"),
        (r"\s+", " "),
    )
)


def mask(line: str) -> str:
    """Return one line of a message with what varies from run to run masked."""
    for pattern, replacement in _MASKS:
        line = pattern.sub(replacement, line)
    return line.strip()


class Raised(NamedTuple):
    """What was raised."""

    #: Qualified class name.
    type: str
    message: str


def roots(failure: Failure) -> tuple[Raised, ...]:
    """Return what a failure is due to, at least one: itself, the exception it was raised from, or a group's members.

    What merely was being handled when it was raised is no cause of it. Members are in their order, each cause once.
    """
    first = Raised(failure.type, failure.message)
    members: dict[str, Raised] = {}
    for cause in reversed(failure.chain):
        raised = Raised(cause.type, cause.message)
        if cause.relation == "member":
            members.setdefault(_identity(raised), raised)
        elif cause.relation == "cause":
            first, members = raised, {}
        else:
            break
    return tuple(members.values()) or (first,)


def root(failure: Failure) -> Raised:
    """Return what people are to read of a failure: its root; of several, the failure with what each of them said."""
    found = roots(failure)
    if len(found) == 1:
        return found[0]
    joined = "; ".join(": ".join(part for part in (one.type, _first_line(one.message)) if part) for one in found)
    return Raised(failure.type, joined)


def fingerprint(failure: Failure) -> str:
    """Return the failure's fingerprint as `v1:` and 16 hexadecimal digits; `v2:` for a group of several causes."""
    found = sorted(_identity(raised) for raised in roots(failure))
    if len(found) == 1:
        return f"v1:{_digest(found[0])}"
    return f"v2:{_digest(chr(0).join(found))}"


def _identity(raised: Raised) -> str:
    return f"{raised.type}\n{mask(_first_line(raised.message)[:_LINE_CHARS])}"


def _first_line(message: str) -> str:
    return next((line for line in message.splitlines() if line.strip()), "")


def _digest(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()[:16]
