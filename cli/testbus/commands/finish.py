"""`testbus finish`: says how many shards a run has, when the shards themselves did not know."""

from __future__ import annotations

import click

from testbus.errors import CliError, Exit
from testbus.options import context_of, echo_json, json_option, project_options, url_option


@click.command()
@click.argument("run", required=False)
@click.option("--shards", type=click.IntRange(1, 10_000), required=True, help="How many shards there are.")
@click.option("--variant", metavar="NAME", help="Whose shards they are. [default: those of every variant]")
@project_options
@url_option
@click.option("--timeout", type=float, default=60.0, show_default=True, help="Seconds to try.")
@json_option
def finish(
    run: str | None,
    *,
    shards: int,
    variant: str | None,
    project: str | None,
    url: str | None,
    timeout: float,
    as_json: bool,
) -> int:
    """Close RUN (default: this CI job's run), whose parts were told their number, but not how many there are.

    The run is complete when all of them have finished. May be called before, between and after them; twice changes
    nothing.
    """
    from testbus_producers import settings  # noqa: PLC0415 for the help nothing is imported
    from testbus_producers.report_files import publish  # noqa: PLC0415 for the help nothing is imported

    told = settings.read({"TESTBUS_URL": url}, option="--")
    if told.url is None:
        raise CliError("where to? Set TESTBUS_URL or give --url amqps://user:password@host/vhost")
    context = context_of(run, project)
    publish.announce_shards(context, shards, variant, told, timeout=timeout)
    if as_json:
        echo_json({"run": context.run, "variant": variant, "shards": shards})
    else:
        whose = f" of {variant}" if variant else ""
        click.echo(f"run {context.run}: {shards} shard{'' if shards == 1 else 's'}{whose} announced")
    return Exit.OK
