"""`testbus broker`: the topology, and the accounts."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from testbus.commands.accounts import declare_accounts, passwords_option, print_accounts, project_option, shown, users
from testbus.commands.removal import leftovers, prune, unbind
from testbus.errors import CliError, Exit
from testbus.options import echo_json, json_option

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from testbus_broker.declare import Declared
    from testbus_consumers.registry import Instance


@click.group()
def broker() -> None:
    """Look after the broker."""


broker.add_command(users)
broker.add_command(unbind)
broker.add_command(prune)


@broker.command()
@click.option("--users", "with_users", is_flag=True, help="Accounts too: operator, workers, monitor, runners.")
@project_option
@passwords_option
@json_option
def declare(projects: tuple[str, ...], passwords: Path | None, *, with_users: bool, as_json: bool) -> int:
    """Declare exchanges, queues, delays, dead letters and the stream; safe to repeat. Exits 1 on drift.

    For a queue that was made when there were events already, the command that fills it is printed. Accounts go in
    through broker.management of the configuration, else through the rabbitmqctl of this machine.
    """
    from testbus_broker.declare import declare as make  # noqa: PLC0415 for the help nothing is imported
    from testbus_broker.topology import Topology  # noqa: PLC0415 the same
    from testbus_consumers import registry, settings  # noqa: PLC0415 the same

    if (projects or passwords) and not with_users:
        raise CliError("--project and --passwords are about accounts: add --users")
    configured = settings.load()
    instances = registry.instances(configured)
    topology = Topology.of(
        [one.subscription for one in instances],
        delay_steps=configured.broker.delay_steps,
        delivery_limit=configured.broker.delivery_limit,
    )
    declared = make(configured.broker.url.reveal(), topology, allow_plaintext=configured.broker.allow_plaintext)
    replays = _replays(instances, declared)
    celery = configured.celery.remote_control or configured.celery.task_events
    accounts = declare_accounts(configured.broker, projects, passwords, celery=celery) if with_users else ()
    if as_json:
        echo_json(
            [asdict(one) | {"replay": replays.get(one.name)} for one in declared] + [shown(one) for one in accounts]
        )
    else:
        for one in declared:
            click.echo(f"{one.state:8} {one.kind:9} {one.name}" + (f"\n         {one.detail}" if one.detail else ""))
        if replays:
            click.echo("New queues know nothing of what was published before; to fill them:")
        for command in replays.values():
            click.echo(f"  {command}")
        print_accounts(accounts)
        for left in leftovers(configured):
            click.echo(f"{left.name} is no longer configured, {left.messages:,} messages wait: testbus broker prune")
    return Exit.FAILED if any(one.state == "drifted" for one in declared) else Exit.OK


def _replays(instances: Iterable[Instance], declared: Sequence[Declared]) -> dict[str, str]:
    """Return for each queue that is younger than the stream the command that fills it."""
    if any(one.kind == "stream" and one.state == "created" for one in declared):
        return {}
    newborn = {one.name for one in declared if one.newborn}
    labels = {one.subscription.queue: one.label for one in instances}
    return {queue: f"testbus replay {label}" for queue, label in labels.items() if queue in newborn}
