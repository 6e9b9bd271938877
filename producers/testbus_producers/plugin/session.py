"""The part of the pytest plugin that publishes: in the process that sees every report (with xdist the controller)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import pytest
from pytest import TestReport  # noqa: PT013 a class to compare with

from testbus_producers import settings
from testbus_producers.errors import SettingError, SpoolError
from testbus_producers.plugin import items as pytest_items
from testbus_producers.plugin.items import NodeIds
from testbus_producers.plugin.results import CARRIED, PROCESS, Results
from testbus_producers.producer import Producer
from testbus_producers.redaction.cleaner import Cleaner
from testbus_producers.redaction.redactor import Redactor
from testbus_producers.safe_call import SafeCalls
from testbus_producers.spool.event_builder import SessionAccount
from testbus_producers.spool.folder import STOPPED, StopMark
from testbus_schemas import identity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbus_producers.plugin.items import Items
    from testbus_producers.producer import PublishSummary


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


#: Name under which the plugin is registered.
NAME: Final = "testbus-session"


def activate(config: pytest.Config, options: Mapping[str, str | None]) -> None:
    """Publish this session, unless it runs inside of one that is published, or nothing says where to.

    A session inside of another joins only when its own command line says `--testbus`, and then as its own run. Raises
    pytest.UsageError for an option that is not understood; a variable that is not is only reported.
    """
    outer = settings.outer_session()
    explicit = "--testbus" in config.invocation_params.args
    if outer is not None and not explicit:
        return
    if outer is not None and options[settings.RUN_VARIABLE] is None:
        options = {**options, settings.RUN_VARIABLE: identity.new_id()}
    try:
        runner_settings = settings.read(options)
    except SettingError as error:
        if error.name.startswith("--"):
            raise pytest.UsageError(str(error)) from None
        config.pluginmanager.register(SessionNotice(f"nothing was published: {error}"), NAME)
        return
    if runner_settings.url is None:
        config.pluginmanager.register(SessionNotice("TESTBUS_URL is not set: nothing was published"), NAME)
        return
    safe = SafeCalls()
    items = pytest_items.Items(config, safe, runner_settings.output)
    config.pluginmanager.register(Session(config, runner_settings, items, safe), NAME)
    config.pluginmanager.register(items, pytest_items.NAME)


class SessionNotice:
    """Says why nothing is published."""

    def __init__(self, text: str) -> None:
        """Say this, once, at the end."""
        self._text = text

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the line."""
        terminalreporter.write_line(f"testbus: {self._text}")


class Session:
    """Publishes one session. Whatever goes wrong here is caught by `SafeCalls` and costs one line at the end."""

    def __init__(
        self, config: pytest.Config, runner_settings: settings.Settings, items: pytest_items.Items, safe: SafeCalls
    ) -> None:
        """Only remember; a session begins with `pytest_sessionstart`."""
        self._config = config
        self._runner_settings = runner_settings
        self._items = items
        self._safe = safe
        self._producer: Producer | None = None
        self._results: Results | None = None
        self._passes: Passes | None = None
        self._summary: PublishSummary | None = None
        self._restore: dict[str, str | None] = {}
        self._stop_mark: StopMark | None = None
        self._node_ids = NodeIds(each=config.getoption("dist", None) == "each")
        self._collected: int | None = None
        self._failures: int | None = None
        self._interrupted = False
        self._warning = ""
        self._stopped: str | None = None
        self._lost = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Open the spool, and let whatever this session starts know of it."""
        self._safe.call(self._start)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Publish what is going to run."""
        self._lost += not self._safe.succeeds(self._collect_items, session)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        """Publish what is going to run, as a worker of xdist says it."""
        self._lost += not self._safe.succeeds(self._collect_of_worker, node, ids)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Let a worker of xdist add to its reports what only it knows, and know whose logs go along."""
        node.workerinput["testbus"] = self._runner_settings.output

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the report of a phase of a test, whatever becomes of its details."""
        passes = self._passes
        if passes is not None:
            try:
                if passes.take(report):
                    return
            except BaseException as error:  # noqa: BLE001 `SafeCalls.call` in place, three times for each test
                self._safe.note(error)
        self._take_pending()
        self._take(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Take the report of what could not be collected."""
        if self._results is not None:
            self._lost += not self._safe.succeeds(self._results.add_collection, report)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Tell a person's stop from pytest's own (collection errors, --maxfail), which is an ordinary end."""
        self._safe.call(self._note_stop, excinfo.value)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Publish the end after everybody else had theirs, and before the terminal's summary."""
        self._safe.call(self._note_end, session)
        status = self._safe.call(int, session.exitstatus)
        self._safe.call(self._finish, int(pytest.ExitCode.INTERNAL_ERROR) if status is None else status)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say in one line what became of the results."""
        if self._summary is not None:
            terminalreporter.write_line(f"testbus: {self._summary.line()}")
        if self._warning:
            terminalreporter.write_line(f"testbus: coverage: {self._warning}")
        if self._safe.first is not None:
            terminalreporter.write_line(
                f"testbus: {self._safe.faults} internal error(s), results may be missing: {self._safe.first}"
            )

    def pytest_unconfigure(self) -> None:
        """End what did not end in order."""
        self._safe.call(self._finish, int(pytest.ExitCode.INTERNAL_ERROR))

    def _start(self) -> None:
        runner_settings, config = self._runner_settings, self._config
        try:
            self._producer = Producer(
                runner_settings,
                tool="pytest",
                tool_version=pytest.__version__,
                folder=config.rootpath,
            )
        except SpoolError as error:
            self._config.pluginmanager.register(SessionNotice(f"nothing was published: {error}"))
            return
        producer = self._producer
        clean = Cleaner(Redactor(runner_settings.redact))
        self._results = Results(producer.result, producer.artifact, clean, self._safe, runner_settings.output)
        handed_on = {
            settings.RUN_VARIABLE: self._producer.run,
            settings.SESSION_MARKER: f"{os.getpid()}:{self._producer.run}",
        }
        self._restore = settings.hand_on(handed_on)
        self._stop_mark = self._safe.call(StopMark, producer.spool.path / STOPPED)

    def _take_pending(self) -> None:
        """Take the reports of a test that did more than pass."""
        for report in self._passes.release() if self._passes is not None else ():
            self._take(report)

    def _take(self, report: pytest.TestReport) -> None:
        self._safe.call(self._items.carry, report)
        if self._producer is not None and PROCESS in report.__dict__.get(CARRIED, ()):
            # The first report of a worker of xdist.
            self._safe.call(self._producer.worker, report.node.gateway.id, int(report.__dict__[CARRIED][PROCESS]))
        if self._results is not None:
            self._lost += not self._safe.succeeds(self._add, self._results, report)

    def _add(self, results: Results, report: pytest.TestReport) -> None:
        results.add(report, self._node_ids.name_of(report))

    def _collect_items(self, session: pytest.Session) -> None:
        self._collect([item.nodeid for item in session.items])

    def _collect_of_worker(self, node: Any, node_ids: list[str]) -> None:
        self._collect(list(node_ids), node.gateway.id)

    def _collect(self, node_ids: list[str], worker: str | None = None) -> None:
        names = self._node_ids.collected(node_ids, worker)
        if names is None:
            return
        self._collected = (self._collected or 0) + len(names)
        if self._results is not None and self._runner_settings.output != "all" and self._node_ids.are_names:
            self._passes = Passes(self._items, self._results)
        if self._node_ids.repeated and not self._config.pluginmanager.is_registered(self._node_ids):
            self._config.pluginmanager.register(self._node_ids)
        if self._producer is not None:
            self._producer.collected(names)

    def _note_stop(self, error: BaseException) -> None:
        if not isinstance(error, pytest.Session.Interrupted):
            self._interrupted = True
            return
        self._stopped = " ".join(str(error).split())
        self._interrupted = "keyboard-interrupt" in self._stopped

    def _note_end(self, session: pytest.Session) -> None:
        """Note what pytest itself counted, and why it left tests out."""
        self._failures = max(0, session.testsfailed - _is_below_coverage(self._config))
        self._stopped = self._stopped or next(
            (str(why) for why in (session.shouldfail, session.shouldstop) if isinstance(why, str)), None
        )

    def _finish(self, exit_status: int) -> None:
        producer, self._producer = self._producer, None
        if producer is None or not producer.ours:
            return
        settings.hand_on(self._restore)
        if self._stop_mark is not None:
            self._stop_mark.take_back()
        self._take_pending()
        results, self._results = self._results, None
        if results is not None:
            self._lost += not self._safe.succeeds(results.close)
            metrics = results.metrics
            if metrics is not None:
                producer.metrics(metrics)
        self._safe.call(self._add_coverage, producer)
        self._summary = producer.finish(
            self._status(exit_status, producer), exit_status, self._collected, self._account(results)
        )

    def _account(self, results: Results | None) -> SessionAccount:
        """Return what pytest counted beside what was recorded: the two must not contradict each other."""
        return SessionAccount(
            failures=self._failures,
            failed=results.wrong if results is not None else None,
            left_out=max(0, self._collected - results.tests) if results and self._collected is not None else None,
            stopped=self._stopped,
            faults=self._lost,
        )

    def _status(self, exit_status: int, producer: Producer) -> str:
        if self._interrupted:
            return "interrupted"
        if exit_status not in {pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR}:
            return "finished"
        return "interrupted" if producer.reported else "failed_to_start"

    def _add_coverage(self, producer: Producer) -> None:
        plugin = self._config.pluginmanager.get_plugin("_cov")
        controller: Any = getattr(plugin, "cov_controller", None)
        combined = getattr(controller, "combining_cov", None)
        if combined is None or controller.cov is not combined:
            return
        from testbus_producers.report_files import coverage_py  # noqa: PLC0415 coverage is imported only where it ran
        from testbus_producers.source_paths import SourcePaths  # noqa: PLC0415 the same

        paths = SourcePaths.in_repository(self._config.rootpath, self._runner_settings.paths)
        found, self._warning = coverage_py.recorded(combined, measured_in=controller.topdir, paths=paths)
        for data in found:
            producer.coverage(data)


def _is_below_coverage(config: pytest.Config) -> bool:
    """Tell whether pytest-cov counts a failure of its own: coverage that is too low, which is no test's."""
    plugin = config.pluginmanager.get_plugin("_cov")
    bound = getattr(getattr(plugin, "options", None), "cov_fail_under", None)
    total = getattr(plugin, "cov_total", None)
    return bound is not None and total is not None and total < bound
