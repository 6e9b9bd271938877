"""The part of the pytest plugin that is where tests run: here, or in a worker of xdist.

Only there exceptions, parameters and markers are at hand; they go along on the reports, as plain data that xdist can
send. Tests that pass are many, so there the least possible is done.
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
    """Knows the test that runs, its exceptions, and those of modules that could not be collected."""

    def __init__(self, root: str, boundary: Boundary | None = None) -> None:
        """Make paths relative to `root`."""
        self._root = root
        self._boundary = boundary or Boundary()
        self._item: pytest.Item | None = None
        self._raised: dict[str, dict[str, Any]] = {}
        self._parent: object = None
        self._inherited = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """Note which test it is, and the exception it raised, before pytest makes its report of it."""
        self._item = item
        if call.excinfo is not None and not isinstance(call.excinfo.value, pytest.skip.Exception):
            self._boundary.call(self._note, call.when, call.excinfo.value)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Add the exception to the report of a module that could not be collected."""
        report = yield
        if report.outcome == "failed":
            self._boundary.call(self._add_collection, report)
        return report

    def carry(self, report: pytest.TestReport) -> None:
        """Add to a report what is known of its test: to that of the setup what it is, to a failure its exception."""
        item = self._item
        if item is None:
            return
        when = report.when
        if self._raised and item.nodeid == report.nodeid:
            failure = self._raised.pop(str(when), None)
            if failure is not None and report.outcome not in {"passed", "skipped"}:
                _carry(report)["failure"] = failure
        if when == "setup" and (self._is_marked(item) or hasattr(item, "callspec")) and item.nodeid == report.nodeid:
            _add_item(report, item)
        elif when == "teardown":
            self._item = None
            self._raised.clear()

    def _note(self, phase: str, error: BaseException) -> None:
        self._raised[phase] = failures.describe(error, phase, self._root)

    def _is_marked(self, item: pytest.Item) -> bool:
        """Tell whether the test or what holds it has markers; tests of one module or class come together."""
        if item.parent is not self._parent:
            self._parent = item.parent
            self._inherited = any(node.own_markers for node in item.listchain()[:-1])
        return self._inherited or bool(item.own_markers)

    def _add_collection(self, report: pytest.CollectReport) -> None:
        excinfo = getattr(getattr(report, "call", None), "excinfo", None)
        if excinfo is not None:
            error = excinfo.value
            if isinstance(error, pytest.Collector.CollectError) and error.__cause__ is not None:
                error = error.__cause__
            _carry(report)["failure"] = failures.describe(error, "collect", self._root)


class WorkerItems(Items):
    """The same in a worker of xdist, where the reports leave the process."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Let the report take along what is known, before it is sent."""
        self._boundary.call(self.carry, report)


def _add_item(report: pytest.TestReport, item: pytest.Item) -> None:
    callspec = getattr(item, "callspec", None)
    if callspec is not None and callspec.params:
        _carry(report)["parameters"] = {str(name): _repr(value) for name, value in callspec.params.items()}
    markers: dict[tuple[str, tuple[str, ...]], None] = {}
    for marker in item.iter_markers():
        if marker.name not in _INSTRUCTIONS:
            markers[marker.name, tuple(_text(value) for value in marker.args)] = None
    if markers:
        _carry(report)["markers"] = [{"name": name, "args": list(args)} for name, args in list(markers)[:_MAX_MARKERS]]


def _repr(value: object) -> str:
    """Return a bounded form of a value; what xdist cannot send becomes a question mark."""
    return _REPR.repr(value).encode("utf-8", "replace").decode()


def _text(value: object) -> str:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else _repr(value)


def _carry(report: pytest.TestReport | pytest.CollectReport) -> dict[str, Any]:
    carried: dict[str, Any] = report.__dict__.setdefault(CARRIED, {})
    return carried
