"""The dead letters of an embedded home: seen, sent back or thrown away, beside a process that drains it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select

from testbus_broker.deadletters import DeadLetter
from testbus_broker.message import ATTEMPT, ERROR, ROUTING_KEY, TRACEBACK, Message
from testbus_consumers.embedded.tables import DEAD, DELAYED

if TYPE_CHECKING:
    from collections.abc import Collection

    from testbus_consumers.store import Store


def listing(store: Store, *, limit: int) -> list[DeadLetter]:
    """Return up to `limit` dead letters of a queue, oldest first."""
    with store.begin() as connection:
        rows = connection.execute(select(DEAD).order_by(DEAD.c.id).limit(limit)).all()
    return [
        DeadLetter(
            message=Message(
                body=row.body,
                routing_key=row.routing_key or "",
                content_encoding=row.content_encoding,
                message_id=row.message_id,
                timestamp=int(row.died_at),
                headers={
                    ROUTING_KEY: row.routing_key or "",
                    ERROR: row.error,
                    TRACEBACK: row.traceback,
                    ATTEMPT: row.attempts,
                },
            )
        )
        for row in rows
    ]


def redrive(store: Store, *, ids: Collection[str] | None = None) -> int:
    """Put dead letters (`ids`: only these) back in front of their queue, without attempts; return how many."""
    with store.begin() as connection:
        rows = connection.execute(_chosen(select(DEAD), ids)).all()
        for row in rows:
            connection.execute(
                DELAYED.insert().values(
                    due_at=time.time(),
                    body=row.body,
                    content_encoding=row.content_encoding,
                    routing_key=row.routing_key,
                    attempt=0,
                    delays=0,
                    reason="redriven",
                    replay=row.replay,
                )
            )
        connection.execute(delete(DEAD).where(DEAD.c.id.in_([row.id for row in rows])))
    return len(rows)


def purge(store: Store, *, ids: Collection[str] | None = None) -> int:
    """Throw dead letters away (`ids`: only these); return how many."""
    with store.begin() as connection:
        return int(connection.execute(_chosen(delete(DEAD), ids)).rowcount)


def _chosen(statement: Any, ids: Collection[str] | None) -> Any:
    return statement if ids is None else statement.where(DEAD.c.message_id.in_(ids))
