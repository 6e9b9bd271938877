"""The `testbus` command: a table of commands, each imported when it is called."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from importlib import import_module
from typing import Final

import click

from testbus.errors import CliError, ExtraMissingError
from testbus_schemas.errors import TestbusError

#: Command → where it is, in the order of the help.
COMMANDS: Final = {
    "demo": "testbus.commands.demo:demo",
    "run": "testbus.commands.run:run",
    "drain": "testbus.commands.drain:drain",
    "publish": "testbus.commands.publish:publish",
    "finish": "testbus.commands.publish:finish",
    "flush": "testbus.commands.publish:flush",
    "verdict": "testbus.commands.verdict:verdict",
    "runs": "testbus.commands.runs:runs",
    "show": "testbus.commands.report:show",
    "report": "testbus.commands.report:report",
    "events": "testbus.commands.events:events",
    "trace": "testbus.commands.trace:trace",
    "status": "testbus.commands.status:status",
    "pause": "testbus.commands.pause:pause",
    "resume": "testbus.commands.pause:resume",
    "overrides": "testbus.commands.overrides:overrides",
    "dlq": "testbus.commands.dlq:dlq",
    "replay": "testbus.commands.replay:replay",
    "worker": "testbus.commands.worker:worker",
    "broker": "testbus.commands.broker:broker",
    "db": "testbus.commands.db:db",
    "config": "testbus.commands.config:config",
    "check": "testbus.commands.check:check",
    "sandbox": "testbus.commands.sandbox:sandbox",
}

#: Packages that only an extra brings.
_EXTRAS: Final = frozenset(
    {
        "aiohttp",
        "alembic",
        "celery",
        "kombu",
        "prometheus_client",
        "psycopg",
        "pytest",
        "redis",
        "reportportal_client",
        "rich",
        "slack_sdk",
    }
    | {"prometheus_client", "sqlalchemy", "structlog", "yaml"}
)


class Commands(click.Group):
    """Imports a command's module when the command is named."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is named; of one that there is not the names that are like it are reported."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            like = get_close_matches(args[0], COMMANDS)
            suggestion = f" Did you mean {' or '.join(like)}?" if like else ""
            ctx.fail(f"No such command {args[0]!r}.{suggestion}")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 click's signature
        """Return the commands in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 click's signature
        """Return a command; a missing extra is said in its place."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        try:
            command: click.Command = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing not in _EXTRAS:
                raise
            return _unavailable(cmd_name, missing)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="testbus", message="testbus %(version)s")
def cli() -> None:
    """Publish what tests did once; ReportPortal, gates and Slack follow, each on its own."""


def main() -> None:
    """Run the command; every error that testbus knows is one clear message and exit code 2."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Run a command line and return its exit code."""
    try:
        code = cli.main(args=arguments, prog_name="testbus", standalone_mode=False)
    except click.ClickException as error:
        _show(error)
        return int(error.exit_code)
    except click.Abort:
        click.echo("testbus: interrupted", err=True)
        return 130
    except TestbusError as error:
        click.echo(f"testbus: {error}", err=True)
        return int(CliError.exit_code)
    except OSError as error:
        # A disk or a folder that is not as it has to be; the name says which.
        place = f"{error.filename}: " if error.filename else ""
        click.echo(f"testbus: {place}{error.strerror or error}", err=True)
        return int(CliError.exit_code)
    return code if isinstance(code, int) else 0


def _show(error: click.ClickException) -> None:
    """Say what is wrong, as every other error of testbus is said; how to call the command where that helps."""
    if isinstance(error, click.UsageError) and error.ctx is not None:
        click.echo(error.ctx.get_usage(), err=True)
        click.echo(f"`{error.ctx.command_path} --help` says more", err=True)
    click.echo(f"testbus: {error.format_message()}", err=True)


def _unavailable(name: str, missing: str) -> click.Command:
    @click.command(name, context_settings={"ignore_unknown_options": True}, help=f"(needs {missing})")
    @click.argument("anything", nargs=-1)
    def unavailable(anything: tuple[str, ...]) -> None:  # noqa: ARG001 whatever was asked
        raise ExtraMissingError(missing)

    return unavailable
