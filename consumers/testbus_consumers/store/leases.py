"""Leases: at most one worker at a time acts on a key; a dead one's lease runs out by itself."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from testbus_consumers.errors import LeaseLostError
from testbus_consumers.store.engine import insert
from testbus_consumers.store.tables import JOB, LEASE

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection


def acquire(connection: Connection, key: str, now: float, ttl: float) -> str | None:
    """Return the token of a lease on the key for `ttl` seconds, or None while another holds it."""
    token = str(uuid.uuid4())
    statement = insert(connection, LEASE).values(key=key, token=token, expires_at=now + ttl)
    statement = statement.on_conflict_do_update(
        index_elements=[LEASE.c.key],
        set_={"token": token, "expires_at": now + ttl},
        where=LEASE.c.expires_at <= now,
    )
    return token if connection.execute(statement.returning(LEASE.c.token)).scalar() == token else None


def renew(connection: Connection, tokens: Collection[str], now: float, ttl: float) -> set[str]:
    """Hold leases and taken timers for another `ttl` seconds, and return which; what was lost stays lost."""
    lease = update(LEASE).where(LEASE.c.token.in_(tokens)).values(expires_at=now + ttl).returning(LEASE.c.token)
    timer = update(JOB).where(JOB.c.token.in_(tokens)).values(leased_until=now + ttl).returning(JOB.c.token)
    return {*connection.execute(lease).scalars(), *connection.execute(timer).scalars()}


def release(connection: Connection, key: str, token: str) -> None:
    """Give up a lease; one that was lost is left to its new holder."""
    connection.execute(delete(LEASE).where(LEASE.c.key == key, LEASE.c.token == token))


def any_held(connection: Connection, now: float) -> bool:
    """Tell whether anybody works on anything."""
    held = select(LEASE.c.key).where(LEASE.c.expires_at > now).limit(1)
    return connection.execute(held).scalar() is not None


def check(connection: Connection, key: str, token: str) -> None:
    """Fence: raise LeaseLostError unless the lease is still held, and keep it so to the end of the transaction."""
    query = select(LEASE.c.token).where(LEASE.c.key == key).with_for_update()
    if connection.execute(query).scalar() != token:
        raise LeaseLostError(f"the lease on {key} went to another worker, which does this work instead")
