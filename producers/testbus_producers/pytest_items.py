"""The part of the pytest plugin that is where tests run: here, or in a worker of xdist.

Only there exceptions, parameters and markers are at hand; they travel on the reports as plain data.
"""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Any, Final

import pytest

from testbus_producers import failures
from testbus_producers.boundary import Boundary
from testbus_producers.reports import CARRIED

if TYPE_CHECKING:
    from collections.abc import Generator

#: Name under which the plugin is registered.
NAME: Final = "testbus-items"

#: Markers that are pytest's instructions, not the user's tags.
_INSTRUCTIONS: Final = frozenset({"parametrize", "usefixtures", "filterwarnings", "xdist_group"})

#: Bound of the markers of one test that go along.
_MAX_MARKERS: Final = 32

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 200
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = _REPR.maxset = 10


class Items:
    """Adds what only the process of a test knows to its reports."""

    def __init__(self, root: str, boundary: Boundary | None = None) -> None:
        """Make paths relative to `root`."""
        self._root = root
        self._boundary = boundary or Boundary()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add parameters and markers to the report of the setup, and the exception to that of a failure."""
        report = yield
        if call.excinfo is not None and report.outcome == "failed":
            self._boundary.call(self._add_failure, report, call.excinfo.value, call.when)
        if call.when == "setup":
            self._boundary.call(_add_item, report, item)
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Add the exception to the report of a module that could not be collected."""
        report = yield
        if report.outcome == "failed":
            self._boundary.call(self._add_collection, report)
        return report

    def _add_collection(self, report: pytest.CollectReport) -> None:
        excinfo = getattr(getattr(report, "call", None), "excinfo", None)
        if excinfo is not None:
            error = excinfo.value
            if isinstance(error, pytest.Collector.CollectError) and error.__cause__ is not None:
                error = error.__cause__
            self._add_failure(report, error, "collect")

    def _add_failure(self, report: pytest.TestReport | pytest.CollectReport, error: BaseException, phase: str) -> None:
        _carry(report)["failure"] = failures.describe(error, phase, self._root)


def _add_item(report: pytest.TestReport, item: pytest.Item) -> None:
    callspec = getattr(item, "callspec", None)
    if callspec is not None and callspec.params:
        _carry(report)["parameters"] = {str(name): _REPR.repr(value) for name, value in callspec.params.items()}
    markers: dict[tuple[str, tuple[str, ...]], None] = {}
    for marker in item.iter_markers():
        if marker.name not in _INSTRUCTIONS:
            markers[
                marker.name, tuple(_REPR.repr(value) if not isinstance(value, str) else value for value in marker.args)
            ] = None
    if markers:
        _carry(report)["markers"] = [{"name": name, "args": list(args)} for name, args in list(markers)[:_MAX_MARKERS]]


def _carry(report: pytest.TestReport | pytest.CollectReport) -> dict[str, Any]:
    carried: dict[str, Any] = report.__dict__.setdefault(CARRIED, {})
    return carried
