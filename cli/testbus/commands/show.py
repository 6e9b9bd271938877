"""`testbus show`: one run, in the terminal."""

from __future__ import annotations

import click

from testbus.options import echo_json, json_option, url_option


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
