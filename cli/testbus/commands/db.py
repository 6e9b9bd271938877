"""`testbus db`: the state's schemas."""

from __future__ import annotations

import click

from testbus.options import echo_json, json_option


@click.group()
def db() -> None:
    """Look after the consumers' state."""


@db.command()
@json_option
def upgrade(*, as_json: bool) -> None:
    """Bring every configured consumer's schema up to date; safe to repeat, and from several places at once."""
    from sqlalchemy.exc import OperationalError  # noqa: PLC0415 for the help nothing is imported

    from testbus_consumers import registry, settings  # noqa: PLC0415 the same
    from testbus_consumers.store import open_store  # noqa: PLC0415 the same
    from testbus_consumers.store.engine import unusable  # noqa: PLC0415 the same
    from testbus_consumers.store.migrate import upgrade as migrate  # noqa: PLC0415 the same

    configured = settings.load()
    states: dict[str, str] = {}
    for instance in registry.instances(configured):
        store = open_store(configured.state_url(), instance.queue)
        try:
            changed = migrate(store, instance.consumer)
        except OperationalError as error:
            raise unusable(instance.label, error) from None
        finally:
            store.close()
        states[instance.label] = "upgraded" if changed else "up to date"
        if not as_json:
            click.echo(f"{instance.label}: {states[instance.label]}")
    if as_json:
        echo_json({"schemas": states})
