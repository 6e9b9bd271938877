"""A broken policy, for the test of the harness: keeps no ledger, neither of deliveries nor of calls to the outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from testbus_consumers.store import deliveries, intents
from testbus_consumers.worker.celery_app import create_app

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from testbus_consumers.store.intents import Intent
    from testbus_schemas import Event, EventData

_claim = deliveries.claim
_begin = intents.begin


def _forget_event(connection: Connection, event: Event[EventData], *state: Any, **fields: Any) -> None:
    _claim(connection, event, *state, **fields)


def _forget_status(connection: Connection, event_id: str) -> None:
    """Know of no event."""


def _forget_call(connection: Connection, key: str, now: float) -> Intent:
    _begin(connection, key, now)
    return intents.Intent(begun_before=False, begun_at=now, done=False)


deliveries.claim = _forget_event
deliveries.status = _forget_status
intents.begin = _forget_call

app = create_app()
