"""What an outcome is called."""

from __future__ import annotations

from typing import Final

from testbus_schemas import Outcome

#: Status of an item by the outcome of its result. An expected failure is SKIPPED and an unexpected pass is PASSED, as
#: the pytest agent has it.
STATUSES: Final = {
    Outcome.PASSED: "PASSED",
    Outcome.XPASSED: "PASSED",
    Outcome.FAILED: "FAILED",
    Outcome.ERROR: "FAILED",
    Outcome.TIMEOUT: "FAILED",
    Outcome.UNKNOWN: "FAILED",
    Outcome.SKIPPED: "SKIPPED",
    Outcome.XFAILED: "SKIPPED",
    Outcome.NOT_RUN: "SKIPPED",
    Outcome.NOT_REPORTED: "INTERRUPTED",
}
