"""Tests that do nothing but pass, in the process that runs them: nearly all tests are, and so they cost the least.

Of such a test the reports are held until its teardown's, and then become its result at once. As soon as there is more
to say, they are given back and go the way of all others (`Items.carry`, `Results.add`), which says the same of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest import TestReport  # noqa: PT013 a class to compare with

from testbus_producers.reports import CARRIED

if TYPE_CHECKING:
    from testbus_producers.pytest_items import Items
    from testbus_producers.reports import Results

#: How many reports of a test come before that of a phase.
_BEFORE: Final[dict[str | None, int]] = {"setup": 0, "call": 1, "teardown": 2}


class Passes:
    """Holds the reports of the test that runs, while there is nothing to say of it. For one thread."""

    def __init__(self, items: Items, results: Results) -> None:
        """Ask `items` whether there is more to say of a test, and give the tests of which there is not to `results`."""
        self._items = items
        self._results = results
        self._held: list[TestReport] = []

    def take(self, report: TestReport) -> bool:
        """Take a report; False when it is not that of the next phase of a test that did nothing but pass."""
        held = self._held
        if not _did_pass(report) or len(held) != _BEFORE.get(report.when) or not self._items.adds_nothing(report):
            return False
        if not held:
            if "node" in report.__dict__ or not self._results.is_new(report.nodeid):
                return False
            held.append(report)
            return True
        if held[0].nodeid != report.nodeid:
            return False
        if report.when == "teardown":
            # Another plugin may have changed a report after we saw it.
            if not (_did_pass(held[0]) and _did_pass(held[1])):
                return False
            self._held = []
            self._results.add_passed(held[0], held[1], report)
        else:
            held.append(report)
        return True

    def give_back(self) -> list[TestReport]:
        """Return the reports that are held, and hold them no more."""
        held, self._held = self._held, []
        return held


def _did_pass(report: TestReport) -> bool:
    """Tell whether a report is of a phase that passed, and says nothing else."""
    known = report.__dict__
    return (
        type(report) is TestReport and known["outcome"] == "passed" and "wasxfail" not in known and CARRIED not in known
    )
