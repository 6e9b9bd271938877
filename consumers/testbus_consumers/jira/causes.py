"""The causes of a run's failures, as issues tell of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from testbus_consumers.jira.text import clean, excerpt
from testbus_consumers.wording.text import first_line

if TYPE_CHECKING:
    from testbus_consumers.records.reading import Attempt, Record

#: Characters of a failure's text that an issue may show.
_TEXT_CHARS: Final = 6000

#: Characters of a message's first line.
_MESSAGE_CHARS: Final = 500


@dataclass(frozen=True, kw_only=True)
class Cause:
    """One root cause in one run."""

    #: Its identity.
    fingerprint: str
    #: Exception class.
    type: str
    #: First line of the message.
    message: str
    #: End of the failure's text.
    text: str
    #: Tests that failed for it, with the variant when that is not the default, in order.
    tests: tuple[str, ...]


def causes_of(record: Record) -> list[Cause]:
    """Return the causes of a run's failures, those of most tests first.

    A test fails for the cause of its last attempt: one that passed in the end is flaky, and nobody's issue.
    """
    found = [
        Cause(
            fingerprint=cause.fingerprint,
            type=clean(cause.type),
            message=clean(first_line(cause.message))[:_MESSAGE_CHARS],
            text=excerpt(cause.text or cause.message, _TEXT_CHARS),
            tests=tuple(sorted({_name(test) for test in cause.tests})),
        )
        for cause in record.causes()
    ]
    return sorted(found, key=lambda cause: (-len(cause.tests), cause.fingerprint))


def _name(test: Attempt) -> str:
    variant = f" [{test.variant}]" if test.variant != "default" else ""
    return f"{clean(test.node_id)}{variant}"
