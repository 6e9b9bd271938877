r"""Fingerprints: the identity of a failure's root cause, from its text alone.

Version 1: the exception's type and the first line of its message, with what varies from run to run masked: quoted
text, numbers, hexadecimal, paths, UUIDs and memory addresses. A pure function: the same failure has the same
fingerprint in Jira, Slack, ReportPortal and the flaky record, whoever computes it. A change of the rules is a new
version, never a change of an old one, because fingerprints are kept in other people's systems.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from testbus_schemas.results import Failure

#: Version that `fingerprint` computes; it begins every fingerprint.
FINGERPRINT_VERSION: Final = 1

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


def fingerprint(failure: Failure) -> str:
    """Return the failure's fingerprint as `v1:` and 16 hexadecimal digits."""
    first_line = next((line for line in failure.message.splitlines() if line.strip()), "")[:_LINE_CHARS]
    identity = f"{failure.type}\n{mask(first_line)}"
    return f"v{FINGERPRINT_VERSION}:{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
