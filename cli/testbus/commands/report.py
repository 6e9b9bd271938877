"""`testbus report`: one run as a file, for people and programs."""

from __future__ import annotations

import hashlib
import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from testbus.errors import CliError
from testbus.options import echo_json, json_option, url_option

if TYPE_CHECKING:
    from collections.abc import Mapping


#: Format → the module that writes it.
FORMATS: Final[Mapping[str, str]] = {
    "html": "testbus.report.html",
    "json": "testbus.report.as_json",
    "md": "testbus.report.markdown",
}

#: Characters of a run's id that a file's name keeps.
_NAME_CHARS: Final = 120

#: Digits of the digest that stands for what such a name cannot keep.
_DIGITS: Final = 12

#: Says in place of a folder that the report goes to standard output.
_STDOUT: Final = "-"


def _formats(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...]:
    """Return the formats in a text `html,json`; click.BadParameter names those that there are."""
    wanted = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
    if not wanted or not set(wanted) <= set(FORMATS):
        raise click.BadParameter(f"{value!r}: one or several of {', '.join(FORMATS)}, with commas between")
    return wanted


@click.command()
@click.argument("run", required=False)
@click.option("--format", "formats", metavar="NAMES", default="html", show_default=True, callback=_formats,
              help="One or several of html, json and md, with commas between.")  # fmt: skip
@click.option("--out", metavar="FOLDER", default=".", show_default=True, help="Where to write; - is --stdout.")
@click.option("--stdout", is_flag=True, help="Print the one format instead of writing a file.")
@url_option
def report(run: str | None, formats: tuple[str, ...], out: str, url: str | None, *, stdout: bool) -> None:
    """Write a report of RUN (a beginning of its id is enough; default: this CI job's run, or the latest local one).

    The HTML is one file that needs nothing else; the Markdown fits a comment on a pull request, or a job's summary;
    the JSON has everything. Prints the paths.
    """
    to_stdout = stdout or out == _STDOUT
    if to_stdout and len(formats) > 1:
        raise CliError(f"standard output takes one format, not {', '.join(formats)}: give one, or --out FOLDER")
    from testbus.report.source import load  # noqa: PLC0415 for the help nothing is imported

    found = load(run, url)
    for name in formats:
        text: str = import_module(FORMATS[name]).write(found)
        if to_stdout:
            click.echo(text, nl=False)
        else:
            click.echo(_write(Path(out), f"testbus-report-{file_name(found.identity.run)}.{name}", text))


def file_name(run: str) -> str:
    """Return a run's id as a part of a file's name: small letters, digits, dots and dashes.

    An id of anything else, or a long one, ends in ~ and a digest: no two runs share a file, whether or not the file
    system tells large letters from small ones.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", run).strip("-.")
    if name == run.lower() and len(name) <= _NAME_CHARS:
        return name
    return f"{name[:_NAME_CHARS]}~{hashlib.sha256(run.encode()).hexdigest()[:_DIGITS]}"


def _write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CliError(f"{path} cannot be written: {error.strerror or error}") from None
    return path


@click.command()
@click.argument("run", required=False)
@url_option
@json_option
def show(run: str | None, url: str | None, *, as_json: bool) -> None:
    """Print RUN (a beginning of its id is enough; default: this CI job's run, or the latest local one).

    Summary, verdict with its rules, what failed by cause, slowest tests, coverage, variants, producers and issues.
    """
    from testbus.report import as_json as data  # noqa: PLC0415 for the help nothing is imported
    from testbus.report import terminal  # noqa: PLC0415 the same
    from testbus.report.source import load  # noqa: PLC0415 the same

    report = load(run, url)
    if as_json:
        echo_json(data.as_data(report))
    else:
        click.echo(terminal.write(report), nl=False)
