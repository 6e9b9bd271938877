"""The part of the pytest plugin that is where tests run: here, or in a worker of xdist.

Only there exceptions, parameters and markers are at hand; they go along on the reports, as plain data that xdist can
send. Tests that pass are many, so there the least possible is done.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest

from testbus_producers import clock, failures, recording
from testbus_producers.plugin.results import CARRIED, PROCESS, RERUN, is_loud
from testbus_producers.recording import Recording, plain
from testbus_producers.safe_call import SafeCalls
from testbus_producers.values import lines_of, text_of
from testbus_schemas.wire import MAX_DESCRIPTION, MAX_SUITES

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from _pytest.nodes import Node

#: Levels from which a record is called so; below the last it is a trace.
_LEVELS: Final = (
    (logging.CRITICAL, "fatal"),
    (logging.ERROR, "error"),
    (logging.WARNING, "warn"),
    (logging.INFO, "info"),
    (logging.DEBUG, "debug"),
)

_ROOT: Final = logging.root

_monotonic: Final = clock.monotonic


class LogHandler(logging.Handler):
    """Takes records to the recording of the test that runs."""

    def install(self) -> None:
        """Take what is logged from now on, behind pytest's own handlers."""
        _ROOT.handlers.append(self)

    def remove(self) -> None:
        """Take nothing any more; who cleared the handlers has done it already."""
        _ROOT.handlers[:] = [handler for handler in _ROOT.handlers if handler is not self]

    def handle(self, record: logging.LogRecord) -> bool:
        """Take a record, without a lock: it only becomes one more of a list."""
        SafeCalls().call(_take, record)
        return True


def _take(record: logging.LogRecord) -> None:
    now = recording.current()
    if now is not None:
        logger = record.__dict__.get("name")
        level = next((name for least, name in _LEVELS if record.levelno >= least), "trace")
        now.log(level, partial(_record_text, record), logger if isinstance(logger, str) else "")


def _record_text(record: logging.LogRecord) -> str:
    """Return what a record says, with the traceback of an exception: as pytest's handlers wrote it.

    Where they did not (a level that pytest leaves out), its arguments are left out as well.
    """
    known = record.__dict__
    message = known.get("message")
    if not isinstance(message, str):
        message = record.msg if type(record.msg) is str else f"a {type(record.msg).__name__}"
    parts = (message, known.get("exc_text"), known.get("stack_info"))
    return "\n".join(part for part in parts if isinstance(part, str) and part)


#: Name under which the plugin is registered.
NAME: Final = "testbus-items"

#: Markers that are pytest's instructions, not the user's tags.
_INSTRUCTIONS: Final = frozenset({"parametrize", "usefixtures", "filterwarnings", "xdist_group"})

#: Bound of the markers of one test that go along.
_MAX_MARKERS: Final = 32

#: Seconds by which pytest's clocks may differ from ours before ours are believed.
_SLACK_S: Final = 0.05


class Items:
    """Knows the test that runs, its exceptions, and those of modules that could not be collected."""

    def __init__(self, config: pytest.Config, safe: SafeCalls | None = None, output: str = "failed") -> None:
        """Know the tests of a session; for `output` see `settings.OUTPUT_POLICIES`."""
        self._root = str(config.rootpath)
        self._output = output
        # Beside pytest's own handlers one more changes nothing; where it has none, neither have we.
        logs = output != "none" and config.pluginmanager.hasplugin("logging")
        self._handler = LogHandler() if logs else None
        self._recording = Recording()
        self._loud = False
        self._safe = safe or SafeCalls()
        self._item: pytest.Item | None = None
        self._raised: dict[str, dict[str, Any]] = {}
        self._parent: object = None
        self._inherited = False
        self._described: set[str] = set()
        self._began = self._since = 0.0
        self._timings: dict[str, tuple[float, float]] = {}

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        """Record what the test says."""
        outer = recording.switch(self._recording)
        handler = self._handler
        if handler is not None:
            handler.install()
        self._began = self._since = _monotonic()
        try:
            return (yield)
        finally:
            if handler is not None:
                handler.remove()
            recording.switch(outer)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """Note which test it is, and the exception it raised, before pytest makes its report of it."""
        self._item = item
        since = self._since
        self._since = now = _monotonic()
        self._timings[call.when] = (since, now - since)
        if call.excinfo is not None:
            self._safe.call(self._note, call)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Add the exception to the report of a module that could not be collected."""
        report = yield
        self._safe.call(self._add_collection, report)
        return report

    def begins_plain(self, node_id: str) -> bool:
        """Tell whether `carry` has nothing to add to the report of the setup of this test."""
        item = self._item
        if item is None or item.nodeid != node_id:
            return False
        if item.parent is not self._parent and not self._enters_plain(item):
            return False
        if self._inherited or item.own_markers or hasattr(item, "callspec"):
            return False
        return not isinstance(item, pytest.Function) or item.obj.__doc__ is None

    def ended_plain(self, setup: pytest.TestReport, call: pytest.TestReport, teardown: pytest.TestReport) -> bool:
        """Tell whether `carry` has nothing to add to the reports of the test that has ended, and nothing to forget.

        Their times are true when together they are no longer than the test: a clock that was moved shows in their sum.
        """
        item = self._item
        if item is None or item.nodeid != setup.nodeid or self._raised or self._recording.used:
            return False
        first, second, third = setup.duration, call.duration, teardown.duration
        # Older versions of pytest do not say when a phase began.
        start = setup.__dict__.get("start")
        if not type(first) is type(second) is type(third) is type(start) is float:
            return False
        if not (first > 0.0 and second > 0.0 and third > 0.0):
            return False
        if first + second + third > self._since - self._began + _SLACK_S:
            return False
        return -_SLACK_S <= start - self._began - clock.AHEAD <= first + _SLACK_S

    def carry(self, report: pytest.TestReport) -> None:
        """Add to a report what is known of its test: to that of the setup what it is, to a failure its exception.

        What cannot be reported costs nothing of the rest.
        """
        item, when, safely = self._item, report.when, self._safe.call
        if item is None:
            return
        self._check_clocks(report)
        if self._raised and item.nodeid == report.nodeid:
            failure = self._raised.pop(str(when), None)
            if failure is not None and is_loud(report):
                _carry(report)["failure"] = failure
        if when == "setup" and item.nodeid == report.nodeid:
            if item.parent is not self._parent:
                # Tests of one module or class come together: what holds them is looked at once for all of these.
                self._parent = item.parent
                safely(self._enter, report, item)
            if self._inherited or item.own_markers or hasattr(item, "callspec"):
                safely(_add_item, report, item)
            if isinstance(item, pytest.Function) and (text := safely(_docstring, item)):
                _carry(report)["description"] = text
        elif when == "teardown":
            self._item = None
            self._raised.clear()
        self._loud = self._loud or is_loud(report)
        if when == "teardown" or report.outcome == RERUN:
            safely(self._carry_recorded, report)

    def _has_true_times(self, report: pytest.TestReport) -> bool:
        """Tell whether a report has the times of its phase: a test may have moved its clocks, or stopped them."""
        timing = self._timings.get(str(report.when))
        if timing is None:
            return False
        since, longest = timing[0], timing[1] + _SLACK_S
        known = report.__dict__
        seconds, start = known.get("duration"), known.get("start")
        return (
            type(seconds) is float
            and 0.0 < seconds <= longest
            and type(start) is float
            and abs(start - clock.moment_of(since)) <= longest
        )

    def _check_clocks(self, report: pytest.TestReport) -> None:
        """Add our own times to a report whose times are not true; a report may hold anything."""
        timing = self._timings.get(str(report.when))
        if timing is not None and not self._has_true_times(report):
            since, elapsed = timing
            seconds = report.__dict__.get("duration")
            # What was measured holds when only the date was moved.
            measured = type(seconds) is float and 0.0 < seconds <= elapsed + _SLACK_S
            _carry(report)["timing"] = {"start": clock.moment_of(since), "seconds": seconds if measured else elapsed}

    def _carry_recorded(self, report: pytest.TestReport) -> None:
        """Add what the test said to the last report of its attempt: of one that is rerun there may be no other."""
        loud, self._loud = self._loud, False
        if self._recording.used:
            with_logs = self._output == "all" or (self._output == "failed" and loud)
            if recorded := self._recording.carried(with_logs=with_logs):
                _carry(report)["said"] = recorded
            self._recording = Recording()
            recording.switch(self._recording)

    def _note(self, call: pytest.CallInfo[None]) -> None:
        assert call.excinfo is not None
        try:
            error = call.excinfo.value
        except TypeError:
            # pytest-subtests wraps what unittest hands it for a skip twice: there is no exception to see.
            return
        if not isinstance(error, pytest.skip.Exception):
            self._raised[call.when] = failures.describe(error, call.when, self._root)

    def _enter(self, report: pytest.TestReport, item: pytest.Item) -> None:
        """Note whether what holds a test has markers; add its docstrings, unless an earlier test told them."""
        above = item.listchain()[:-1]
        self._inherited = any(node.own_markers for node in above)
        suites = self._undescribed(above)
        described = {node.nodeid: text for node in suites if (text := _docstring(node))}
        self._described.update(node.nodeid for node in suites)
        if described:
            _carry(report)["suites"] = dict(list(described.items())[:MAX_SUITES])

    def _enters_plain(self, item: pytest.Item) -> bool:
        """Note what holds a test, when `_enter` has nothing to add of it: no markers, no docstring that is not told."""
        above = item.listchain()[:-1]
        suites = self._undescribed(above)
        if any(node.own_markers for node in above) or any(map(_docstring, suites)):
            return False
        self._parent, self._inherited = item.parent, False
        self._described.update(node.nodeid for node in suites)
        return True

    def _undescribed(self, above: list[Node]) -> list[Node]:
        """Return the modules and classes among what holds a test, but those of earlier tests."""
        return [
            node
            for node in above
            # A package is a module, too, to older versions of pytest.
            if node.nodeid not in self._described
            and isinstance(node, pytest.Module | pytest.Class)
            and not isinstance(node, pytest.Package)
        ]

    def _add_collection(self, report: pytest.CollectReport) -> None:
        if report.outcome != "failed":
            return
        excinfo = getattr(getattr(report, "call", None), "excinfo", None)
        if excinfo is not None:
            error = excinfo.value
            if isinstance(error, pytest.Collector.CollectError) and error.__cause__ is not None:
                error = error.__cause__
            _carry(report)["failure"] = failures.describe(error, "collect", self._root)


class WorkerItems(Items):
    """The same in a worker of xdist, where the reports leave the process."""

    #: Whether a report has taken along which process this is.
    _is_known = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Let the report take along what is known, before it is sent."""
        self._safe.call(self.carry, report)
        if not self._is_known:
            _carry(report)[PROCESS] = os.getpid()
            self._is_known = True
        if CARRIED in report.__dict__:
            report.__dict__[CARRIED] = self._safe.call(sendable, report.__dict__[CARRIED]) or {}


def sendable(data: Any) -> Any:
    """Return plain data as xdist can send them: it ends the session for anything else, as a class derived from str."""
    if isinstance(data, dict):
        return {plain(name): sendable(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [sendable(value) for value in data]
    if isinstance(data, str):
        return plain(data)
    if data is None or type(data) is bool:
        return data
    return float(data) if isinstance(data, float) else int(data)


def _add_item(report: pytest.TestReport, item: pytest.Item) -> None:
    callspec = getattr(item, "callspec", None)
    if callspec is not None and callspec.params:
        _carry(report)["parameters"] = {str(name): text_of(value) for name, value in callspec.params.items()}
        _carry(report)["parameter_indices"] = {str(name): index for name, index in callspec.indices.items()}
    markers: dict[tuple[str, tuple[str, ...], tuple[tuple[str, str], ...]], None] = {}
    for marker in item.iter_markers():
        if marker.name not in _INSTRUCTIONS:
            keywords = tuple((str(name), lines_of(value)) for name, value in marker.kwargs.items())
            markers[marker.name, tuple(text_of(value) for value in marker.args), keywords] = None
    if markers:
        _carry(report)["markers"] = [
            {"name": name, "args": list(args), "keywords": dict(keywords)}
            for name, args, keywords in list(markers)[:_MAX_MARKERS]
        ]


def _docstring(node: object) -> str:
    """Return what the author says of a test or of what holds it; empty when that is nothing."""
    text = getattr(getattr(node, "obj", None), "__doc__", None)
    return plain(inspect.cleandoc(text)[:MAX_DESCRIPTION]) if type(text) is str else ""


def _carry(report: pytest.TestReport | pytest.CollectReport) -> dict[str, Any]:
    carried: dict[str, Any] = report.__dict__.setdefault(CARRIED, {})
    return carried


class NodeIds:
    """The names of a session's tests. For one thread."""

    def __init__(self, *, each: bool = False) -> None:
        """With `each` every worker runs all tests."""
        self._each = each
        self._names: dict[str | None, list[str]] = {}
        #: Node ids that several tests of the session have.
        self.repeated: frozenset[str] = frozenset()
        self._begun: Counter[str] = Counter()

    @property
    def are_names(self) -> bool:
        """Tell whether all tests that were collected are called by their node id."""
        return not self._each and not self.repeated

    def collected(self, node_ids: Iterable[str], worker: str | None = None) -> Sequence[str] | None:
        """Return what the tests are called that a process, or the first worker, has collected.

        None where they were collected by another worker before.
        """
        if self._names and not (self._each and worker not in self._names):
            return None
        counted: Counter[str] = Counter()
        names = []
        for node_id in node_ids:
            counted[node_id] += 1
            number = counted[node_id]
            names.append(node_id if number == 1 else f"{node_id}#{number}")
        if self._each and worker is not None:
            names = [f"{name}@{worker}" for name in names]
        self._names[worker] = names
        self.repeated = frozenset(node_id for node_id, number in counted.items() if number > 1)
        return names

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        """Note that pytest begins with an item, and not with an attempt: with the next of those of one node id."""
        if item.nodeid in self.repeated:
            self._begun[item.nodeid] += 1

    def name_of(self, report: pytest.TestReport) -> str:
        """Return what the test of a report is called."""
        node_id = report.nodeid
        if self.are_names:
            return node_id
        known = report.__dict__
        index = known.get("item_index")
        worker = known["node"].gateway.id if "node" in known else None
        names = self._names.get(worker if self._each else next(iter(self._names), None), [])
        if type(index) is int and index < len(names) and names[index].startswith(node_id):
            return names[index]
        if self._each and worker is not None:
            return f"{node_id}@{worker}"
        number = self._begun[node_id]
        return node_id if number <= 1 else f"{node_id}#{number}"
