"""The part of the pytest plugin that publishes: in the process that sees every report (with xdist the controller)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import pytest

from testbus_producers import pytest_items, settings, stopping
from testbus_producers.boundary import Boundary
from testbus_producers.errors import SettingError, SpoolError
from testbus_producers.producer import Producer
from testbus_producers.redaction import Redactor
from testbus_producers.reports import Results
from testbus_producers.text import Cleaner
from testbus_schemas import identity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from testbus_producers.producer import Farewell

#: Name under which the plugin is registered.
NAME: Final = "testbus-session"


def activate(config: pytest.Config, options: Mapping[str, str | None]) -> None:
    """Publish this session, unless it runs inside of one that is published, or nothing says where to.

    A session inside of another joins only when its own command line says `--testbus`, and then as its own run. Raises
    pytest.UsageError for an option that is not understood; a variable that is not is only told of.
    """
    outer = settings.outer_session()
    explicit = "--testbus" in config.invocation_params.args
    if outer is not None and not explicit:
        return
    if outer is not None and options[settings.RUN_VARIABLE] is None:
        options = {**options, settings.RUN_VARIABLE: identity.new_id()}
    try:
        told = settings.read(options)
    except SettingError as error:
        if error.name.startswith("--"):
            raise pytest.UsageError(str(error)) from None
        config.pluginmanager.register(Notice(f"nothing was published: {error}"), NAME)
        return
    if told.url is None:
        config.pluginmanager.register(Notice("TESTBUS_URL is not set: nothing was published"), NAME)
        return
    boundary = Boundary()
    items = pytest_items.Items(str(config.rootpath), boundary, told.output)
    config.pluginmanager.register(Session(config, told, items, boundary), NAME)
    config.pluginmanager.register(items, pytest_items.NAME)


class Notice:
    """Says why nothing is published."""

    def __init__(self, text: str) -> None:
        """Say this, once, at the end."""
        self._text = text

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the line."""
        terminalreporter.write_line(f"testbus: {self._text}")


class Session:
    """Publishes one session. Whatever goes wrong here stays behind the boundary and costs one line at the end."""

    def __init__(
        self, config: pytest.Config, told: settings.Settings, items: pytest_items.Items, boundary: Boundary
    ) -> None:
        """Only remember; a session begins with `pytest_sessionstart`."""
        self._config = config
        self._told = told
        self._items = items
        self._boundary = boundary
        self._producer: Producer | None = None
        self._results: Results | None = None
        self._farewell: Farewell | None = None
        self._restore: dict[str, str | None] = {}
        self._leave_sigterm: Callable[[], None] = _nothing
        self._collected: int | None = None
        self._interrupted = False
        self._warning = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Open the spool, and let whatever this session starts know of it."""
        self._boundary.call(self._start)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Publish what is going to run."""
        self._boundary.call(self._collect, [item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Publish what is going to run, as the first worker of xdist says it."""
        if self._collected is None:
            self._boundary.call(self._collect, list(ids))

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Let a worker of xdist add to its reports what only it knows, and know whose logs go along."""
        node.workerinput["testbus"] = self._told.output

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the report of a phase of a test."""
        self._boundary.call(self._add, report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Take the report of what could not be collected."""
        if self._results is not None and report.outcome != "passed":
            self._boundary.call(self._results.add_collection, report)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Tell a person's stop from pytest's own (collection errors, --maxfail), which is an ordinary end."""
        error = excinfo.value
        self._interrupted = (
            type(error) is KeyboardInterrupt
            or isinstance(error, pytest.exit.Exception)
            or "keyboard-interrupt" in str(error)
        )

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Publish the end after everybody else had theirs, and before the terminal's summary."""
        self._boundary.call(self._finish, int(session.exitstatus))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say in one line what became of the results."""
        if self._farewell is not None:
            terminalreporter.write_line(f"testbus: {self._farewell.line()}")
        if self._warning:
            terminalreporter.write_line(f"testbus: coverage: {self._warning}")
        if self._boundary.first is not None:
            terminalreporter.write_line(
                f"testbus: {self._boundary.faults} internal error(s), results may be missing: {self._boundary.first}"
            )

    def pytest_unconfigure(self) -> None:
        """End what did not end in order."""
        self._boundary.call(self._finish, int(pytest.ExitCode.INTERNAL_ERROR))

    def _start(self) -> None:
        told, config = self._told, self._config
        try:
            self._producer = Producer(
                told,
                boundary=self._boundary,
                tool="pytest",
                tool_version=pytest.__version__,
                folder=config.rootpath,
            )
        except SpoolError as error:
            self._config.pluginmanager.register(Notice(f"nothing was published: {error}"))
            return
        producer = self._producer
        self._results = Results(producer.result, producer.artifact, Cleaner(Redactor(told.redact)), told.output)
        handed_on = {
            settings.RUN_VARIABLE: self._producer.run,
            settings.SESSION_MARKER: f"{os.getpid()}:{self._producer.run}",
        }
        self._restore = settings.hand_on(handed_on)
        self._leave_sigterm = stopping.on_sigterm(self._stop)

    def _stop(self) -> None:
        """Say, asked to end, that somebody stopped this session."""
        self._interrupted = True
        self._boundary.call(self._finish, stopping.TERMINATED)

    def _add(self, report: pytest.TestReport) -> None:
        if self._results is not None:
            self._items.carry(report)
            self._results.add(report)

    def _collect(self, node_ids: list[str]) -> None:
        self._collected = len(node_ids)
        if self._producer is not None:
            self._producer.collected(node_ids)

    def _finish(self, exit_status: int) -> None:
        producer, self._producer = self._producer, None
        if producer is None or not producer.ours:
            return
        settings.hand_on(self._restore)
        self._leave_sigterm()
        if self._results is not None:
            self._boundary.call(self._results.close)
            self._results = None
        self._boundary.call(self._add_coverage, producer)
        self._farewell = producer.finish(self._status(exit_status, producer), exit_status, self._collected)

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
        from testbus_producers import measured  # noqa: PLC0415 coverage is imported only where it ran
        from testbus_producers.source_paths import SourcePaths  # noqa: PLC0415 the same

        paths = SourcePaths.in_repository(self._config.rootpath, self._told.paths)
        found, self._warning = measured.recorded(combined, measured_in=controller.topdir, paths=paths)
        for data in found:
            producer.coverage(data)


def _nothing() -> None:
    """Take back nothing: SIGTERM is not ours yet."""
