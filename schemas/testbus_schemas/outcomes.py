"""How a test, or a step of one, can end."""

from __future__ import annotations

from testbus_schemas.model import OpenEnum


class Outcome(OpenEnum):
    """How an attempt of a test, or a step of it, ended."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    XPASSED = "xpassed"
    TIMEOUT = "timeout"
    #: Collected, and never heard of.
    NOT_REPORTED = "not_reported"
    #: Collected, and left out on purpose (-x, Ctrl-C).
    NOT_RUN = "not_run"
    #: A value that a newer producer knows and this code does not.
    UNKNOWN = "unknown"

    @property
    def bad(self) -> bool:
        """Tell whether a test that ends so needs a person."""
        return self in _BAD


#: Made once: it is asked for each attempt.
_BAD = frozenset({Outcome.FAILED, Outcome.ERROR, Outcome.TIMEOUT, Outcome.NOT_REPORTED, Outcome.UNKNOWN})
