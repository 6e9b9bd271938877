"""What pytest's reports say of a failure beside its exception: how bad it is, and what its text tells."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from testbus_producers.text import cut

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest import CollectReport, TestReport  # noqa: PT013 only names for annotations

#: Bound of the failures of one result (a test may have many subtests).
_MAX_FAILURES: Final = 10

#: Bound in bytes of the texts of all failures of one result.
_MAX_TEXTS: Final = 64 * 1024

#: What pytest-timeout says in the exception by which it ends a test.
_TIMEOUT = re.compile(r"Timeout \(>[^)]*\) from pytest-timeout")


def badness(report: TestReport, failure: dict[str, Any]) -> str:
    """Return failed, timeout or error: only what the call itself did wrong is a failure."""
    if failure["type"] == "Failed" and _TIMEOUT.match(failure["message"]):
        return "timeout"
    return "failed" if report.when == "call" else "error"


def from_text(text: str, report: TestReport | CollectReport, phase: str | None) -> dict[str, Any]:
    """Return the failure of a report that came without an exception."""
    if phase == "???":
        kind = "WorkerCrashed"
    elif text.startswith("[XPASS(strict)]"):
        kind = "XPASS(strict)"
    else:
        kind = ""
    crash = getattr(report.longrepr, "reprcrash", None)
    said = crash.message if crash is not None else text
    if not kind:
        match = re.match(r"([A-Za-z_][\w.]*): ", said)
        kind, said = (match[1], said[match.end() :]) if match else ("", said)
    return {"phase": phase, "type": kind, "message": said}


def bounded(failures: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the first failures, with less text the more there are."""
    kept = list(failures)[:_MAX_FAILURES]
    if len(kept) > 1:
        for failure in kept:
            failure["text"] = cut(failure["text"], _MAX_TEXTS // len(kept))
    return kept
