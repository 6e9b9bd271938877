"""Which items of a run failed, and which issues stand for their root causes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, select

from testbus_consumers.reportportal.tables import FAILED, LINK, ROUTE, SUITE
from testbus_consumers.runtime import Done, Outcome
from testbus_consumers.store.engine import insert
from testbus_schemas import fingerprint
from testbus_schemas.identity import derived_id

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from testbus_consumers.reportportal.identities import Identities
    from testbus_consumers.reportportal.item_payloads import ItemText
    from testbus_consumers.runtime import State
    from testbus_schemas import IssueLinked

#: Failed items of one run that are kept: where more fail, links on the first of them tell enough.
MOST: Final = 5000

#: How long they are kept after the last that was heard of the run.
_KEPT: Final = timedelta(days=60)

#: Name of the timer that forgets a run.
FORGET: Final = "forget"


@dataclass(frozen=True, kw_only=True)
class Link:
    """An issue that stands for a root cause of a run."""

    #: The root cause.
    fingerprint: str
    #: The issue's key, as `SHOP-17`.
    key: str
    #: Address of the issue's page.
    url: str


def rows_of(ids: Identities, texts: Sequence[ItemText], without: Collection[str]) -> list[dict[str, str]]:
    """Return what is to be kept of the failed items among these, but those `without` (uuids)."""
    return [
        {"project": ids.project, "run": ids.run, "item": text.uuid, "fingerprint": fingerprint(text.result.failures[0])}
        for text in texts
        if text.result.outcome.bad and text.result.failures and text.uuid not in without
    ]


def keep(state: State[Any], ids: Identities, rows: Sequence[Mapping[str, str]]) -> None:
    """Keep failed items, so many as there is room for."""
    ours = (FAILED.c.project == ids.project, FAILED.c.run == ids.run)
    left = MOST - state.execute(select(func.count()).select_from(FAILED).where(*ours)).scalar_one()
    if left > 0:
        state.connection.execute(insert(state.connection, FAILED).on_conflict_do_nothing(), rows[:left])
        forget_later(state, ids.project, ids.run)


def keep_link(state: State[Any], ids: Identities, issue: IssueLinked) -> None:
    """Keep the issue of a root cause."""
    this = {"project": ids.project, "run": ids.run, "fingerprint": issue.fingerprint, "key": issue.key}
    statement = insert(state.connection, LINK).values(**this, url=issue.url)
    state.execute(
        statement.on_conflict_do_update(index_elements=[LINK.c[name] for name in this], set_={"url": issue.url})
    )
    forget_later(state, ids.project, ids.run)


def links_of(state: State[Any], ids: Identities, causes: Collection[str]) -> dict[Link, list[str]]:
    """Return the issues of root causes, each with the uuids of the items that failed for it."""
    ours = (LINK.c.project == ids.project, LINK.c.run == ids.run, LINK.c.fingerprint.in_(causes))
    query = select(LINK).where(*ours).order_by(LINK.c.fingerprint, LINK.c.key)
    links = [Link(fingerprint=row.fingerprint, key=row.key, url=row.url) for row in state.execute(query)]
    return {link: _items_of(state, ids, link.fingerprint) for link in links}


def forget_later(state: State[Any], project: str, run: str) -> None:
    """Forget a run once nothing has been heard of it for long."""
    this = {"project": project, "run": run}
    state.schedule(FORGET, derived_id(*this.values()), after=_KEPT, payload=this)


def forget(payload: Mapping[str, Any], state: State[Any]) -> Outcome:
    """Forget a run of which nothing has been heard for long."""
    for table in (FAILED, LINK, ROUTE, SUITE):
        state.execute(delete(table).where(table.c.project == payload["project"], table.c.run == payload["run"]))
    return Done()


def _items_of(state: State[Any], ids: Identities, cause: str) -> list[str]:
    ours = (FAILED.c.project == ids.project, FAILED.c.run == ids.run, FAILED.c.fingerprint == cause)
    return list(state.execute(select(FAILED.c.item).where(*ours).order_by(FAILED.c.item)).scalars())
