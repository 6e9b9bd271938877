"""Tests that do nothing but pass, in the process that runs them: nearly all tests are, and so they cost the least.

The reports of such a test are pending until its teardown's, and then become its result at once. As soon as a report
does not fit, they are released and go the way of all others (`Items.carry`, `Results.add`), with the same result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest import TestReport  # noqa: PT013 a class to compare with

from testbus_producers.plugin.results import CARRIED

if TYPE_CHECKING:
    from testbus_producers.plugin.items import Items
    from testbus_producers.plugin.results import Results

#: How many reports of a test come before that of a phase.
_BEFORE: Final[dict[str | None, int]] = {"call": 1, "teardown": 2}


class Passes:
    """Keeps the reports of the test that runs, as long as it does nothing but pass. For one thread."""

    def __init__(self, items: Items, results: Results) -> None:
        """Ask `items` whether it has something to add to a report, and give tests without additions to `results`."""
        self._items = items
        self._results = results
        self._pending: list[TestReport] = []

    def take(self, report: TestReport) -> bool:
        """Take a report; False when it is not that of the next phase of a test that did nothing but pass."""
        if not _did_pass(report):
            return False
        when, pending = report.when, self._pending
        if when == "setup":
            if pending or "node" in report.__dict__ or not self._items.begins_plain(report.nodeid):
                return False
            if not self._results.is_new(report.nodeid):
                return False
        elif len(pending) != _BEFORE.get(when) or pending[0].nodeid != report.nodeid:
            return False
        pending.append(report)
        return when != "teardown" or self._end(*pending)

    def _end(self, setup: TestReport, call: TestReport, teardown: TestReport) -> bool:
        """Take the test as a whole; False when there was more to it, and the teardown is not pending."""
        del self._pending[2]
        # Another plugin may have changed a report after we saw it.
        if not (_did_pass(setup) and _did_pass(call) and self._items.ended_plain(setup, call, teardown)):
            return False
        earlier, self._pending = self._pending, []
        if self._results.add_passed(setup, call, teardown):
            return True
        self._pending = earlier
        return False

    def release(self) -> list[TestReport]:
        """Return the pending reports, and keep them no more."""
        pending, self._pending = self._pending, []
        return pending


def _did_pass(report: TestReport) -> bool:
    """Tell whether a report is of a phase that passed, and says nothing else."""
    known = report.__dict__
    return (
        type(report) is TestReport and known["outcome"] == "passed" and "wasxfail" not in known and CARRIED not in known
    )
