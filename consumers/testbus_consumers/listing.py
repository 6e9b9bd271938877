"""Which runs there are and how they were judged: what `runs` and `gates` know, side by side."""

from __future__ import annotations

import itertools
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import DBAPIError

from testbus_consumers.gates import listing as of_gates
from testbus_consumers.runs import listing as of_runs
from testbus_consumers.runs.listing import Wanted
from testbus_consumers.store import open_store
from testbus_consumers.store.engine import unusable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from testbus_consumers.gates.listing import Judged
    from testbus_consumers.runs.listing import ListedRun
    from testbus_consumers.store.run_key import RunKey

#: Every run there is.
EVERY_RUN: Final = Wanted()

#: Runs that are looked through at a time for those with a verdict.
_PAGE: Final = 500


@dataclass(frozen=True, kw_only=True)
class Overview:
    """A run and its verdict."""

    #: The run.
    run: ListedRun
    #: The verdict that holds now; None while the run is open, or decided and not judged yet.
    judged: Judged | None


def recent(
    state_url: str, wanted: Wanted = EVERY_RUN, *, verdict: str | None = None, limit: int = 20
) -> list[Overview]:
    """Return those of the wanted runs, with this verdict if one is given, that started last, the newest first.

    Raises StateError.
    """
    found: list[Overview] = []
    size = _PAGE if verdict else limit
    with _state(state_url, "runs") as runs_state, _state(state_url, "gates") as gates_state:
        for offset in itertools.count(0, size):
            page = of_runs.recent(runs_state, wanted, limit=size, offset=offset)
            verdicts = of_gates.judged(gates_state, [one.key for one in page])
            judged = [Overview(run=one, judged=_holding(one, verdicts.get(one.key))) for one in page]
            found += [one for one in judged if not verdict or (one.judged and one.judged.verdict == verdict)]
            if len(found) >= limit or len(page) < size:
                break
    return found[:limit]


def named(state_url: str, beginning: str) -> list[ListedRun]:
    """Return the run of this very id, else those whose id begins so. Raises StateError."""
    with _state(state_url, "runs") as connection:
        return of_runs.named(connection, beginning)


def awaited(state_url: str, key: RunKey) -> tuple[str, ...]:
    """Return what an open run still lacks, for people. Raises StateError."""
    with _state(state_url, "runs") as connection:
        return of_runs.awaited(connection, key, time.time())


def earlier(state_url: str, run: ListedRun) -> ListedRun | None:
    """Return the complete run to compare one with, None when there is none. Raises StateError."""
    with _state(state_url, "runs") as connection:
        return of_runs.earlier(connection, run)


def _holding(run: ListedRun, verdict: Judged | None) -> Judged | None:
    return verdict if verdict and run.status != "open" and verdict.revision >= run.revision else None


@contextmanager
def _state(state_url: str, queue: str) -> Iterator[Connection]:
    store = open_store(state_url, queue)
    try:
        with store.begin() as connection:
            yield connection
    except DBAPIError as error:
        raise unusable(queue, error) from None
    finally:
        store.close()
