"""Where a run's events are: the delivery ledgers of all queues, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from testbus_consumers import registry
from testbus_consumers.errors import StateError
from testbus_consumers.store import deliveries, open_store
from testbus_consumers.store.engine import exists

if TYPE_CHECKING:
    from testbus_consumers.settings import Settings
    from testbus_consumers.store.deliveries import Ledgered, Pulse


def of_run(settings: Settings, run: str, state_url: str) -> dict[str, list[Ledgered]]:
    """Return what each queue did with each event of a run, oldest first. Raises StateError when it cannot be read."""
    found = {}
    for instance in registry.instances(settings):
        store = open_store(state_url, instance.queue)
        try:
            with store.begin() as connection:
                found[instance.label] = deliveries.of_run(connection, run)
        except DBAPIError as error:
            raise StateError(
                f"the state of {instance.label} cannot be read ({error.orig}): run `testbus db upgrade`"
            ) from None
        finally:
            store.close()
    return found


def pulses(settings: Settings, state_url: str, since: float) -> dict[str, Pulse | None]:
    """Return how each queue gets on; None where its state cannot be read, or is not there yet."""
    found: dict[str, Pulse | None] = {}
    for instance in registry.instances(settings):
        if not exists(state_url, instance.queue):
            found[instance.label] = None
            continue
        store = open_store(state_url, instance.queue)
        try:
            with store.begin() as connection:
                found[instance.label] = deliveries.pulse(connection, since)
        except DBAPIError:
            found[instance.label] = None
        finally:
            store.close()
    return found
