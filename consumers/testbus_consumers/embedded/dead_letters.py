"""The dead letters of an embedded home: seen, sent back or thrown away, beside a process that drains it."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, select

from testbus_broker.dead_letter import EVERY, Choice, DeadLetter
from testbus_broker.message import ATTEMPT, ERROR, ROUTING_KEY, TRACEBACK, Message
from testbus_consumers.embedded.state import DEAD, DELAYED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Row

    from testbus_consumers.store import Store

#: Dead letters that are read at a time.
_PAGE: Final = 500


def _ignore(_seen: int, _there: int) -> None:
    """Show nobody how far it is."""


def letters(
    store: Store,
    choice: Choice = EVERY,
    *,
    limit: int | None = None,
    progress: Callable[[int, int], None] = _ignore,
) -> Iterator[DeadLetter]:
    """Yield the dead letters of a queue that are meant, up to `limit`, oldest first.

    `progress` is told how many were looked at, and how many there are.
    """
    return (letter for _, letter in islice(_chosen(store, choice, progress), limit))


def redrive(
    store: Store,
    choice: Choice = EVERY,
    *,
    limit: int | None = None,
    progress: Callable[[int, int], None] = _ignore,
) -> int:
    """Put dead letters back in front of their queue, without attempts; return how many."""
    count = 0
    for row, _ in islice(_chosen(store, choice, progress), limit):
        again = {
            "due_at": time.time(),
            "body": row.body,
            "content_encoding": row.content_encoding,
            "routing_key": row.routing_key,
            "attempt": 0,
            "delays": 0,
            "reason": "redriven",
            "replay": row.replay,
        }
        with store.begin() as connection:
            # Whoever else redrives or purges at this moment: one of us has it.
            if connection.execute(delete(DEAD).where(DEAD.c.id == row.id)).rowcount:
                connection.execute(DELAYED.insert().values(**again))
                count += 1
    return count


def purge(
    store: Store,
    choice: Choice = EVERY,
    *,
    limit: int | None = None,
    progress: Callable[[int, int], None] = _ignore,
) -> int:
    """Throw dead letters away; return how many."""
    count = 0
    for row, _ in islice(_chosen(store, choice, progress), limit):
        with store.begin() as connection:
            count += int(connection.execute(delete(DEAD).where(DEAD.c.id == row.id)).rowcount)
    return count


def _chosen(
    store: Store, choice: Choice, progress: Callable[[int, int], None]
) -> Iterator[tuple[Row[Any], DeadLetter]]:
    """Yield what is meant of what is there now, a page at a time and outside of any transaction."""
    with store.begin() as connection:
        newest, there = connection.execute(select(func.max(DEAD.c.id), func.count()).select_from(DEAD)).one()
    seen, last = 0, 0
    while seen < there:
        page = select(DEAD).where(DEAD.c.id > last, DEAD.c.id <= newest).order_by(DEAD.c.id).limit(_PAGE)
        with store.begin() as connection:
            rows = connection.execute(page).all()
        if not rows:
            return
        for row in rows:
            seen, last = seen + 1, row.id
            progress(seen, there)
            letter = _letter(row)
            if choice.takes(letter):
                yield row, letter


def _letter(row: Row[Any]) -> DeadLetter:
    story = {ROUTING_KEY: row.routing_key or "", ERROR: row.error, TRACEBACK: row.traceback, ATTEMPT: row.attempts}
    return DeadLetter(
        message=Message(
            body=row.body,
            routing_key=row.routing_key or "",
            content_encoding=row.content_encoding,
            message_id=row.message_id,
            timestamp=int(row.died_at),
            headers=story,
        )
    )
