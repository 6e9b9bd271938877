"""`testbus broker`: the topology."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from testbus.commands.common import echo_json, json_option
from testbus.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from testbus_broker.declare import Declared
    from testbus_consumers.registry import Instance


@click.group()
def broker() -> None:
    """Look after the broker."""


@broker.command()
@json_option
def declare(*, as_json: bool) -> int:
    """Declare exchanges, queues, delays, dead letters and the stream; safe to repeat. Exits 1 on drift.

    For a queue that was made when there were events already, the command that fills it is printed.
    """
    from testbus_broker.declare import declare as make  # noqa: PLC0415 for the help nothing is imported
    from testbus_broker.topology import Topology  # noqa: PLC0415 the same
    from testbus_consumers import registry, settings  # noqa: PLC0415 the same

    configured = settings.load()
    instances = registry.instances(configured)
    topology = Topology.of([one.subscription for one in instances], delay_steps=configured.broker.delay_steps)
    declared = make(configured.broker.url.reveal(), topology, allow_plaintext=configured.broker.allow_plaintext)
    replays = _replays(instances, declared)
    if as_json:
        echo_json([asdict(one) | {"replay": replays.get(one.name)} for one in declared])
    else:
        for one in declared:
            click.echo(f"{one.state:8} {one.kind:9} {one.name}" + (f"\n         {one.detail}" if one.detail else ""))
        if replays:
            click.echo("New queues know nothing of what was published before; to fill them:")
        for command in replays.values():
            click.echo(f"  {command}")
    return Exit.FAILED if any(one.state == "drifted" for one in declared) else Exit.OK


def _replays(instances: Iterable[Instance], declared: Sequence[Declared]) -> dict[str, str]:
    """Return for each queue that is younger than the stream the command that fills it."""
    if any(one.kind == "stream" and one.state == "created" for one in declared):
        return {}
    newborn = {one.name for one in declared if one.newborn}
    labels = {one.subscription.queue: one.label for one in instances}
    return {queue: f"testbus replay {label}" for queue, label in labels.items() if queue in newborn}
