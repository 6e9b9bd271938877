"""`testbus run`: tests with the whole pipeline in one process, and nothing to set up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from testbus.commands.drain import remains
from testbus.commands.verdict import EXITS, print_evaluation
from testbus.errors import CliError, Exit
from testbus.options import echo_json, json_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from testbus_consumers.embedded import EmbeddedBus
    from testbus_consumers.settings import Settings
    from testbus_schemas import RunContext


#: Seconds that publishing may take: it is only a copy on this disk.
_TIMEOUT_S: Final = 30.0

#: Seconds by which a file may seem older than it is: some file systems keep whole ones, or two.
_COARSE_S: Final = 2.0


def publish_reports(patterns: Sequence[str], url: str, context: RunContext, since: float) -> list[str]:
    """Publish the files that the patterns mean and that were written since; return what is wrong, one line each.

    An older file is what an earlier command left: taken for this one's it would make a verdict on results of yesterday.
    Raises NotPublishedError when the disk refuses.
    """
    from testbus_consumers.wording.numbers import plural  # noqa: PLC0415 for the help nothing is imported
    from testbus_producers import settings  # noqa: PLC0415 the same
    from testbus_producers.report_files import publish  # noqa: PLC0415 the same

    runner_settings = replace(settings.read(), url=url, run=context.run, project=context.project)
    published = publish.publish(patterns, runner_settings, timeout=_TIMEOUT_S, since=since - _COARSE_S)
    for warning in published.warnings:
        click.echo(f"testbus: {warning}", err=True)
    faults = [f"{pattern}: the command wrote no such file" for pattern in published.unmatched]
    faults += [f"{path}: older than the command, left out" for path in published.stale]
    faults += published.errors[len(published.unmatched) :]
    if published.files:
        results = sum(file.results for file in published.readable)
        files = plural(len(published.readable), "report file")
        click.echo(f"testbus: {plural(results, 'result')} of {files} · run {context.run}")
    return faults


#: Seconds that sending what a dead test process left may take: it is only a copy on this disk.
_FLUSH_S: Final = 30.0

#: Runs of one command that are looked at.
_RUNS: Final = 50

#: Seconds by which a time may be cut when it is kept.
_ROUNDED_S: Final = 0.001

#: Shell's way to say that a command was ended by a signal.
_SIGNALLED: Final = 128


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--drain-timeout", type=float, default=30.0, show_default=True, help="Seconds to wait for targets.")
@click.option("--project", metavar="NAME", help="Project. [default: as the runner finds it]")
@click.option(
    "--report",
    "reports",
    multiple=True,
    metavar="PATH",
    help="Report files that COMMAND writes, as 'junit*.xml': for one without a plugin.",
)
@json_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(
    command: tuple[str, ...], drain_timeout: float, project: str | None, reports: tuple[str, ...], *, as_json: bool
) -> int:
    """Run COMMAND (after --) with the embedded pipeline, and wait for the verdict.

    Exits with the command's own status, or if that is 0 with the verdict's; a --report that COMMAND did not write, or
    that cannot be read, is at least 1. Where no test ran (--collect-only, --cache-show) there is no verdict. With
    --json the last line is JSON.
    """
    from testbus_consumers import settings  # noqa: PLC0415 for the help nothing is imported
    from testbus_consumers.embedded import EmbeddedBus  # noqa: PLC0415 the same

    configured = settings.load()
    home = settings.home()
    context = _context(project)
    with EmbeddedBus(configured, home) as bus:
        started = time.time()
        with _marker(home) as marker:
            status = _call(command, _environment(bus, home, context, marker))
            without_tests = marker.stat().st_size > 0
        faults = publish_reports(reports, bus.url, context, started) if reports else []
        _drain(bus, home, drain_timeout)
        runs = _runs_since(home, context, started)
        evaluations = _evaluations(configured, home, runs)
        left = remains(bus.backlog())
    for fault in faults:
        click.echo(f"testbus: {fault}", err=True)
    verdict = max((EXITS.get(evaluation["verdict"], Exit.INCOMPLETE) for evaluation in evaluations), default=Exit.OK)
    open_runs = {one.run for one in runs} - {evaluation["context"]["run"] for evaluation in evaluations}
    if open_runs:
        named = ", ".join(sorted(open_runs))
        click.echo(
            f"testbus: no verdict yet on {named}: `testbus trace {min(open_runs)}` says what is missing", err=True
        )
        verdict = max(verdict, Exit.INCOMPLETE)
    elif not evaluations:
        _explain_silence(command[0], status, without_tests=without_tests)
    if as_json:
        # After what the command itself printed: the last line.
        echo_json({"run": context.run, "project": context.project, "status": status, "faults": faults, "left": left,
                   "evaluations": evaluations})  # fmt: skip
        return status or int(verdict) or int(bool(faults))
    for evaluation in evaluations:
        print_evaluation(evaluation)
    for line in left:
        click.echo(f"  {line}; `testbus drain` goes on with it")
    if evaluations:
        click.echo("  `testbus show` says more, `testbus report` writes it as a page")
    return status or int(verdict) or int(bool(faults))


def _explain_silence(command: str, status: int, *, without_tests: bool) -> None:
    """Say why there is nothing to judge; CliError where a command that succeeded published nothing, unexpectedly."""
    if without_tests:
        click.echo("testbus: no test ran, so there is no verdict", err=True)
    elif status:
        click.echo(
            f"testbus: {command} ended with status {status} before it published anything, so there is no verdict. "
            "If its tests did run: is testbus installed where they run? For others than pytest say --report",
            err=True,
        )
    else:
        raise CliError(
            f"{command} ended with status {status} and published nothing: "
            "is testbus installed where it runs, and is it pytest? For others say --report 'junit*.xml'"
        )


@contextmanager
def _marker(home: Path) -> Iterator[Path]:
    """Yield a file in which the plugin says that pytest was asked for something without tests."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(prefix=".no-tests-", dir=home) as file:
        yield Path(file.name)


def _context(project: str | None) -> RunContext:
    from testbus.options import context_of  # noqa: PLC0415 as above
    from testbus_producers.context import run_context  # noqa: PLC0415 the same
    from testbus_schemas.identity import new_id  # noqa: PLC0415 the same

    return context_of(run_context.current_run() or new_id(), project)


def _environment(bus: EmbeddedBus, home: Path, context: RunContext, marker: Path) -> dict[str, str]:
    from testbus_producers.settings import NO_TESTS_MARKER  # noqa: PLC0415 as above

    return os.environ | {
        NO_TESTS_MARKER: str(marker),
        "TESTBUS_URL": bus.url,
        "TESTBUS_RUN_ID": context.run,
        "TESTBUS_PROJECT": context.project,
        "TESTBUS_SPOOL": str(home / "spool"),
    }


def _call(command: tuple[str, ...], environment: dict[str, str]) -> int:
    """Run the command; Ctrl-C goes to it, as to everything in the terminal, and we wait for what it makes of it."""
    # A handler, not SIG_IGN: that one the command would inherit.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        process = subprocess.Popen(command, env=environment)  # noqa: S603 the user's own command
    except OSError as error:
        raise CliError(f"{command[0]}: {error.strerror}") from None
    else:
        status = process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    return status if status >= 0 else _SIGNALLED - status


def _drain(bus: EmbeddedBus, home: Path, drain_timeout: float) -> None:
    """Send what the command left in its spool, wait for the verdict and then for the targets."""
    from testbus_producers.sending.flush import flush  # noqa: PLC0415 as above

    sys.stdout.flush()
    flush(home / "spool", bus.url, _FLUSH_S)
    bus.drain(_FLUSH_S, lambda backlog: not any(backlog[queue].busy for queue in ("runs", "gates")))
    bus.drain(drain_timeout)


def _runs_since(home: Path, context: RunContext, started: float) -> list[RunContext]:
    """Return the runs about which something was published; the command may have named another one than it was given."""
    from testbus.report.source import state_url  # noqa: PLC0415 as above
    from testbus_consumers import overview  # noqa: PLC0415 the same

    state = state_url(home)
    if state is None:
        return []
    with overview.records(state) as records:
        listed = records.find(limit=_RUNS)
    heard = [one.context for one in listed if one.heard_at.timestamp() >= started - _ROUNDED_S]
    return sorted(heard, key=lambda one: (one.run != context.run, one.run))


def _evaluations(configured: Settings, home: Path, runs: Sequence[RunContext]) -> list[dict[str, Any]]:
    from testbus_consumers.embedded.bus import read_verdict  # noqa: PLC0415 as above

    answers = (read_verdict(configured, home, context) for context in runs)
    return [answer["evaluation"] for answer in answers if answer["evaluation"] is not None]
