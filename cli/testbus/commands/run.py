"""`testbus run`: tests with the whole pipeline in one process, and nothing to set up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import click

from testbus.commands.common import echo_json, json_option
from testbus.commands.drain import remains
from testbus.commands.reports import publish_reports
from testbus.commands.verdict import EXITS, print_evaluation
from testbus.errors import CliError, Exit

if TYPE_CHECKING:
    from pathlib import Path

    from testbus_consumers.embedded import EmbeddedBus
    from testbus_consumers.settings import Settings
    from testbus_schemas import RunContext

#: Seconds that sending what a dead test process left may take: it is only a copy on this disk.
_FLUSH_S: Final = 30.0

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

    Exits with the worse of the command's own status and the verdict; a --report that COMMAND did not write, or that
    cannot be read, is at least 1. With --json the last line is JSON.
    """
    from testbus_consumers import settings  # noqa: PLC0415 for the help nothing is imported
    from testbus_consumers.embedded import EmbeddedBus  # noqa: PLC0415 the same

    configured = settings.load()
    home = settings.home()
    context = _context(project)
    with EmbeddedBus(configured, home) as bus:
        started = time.time()
        status = _call(command, _environment(bus, home, context))
        faults = publish_reports(reports, bus.url, context, started) if reports else []
        evaluation = _conclude(bus, configured, home, context, drain_timeout)
        left = remains(bus.backlog())
    for fault in faults:
        click.echo(f"testbus: {fault}", err=True)
    if evaluation is None:
        raise CliError(
            f"{command[0]} ended with status {status} and published nothing: "
            "is testbus installed where it runs, and is it pytest? For others say --report 'junit*.xml'"
        )
    if as_json:
        # After what the command itself printed: the last line.
        echo_json({"run": context.run, "project": context.project, "status": status, "faults": faults, "left": left,
                   "evaluation": evaluation})  # fmt: skip
    else:
        print_evaluation(evaluation)
        for line in left:
            click.echo(f"  {line}; `testbus drain` goes on with it")
        click.echo("  `testbus show` says more, `testbus report` writes it as a page")
    return status or int(EXITS.get(evaluation["verdict"], Exit.INCOMPLETE)) or int(bool(faults))


def _context(project: str | None) -> RunContext:
    from testbus.commands.common import context_of  # noqa: PLC0415 as above
    from testbus_producers import context  # noqa: PLC0415 the same
    from testbus_schemas.identity import new_id  # noqa: PLC0415 the same

    return context_of(context.current_run() or new_id(), project)


def _environment(bus: EmbeddedBus, home: Path, context: RunContext) -> dict[str, str]:
    return os.environ | {
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


def _conclude(
    bus: EmbeddedBus, configured: Settings, home: Path, context: RunContext, drain_timeout: float
) -> dict[str, Any] | None:
    """Send what the command left in its spool, wait for the verdict and then for the targets."""
    from testbus_consumers.embedded.reading import read_verdict  # noqa: PLC0415 as above
    from testbus_producers.flush import flush  # noqa: PLC0415 the same

    sys.stdout.flush()
    flush(home / "spool", bus.url, _FLUSH_S)
    bus.drain(_FLUSH_S, lambda backlog: not any(backlog[queue].busy for queue in ("runs", "gates")))
    bus.drain(drain_timeout)
    evaluation: dict[str, Any] | None = read_verdict(configured, home, context)["evaluation"]
    return evaluation
