"""Leases: at most one worker at a time acts on a key; a dead one's lease runs out by itself."""

from __future__ import annotations

import uuid
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, select, update

from testbus_consumers.store.engine import insert_into
from testbus_consumers.store.tables import JOB, LEASE

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

#: Made once: every event with an effect runs them.
_RELEASE: Final = delete(LEASE).where(LEASE.c.key == bindparam("of"), LEASE.c.token == bindparam("mine"))


def acquire(connection: Connection, key: str, now: float, ttl: float) -> str | None:
    """Return the token of a lease on the key for `ttl` seconds, or None while another holds it."""
    token = str(uuid.uuid4())
    values = {"key": key, "token": token, "expires_at": now + ttl, "now": now}
    return token if connection.execute(_acquire(connection.dialect.name), values).scalar() == token else None


def renew(connection: Connection, tokens: Collection[str], now: float, ttl: float) -> set[str]:
    """Hold leases and taken timers for another `ttl` seconds, and return which; what was lost stays lost."""
    lease = update(LEASE).where(LEASE.c.token.in_(tokens)).values(expires_at=now + ttl).returning(LEASE.c.token)
    timer = update(JOB).where(JOB.c.token.in_(tokens)).values(leased_until=now + ttl).returning(JOB.c.token)
    return {*connection.execute(lease).scalars(), *connection.execute(timer).scalars()}


def release(connection: Connection, key: str, token: str) -> bool:
    """Give up a lease, and tell whether it was still held; one that was lost is left to its new holder."""
    return connection.execute(_RELEASE, {"of": key, "mine": token}).rowcount > 0


def any_held(connection: Connection, now: float) -> bool:
    """Tell whether anybody works on anything."""
    held = select(LEASE.c.key).where(LEASE.c.expires_at > now).limit(1)
    return connection.execute(held).scalar() is not None


@cache
def _acquire(dialect: str) -> Any:
    statement = insert_into(dialect, LEASE)
    taken = {"token": statement.excluded.token, "expires_at": statement.excluded.expires_at}
    free = LEASE.c.expires_at <= bindparam("now")
    return statement.on_conflict_do_update(index_elements=[LEASE.c.key], set_=taken, where=free).returning(
        LEASE.c.token
    )
