"""`testbus sandbox`: ReportPortal, Jira and Slack on loopback, for dry runs."""

from __future__ import annotations

from typing import Any

import click

from testbus.commands.common import echo_json, json_option
from testbus_sandbox import Sandbox, serve


@click.command()
@click.option("--reportportal", "names", multiple=True, default=("a",), show_default=True, help="Name; repeatable.")
@click.option("--slack/--no-slack", default=True, show_default=True)
@click.option("--jira/--no-jira", default=True, show_default=True)
@click.option("--port", type=int, default=0, help="First port; the others follow. [default: free ones]")
@json_option
def sandbox(names: tuple[str, ...], port: int, *, slack: bool, jira: bool, as_json: bool) -> None:
    """Serve ReportPortal, Jira and Slack on 127.0.0.1 until Ctrl-C, with pages to look at what arrived."""

    def tell(running: Sandbox) -> None:
        servers: dict[str, dict[str, Any]] = {
            f"reportportal/{one.name}": {
                "endpoint": one.url,
                "project": one.project,
                "api_key": one.api_key,
                "page": one.page,
            }
            for one in running.reportportals
        }
        if slack:
            own = running.slack
            channels = {channel.name: channel.id for channel in own.channels}
            servers["slack"] = {"base_url": own.url, "token": own.token, "channels": channels, "page": own.page}
        if jira:
            tracker = running.jira
            servers["jira"] = {
                "url": tracker.url,
                "user": tracker.user,
                "token": tracker.token,
                "project": tracker.project,
                "page": tracker.page,
            }
        if as_json:
            echo_json(servers)
            return
        for name, fields in servers.items():
            click.secho(name, bold=True)
            for key, value in fields.items():
                click.echo(f"  {key:9} {value}")
        click.echo("Ctrl-C ends it; nothing is kept.")

    serve(Sandbox(reportportals=names, slack=slack, jira=jira, port=port), on_ready=tell)
