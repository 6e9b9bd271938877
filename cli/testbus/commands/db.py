"""`testbus db`: the state's schemas."""

from __future__ import annotations

import click


@click.group()
def db() -> None:
    """Look after the consumers' state."""


@db.command()
def upgrade() -> None:
    """Bring every configured consumer's schema up to date; safe to repeat, and from several places at once."""
    from sqlalchemy.exc import OperationalError  # noqa: PLC0415 for the help nothing is imported

    from testbus_consumers import registry, settings  # noqa: PLC0415 the same
    from testbus_consumers.errors import StateError  # noqa: PLC0415 the same
    from testbus_consumers.store import open_store  # noqa: PLC0415 the same
    from testbus_consumers.store.migrate import upgrade as migrate  # noqa: PLC0415 the same

    configured = settings.load()
    for instance in registry.instances(configured):
        store = open_store(configured.state_url(), instance.queue)
        try:
            changed = migrate(store, instance.consumer)
        except OperationalError as error:
            raise StateError(
                f"{str(error.orig).splitlines()[0]}: is the database there, and state.url right?"
            ) from None
        finally:
            store.close()
        click.echo(f"{instance.label}: {'upgraded' if changed else 'up to date'}")
