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
_BEFORE: Final[dict[str | None, int]] = {"setup": 0, "call": 1, "teardown": 2}


class Passes:
    """Keeps the reports of the test that runs, as long as it does nothing but pass. For one thread."""

    def __init__(self, items: Items, results: Results) -> None:
        """Ask `items` whether it has something to add to a report, and give tests without additions to `results`."""
        self._items = items
        self._results = results
        self._pending: list[TestReport] = []

    def take(self, report: TestReport) -> bool:
        """Take a report; False when it is not that of the next phase of a test that did nothing but pass.

        All three are looked at with the teardown's: another plugin may change a report after we saw it.
        """
        when, pending = report.when, self._pending
        if len(pending) != _BEFORE.get(when) or report.outcome != "passed":
            return False
        if when == "setup":
            node_id = report.nodeid
            if "node" in report.__dict__ or not self._items.begins_plain(node_id) or not self._results.is_new(node_id):
                return False
        elif when == "teardown":
            setup, call = pending
            return self._end(setup, call, report)
        pending.append(report)
        return True

    def _end(self, setup: TestReport, call: TestReport, teardown: TestReport) -> bool:
        """Give the result of a test that has ended; False when there was more to it."""
        node_id = setup.nodeid
        for report in (setup, call, teardown):
            known = report.__dict__
            if type(report) is not TestReport or known["outcome"] != "passed" or report.nodeid != node_id:
                return False
            if "wasxfail" in known or CARRIED in known:
                return False
        if not self._items.ended_plain(setup, call, teardown):
            return False
        pending, self._pending = self._pending, []
        if not self._results.add_passed(setup, call, teardown):
            self._pending = pending
            return False
        return True

    def release(self) -> list[TestReport]:
        """Return the pending reports, and keep them no more."""
        pending, self._pending = self._pending, []
        return pending
