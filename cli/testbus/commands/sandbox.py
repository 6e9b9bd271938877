"""`testbus sandbox`: ReportPortal, Jira and Slack on loopback, for dry runs."""

from __future__ import annotations

from typing import Any

import click

from testbus.options import echo_json, json_option
from testbus_sandbox import Sandbox, serve


@click.command()
@click.option("--reportportal", "names", multiple=True, default=("a",), show_default=True, help="Name; repeatable.")
@click.option("--slack/--no-slack", default=True, show_default=True)
@click.option("--jira/--no-jira", default=True, show_default=True)
@click.option("--port", type=int, default=0, help="First port; the others follow. [default: free ones]")
@json_option
def sandbox(names: tuple[str, ...], port: int, *, slack: bool, jira: bool, as_json: bool) -> None:
    """Serve ReportPortal, Jira and Slack on 127.0.0.1 until Ctrl-C, with pages to look at what arrived."""

    def announce(running: Sandbox) -> None:
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
        click.echo(f"\n{_configuration(servers)}\nCtrl-C ends it; nothing is kept.")

    serve(Sandbox(reportportals=names, slack=slack, jira=jira, port=port), on_ready=announce)


def _configuration(servers: dict[str, dict[str, Any]]) -> str:
    """Return what makes testbus use these servers: variables with the secrets, and a testbus.yaml that names them."""
    exports: list[str] = []

    def secret(name: str, value: str) -> dict[str, str]:
        variable = "SANDBOX_" + name.upper().replace("/", "_").replace("-", "_")
        exports.append(f"export {variable}={value}")
        return {"env": variable}

    consumers: dict[str, Any] = {}
    for name, server in servers.items():
        consumer, _, target = name.partition("/")
        if target:
            own = {"endpoint": server["endpoint"], "project": server["project"]}
            own |= {"api_key": secret(name, server["api_key"])}
            consumers.setdefault(consumer, {"targets": {}})["targets"][target] = own
        elif consumer == "slack":
            channel = next(iter(server["channels"].values()))
            own = {"token": secret(name, server["token"]), "channel": channel, "base_url": server["base_url"]}
            consumers[consumer] = own
        else:
            own = {"url": server["url"], "user": server["user"], "token": secret(name, server["token"])}
            consumers[consumer] = own | {"project": server["project"]}
    import yaml  # noqa: PLC0415 for the help nothing is imported

    text = yaml.safe_dump({"consumers": consumers}, sort_keys=False)
    return "\n".join([*exports, "cat > testbus.yaml <<'END'", f"{text}END"])
