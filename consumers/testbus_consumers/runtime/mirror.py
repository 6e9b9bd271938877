"""Between the control row, which every host sees, and the breaker, which the processes of one worker share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from testbus_consumers.store import control

if TYPE_CHECKING:
    from testbus_consumers.runtime.breaker import Breaker
    from testbus_consumers.store import Store

#: Seconds between two looks at the row.
MIRROR_S: Final = 1.0


def mirror(store: Store, queue: str, breaker: Breaker) -> None:
    """Obey what a person said, learn what other workers found out, and tell them what this one did.

    Nothing that must be right depends on it: a worker that cannot read the row goes by what it knows itself.
    """
    known = breaker.health
    with store.begin() as connection:
        row = control.read(connection)
        if row is None:
            control.begin(connection, queue)
        if known.changed_at > (row.health.changed_at if row else 0.0):
            control.tell(connection, queue, known)
    if row is None:
        return
    if row.pause is None:
        breaker.resume()
    else:
        breaker.pause(row.pause.until)
    breaker.hear(row.health)
