"""`testbus flush`: sends what earlier processes could not."""

from __future__ import annotations

import click

from testbus.errors import CliError, Exit
from testbus.options import echo_json, json_option, url_option


@click.command()
@url_option
@click.option("--timeout", type=float, default=60.0, show_default=True, help="Seconds to try.")
@json_option
def flush(url: str | None, timeout: float, *, as_json: bool) -> int:
    """Send what runners left in the spool: with the same ids, so twice changes nothing."""
    from dataclasses import asdict  # noqa: PLC0415 for the help nothing is imported

    from testbus_consumers.wording.numbers import plural  # noqa: PLC0415 the same
    from testbus_producers import settings  # noqa: PLC0415 the same
    from testbus_producers.sending.flush import flush as send  # noqa: PLC0415 the same

    told = settings.read({"TESTBUS_URL": url}, option="--")
    if told.url is None:
        raise CliError("where to? Set TESTBUS_URL or give --url amqps://user:password@host/vhost")
    report = send(told.spool, told.url, timeout, allow_plaintext=told.allow_plaintext)
    if as_json:
        echo_json(asdict(report))
    elif not (report.events or report.remaining or report.busy):
        click.echo(f"nothing to send in {told.spool}")
    else:
        sent = f"{plural(report.events, 'event')} of {plural(report.producers, 'producer')}"
        click.echo(f"{sent} sent to {settings.place(told.url)}")
        if report.damaged:
            click.echo(f"{report.damaged} damaged records were passed over; their runs count them as dropped", err=True)
        if report.busy:
            click.echo(f"{report.busy} producers still run, or are being flushed: left alone")
    if report.remaining:
        click.echo(f"{report.remaining} producers remain in {told.spool}: {report.reason}", err=True)
        return Exit.FAILED
    return Exit.OK
