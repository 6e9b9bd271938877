"""`testbus broker`: the topology."""

from __future__ import annotations

from dataclasses import asdict

import click

from testbus.commands.common import echo_json, json_option
from testbus.errors import Exit


@click.group()
def broker() -> None:
    """Look after the broker."""


@broker.command()
@json_option
def declare(*, as_json: bool) -> int:
    """Declare exchanges, queues, delays, dead letters and the stream; safe to repeat. Exits 1 on drift."""
    from testbus_broker.declare import declare as make  # noqa: PLC0415 for the help nothing is imported
    from testbus_broker.topology import Topology  # noqa: PLC0415 the same
    from testbus_consumers import registry, settings  # noqa: PLC0415 the same

    configured = settings.load()
    subscriptions = [one.subscription for one in registry.instances(configured)]
    topology = Topology.of(subscriptions, delay_steps=configured.broker.delay_steps)
    declared = make(configured.broker.url.reveal(), topology, allow_plaintext=configured.broker.allow_plaintext)
    if as_json:
        echo_json([asdict(one) for one in declared])
    else:
        for one in declared:
            click.echo(f"{one.state:8} {one.kind:9} {one.name}" + (f"\n         {one.detail}" if one.detail else ""))
    return Exit.FAILED if any(one.state == "drifted" for one in declared) else Exit.OK
