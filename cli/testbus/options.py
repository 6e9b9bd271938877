"""What several commands share: which run, which broker, and how to print."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from testbus.errors import CliError

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_schemas import RunContext

#: What the letters of a length of time stand for, in seconds.
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

#: Characters that the id of a run has at most.
_RUN_CHARS = 256

#: Option of every command that a program may read.
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

#: Option of every command that talks to the broker or to an embedded home.
url_option = click.option(
    "--url",
    metavar="URL",
    envvar="TESTBUS_URL",
    help="amqp[s]://user:password@host/vhost, or file:///FOLDER for the embedded pipeline. [env: TESTBUS_URL]",
)


def project_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--project`: verdicts are reported to the run's own project only."""
    return click.option("--project", metavar="NAME", help="Project of the run. [default: as the runner finds it]")(
        command
    )


def duration(value: str) -> timedelta:
    """Return a length of time from 45s, 90m, 12h or 7d."""
    number, unit = value[:-1], value[-1:]
    if unit not in _UNITS or not number.isdecimal():
        raise click.BadParameter(f"{value!r} is no length of time: write 45s, 90m, 12h or 7d")
    try:
        return timedelta(seconds=int(number) * _UNITS[unit])
    except OverflowError:
        raise click.BadParameter(f"{value!r} is too long") from None


def instant(moment: float) -> str:
    """Return seconds since the epoch as ISO 8601 in UTC."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def clock_time(moment: float) -> str:
    """Return seconds since the epoch for people here: the time, and the day unless it is today."""
    local = datetime.fromtimestamp(moment).astimezone()
    today = local.date() == datetime.now().astimezone().date()
    return f"{local:%H:%M:%S}" if today else f"{local:%Y-%m-%d %H:%M:%S}"


def echo_json(value: object) -> None:
    """Print one JSON value on one line."""
    click.echo(json.dumps(value, separators=(",", ":"), default=str))


def embedded_home(url: str | None) -> Path | None:
    """Return the folder that a `file://` URL names, or `.testbus` here when there is no URL but such a folder."""
    if url is None:
        given = os.environ.get("TESTBUS_HOME")
        here = Path(given or ".testbus").absolute()
        try:
            there = here.is_dir()
            taken = not there and here.exists()
        except OSError as error:
            raise CliError(f"TESTBUS_HOME cannot be used: {error.strerror}: {given}") from None
        if taken:
            raise CliError(
                f"{here} is no folder, so no embedded pipeline can be there: set TESTBUS_HOME to another one"
            )
        return here if there else None
    try:
        parts = urlsplit(url)
    except ValueError:
        # What the error says could hold a part of the password.
        raise CliError(
            "the URL cannot be read: write amqps://user:password@host:port/vhost or file:///FOLDER"
        ) from None
    if parts.scheme != "file":
        return None
    folder = Path(parts.path)
    if not parts.path.startswith("/") or parts.netloc:
        raise CliError(f"{url} names no folder: write file:///absolute/path")
    if folder.exists() and not folder.is_dir():
        raise CliError(f"{url}: that is no folder")
    return folder


def broker_or_home(url: str | None) -> tuple[str | None, Path | None]:
    """Return the broker's URL, or the embedded pipeline's folder: exactly one of them. Raises CliError for neither."""
    home = embedded_home(url)
    if home is not None:
        return None, home
    if url is None:
        raise CliError(
            "no broker and no embedded pipeline here: "
            "set TESTBUS_URL, give --url, or begin with `testbus run -- pytest`"
        )
    return url, None


def context_of(run: str | None, project: str | None) -> RunContext:
    """Return the context of a run: the named one, else the one this CI job belongs to. Raises CliError for none."""
    return named_run(run, project)[0]


def named_run(run: str | None, project: str | None) -> tuple[RunContext, str]:
    """Return the context of a run as `context_of` does, and where its project's name comes from, for people."""
    from testbus_producers import settings  # noqa: PLC0415 only commands about a run need these
    from testbus_producers.context import ci, git, run_context  # noqa: PLC0415 the same
    from testbus_producers.errors import SettingError  # noqa: PLC0415 the same
    from testbus_schemas import RunContext  # noqa: PLC0415 the same

    given = settings.read({"TESTBUS_PROJECT": project}, option="--")
    named = run or run_context.current_run(given)
    if not named:
        raise CliError("which run? Name it, or set TESTBUS_RUN_ID: this is no CI job that testbus knows")
    if not 0 < len(named) <= _RUN_CHARS or not named.isprintable():
        raise SettingError("RUN", named[:80], f"1 to {_RUN_CHARS} printable characters")
    folder = Path.cwd()
    build = ci.detect(settings.environment())
    begun = run_context.begin(given, build, run=named, folder=folder.name)
    if given.project:
        return RunContext.model_validate(begun), "--project" if project else "TESTBUS_PROJECT"
    if build.repository:
        return RunContext.model_validate(begun), "the CI's repository"
    # As the runner finds it.
    copy = git.describe(folder)
    found = RunContext.model_validate(run_context.complete(begun, given.project, copy))
    return found, "git's remote origin" if copy.repository else "this folder's name"


def plaintext_allowed() -> bool:
    """Tell whether TESTBUS_ALLOW_PLAINTEXT lets amqp:// without TLS leave this machine."""
    from testbus_producers import settings  # noqa: PLC0415 only commands that talk to a broker need it

    return settings.read().allow_plaintext
