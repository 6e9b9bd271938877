"""What `reportportal` keeps: what of a run has to be known again later, by whichever worker."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    delete,
    func,
    select,
)

from testbus_consumers.runtime import Done, Outcome
from testbus_consumers.store.engine import insert
from testbus_consumers.store.run_key import RunKey, run_columns
from testbus_schemas import RegressionDetected
from testbus_schemas.identity import derived_id

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from testbus_consumers.reportportal.client import PortalEffects
    from testbus_consumers.reportportal.launch_payloads import Pair
    from testbus_consumers.reportportal.tree import Identities
    from testbus_consumers.runtime import State
    from testbus_schemas import Event, IssueLinked, RegressionRecovered, RunContext

#: Everything that `reportportal` keeps.
METADATA = MetaData()

#: What each kind of event has to say of a run's launch: part `variant:<name>`, `completion` or `verdict`.
#: A launch's attributes can only be replaced as a whole, so whoever changes them has to know all of them.
PART = Table(
    "part",
    METADATA,
    *run_columns(),
    Column("part", String(160), nullable=False),
    # the decision about the run that it stands on; 0 for variants
    Column("revision", Integer, nullable=False),
    # [[key, value], …]
    Column("attributes", JSON, nullable=False),
    # lines for the launch's description
    Column("description", Text, nullable=False),
    PrimaryKeyConstraint("project", "run", "part"),
)

#: The failed items of a run by root cause: so many as `failed.MOST` at most.
FAILED = Table(
    "failed",
    METADATA,
    *run_columns(),
    Column("item", String(36), nullable=False),
    Column("fingerprint", String(256), nullable=False),
    PrimaryKeyConstraint("project", "run", "item"),
)

#: The issues of a run by root cause: an issue and the items that it stands for come in any order.
LINK = Table(
    "link",
    METADATA,
    *run_columns(),
    Column("fingerprint", String(256), nullable=False),
    Column("key", String(256), nullable=False),
    Column("url", Text, nullable=False),
    PrimaryKeyConstraint("project", "run", "fingerprint", "key"),
)

#: For each run, the target with mode failover that takes it, as this one found when it first heard of the run.
ROUTE = Table(
    "route",
    METADATA,
    *run_columns(),
    # name of a better target; "" when this one takes the run
    Column("taken_by", String(64), nullable=False),
    # id of the replay that led to this, "" for the run's own first event
    Column("replay", String(64), nullable=False),
    PrimaryKeyConstraint("project", "run"),
)

#: The suites of a run: they are finished when it is over, the deepest first.
SUITE = Table(
    "suite",
    METADATA,
    *run_columns(),
    Column("suite", String(36), nullable=False),
    # 1 directly below the launch
    Column("depth", Integer, nullable=False),
    PrimaryKeyConstraint("project", "run", "suite"),
)

#: Tests that are flaky, or were: one row for each cause that was reported.
FLAKY = Table(
    "flaky",
    METADATA,
    Column("project", String(64), nullable=False),
    Column("suite", String(128), nullable=False),
    Column("cause", String(64), nullable=False),
    Column("node_id", Text, nullable=False),
    Column("flaky", Boolean, nullable=False),
    # when that was reported (seconds since the epoch): the latest word holds
    Column("notified_at", Float, nullable=False),
    PrimaryKeyConstraint("project", "suite", "cause"),
)

#: Since when events have waited for what has to come first (seconds since the epoch).
WAITING = Table(
    "waiting",
    METADATA,
    Column("event", String(64), nullable=False),
    Column("since", Float, nullable=False),
    PrimaryKeyConstraint("event"),
)

#: Which producer reported first for each part of a run: another one's results of the same tests are items of their own.
OWNER = Table(
    "owner",
    METADATA,
    *run_columns(),
    Column("variant", String(128), nullable=False),
    Column("shard", Integer, nullable=False),
    Column("ci_attempt", Integer, nullable=False),
    Column("producer", String(64), nullable=False),
    PrimaryKeyConstraint("project", "run", "variant", "shard", "ci_attempt"),
)

#: How the names of parts that tell of a variant begin.
VARIANT_PART = "variant:"

#: Name of the part that tells whether all of a run is there.
COMPLETION_PART = "completion"

#: Name of the part that tells that tests failed which are known to be flaky.
FLAKY_PART = "flaky"

#: Name of the part that shows the verdict.
VERDICT_PART = "verdict"


@dataclass(frozen=True, kw_only=True)
class LaunchPart:
    """One part."""

    #: `variant:<name>`, CLOSING, FLAKY or VERDICT.
    name: str
    #: The decision about the run that it stands on; 0 for variants.
    revision: int
    #: Attributes.
    pairs: tuple[Pair, ...]
    #: Paragraph for the description; empty when there is none.
    text: str


def keep_part(state: State[Any], ids: Identities, part: LaunchPart) -> None:
    """Keep a part, unless one that stands on a later decision is there."""
    row = {
        "revision": part.revision,
        "attributes": [list(pair) for pair in part.pairs],
        "description": " ".join(part.text.split()),
    }
    statement = insert(state.connection, PART).values(project=ids.project, run=ids.run, part=part.name, **row)
    statement = statement.on_conflict_do_update(
        index_elements=[PART.c.project, PART.c.run, PART.c.part], set_=row, where=PART.c.revision <= part.revision
    )
    state.execute(statement)


def is_closed(state: State[Any], ids: Identities) -> bool:
    """Tell whether a decision about the run is kept: its suites are finished, or are about to be."""
    ours = (*ids.key.rows(PART), PART.c.part == COMPLETION_PART)
    return state.execute(select(PART.c.revision).where(*ours)).scalar() is not None


def parts_of_run(state: State[Any], ids: Identities) -> Sequence[LaunchPart]:
    """Return all parts of a run, by name."""
    query = select(PART).where(*ids.key.rows(PART)).order_by(PART.c.part)
    return [
        LaunchPart(
            name=row.part,
            revision=row.revision,
            pairs=tuple((key, value) for key, value in row.attributes),
            text=row.description,
        )
        for row in state.execute(query)
    ]


#: Attribute of failed items of such tests, and of launches that have some.
FLAKY_ATTRIBUTE: Final = ("flaky", "known")

#: Node ids in one question to the database.
_ASKED: Final = 500


def keep_flaky(state: State[Any], event: Event[RegressionDetected] | Event[RegressionRecovered]) -> None:
    """Keep what is reported of a flaky test; of two reports about one cause the later holds, whichever comes first."""
    data = event.data
    this = {"project": data.context.project, "suite": data.context.suite, "cause": data.cause}
    row = {
        "node_id": data.subject,
        "flaky": isinstance(data, RegressionDetected),
        "notified_at": event.time.timestamp(),
    }
    statement = insert(state.connection, FLAKY).values(**this, **row)
    state.execute(
        statement.on_conflict_do_update(
            index_elements=[FLAKY.c[name] for name in this], set_=row, where=FLAKY.c.notified_at <= row["notified_at"]
        )
    )


def flaky_among(effects: PortalEffects, context: RunContext, node_ids: Collection[str]) -> set[str]:
    """Return those of the tests of a run's suite that are known to be flaky."""
    asked = sorted(node_ids)
    found: set[str] = set()
    with effects.transaction() as state:
        for start in range(0, len(asked), _ASKED):
            query = select(FLAKY.c.node_id).where(
                FLAKY.c.project == context.project,
                FLAKY.c.suite == context.suite,
                FLAKY.c.flaky,
                FLAKY.c.node_id.in_(asked[start : start + _ASKED]),
            )
            found.update(state.execute(query).scalars())
    return found


#: After so long an event is dealt with although what belongs before it is not there.
PATIENCE: Final = timedelta(minutes=10)

#: Name of the timer that deletes how long an event has waited.
DELETE_WAITING: Final = "delete_waiting"

#: How long that is remembered.
_WAITING_KEPT: Final = timedelta(days=7)


def begin_waiting(effects: PortalEffects) -> None:
    """Write down that the event that is handled waits, unless it does already."""
    with effects.transaction() as state:
        row = {"event": effects.cause, "since": effects.clock()}
        state.execute(insert(state.connection, WAITING).values(**row).on_conflict_do_nothing())
        state.schedule(DELETE_WAITING, effects.cause, after=_WAITING_KEPT, payload={"event": effects.cause})


def waited_enough(effects: PortalEffects) -> bool:
    """Tell whether the event that is handled has waited long enough."""
    with effects.transaction() as state:
        since = state.execute(select(WAITING.c.since).where(WAITING.c.event == effects.cause)).scalar()
    return since is not None and effects.clock() - since >= PATIENCE.total_seconds()


def delete_waiting(payload: Mapping[str, Any], state: State[Any]) -> Outcome:
    """Forget how long an event has waited."""
    state.execute(delete(WAITING).where(WAITING.c.event == payload["event"]))
    return Done()


#: Failed items of one run that are kept: where more fail, links on the first of them tell enough.
MOST_FAILED: Final = 5000

#: How long they are kept after the last that was heard of the run.
_FAILED_KEPT: Final = timedelta(days=60)

#: Name of the timer that deletes what is kept of a run.
DELETE_FAILED: Final = "delete"


@dataclass(frozen=True, kw_only=True)
class IssueLink:
    """An issue that stands for a root cause of a run."""

    #: The root cause.
    fingerprint: str
    #: The issue's key, as `SHOP-17`.
    key: str
    #: Address of the issue's page.
    url: str


def keep_failed(state: State[Any], ids: Identities, rows: Sequence[Mapping[str, str]]) -> None:
    """Keep failed items, so many as there is room for."""
    ours = ids.key.rows(FAILED)
    left = MOST_FAILED - state.execute(select(func.count()).select_from(FAILED).where(*ours)).scalar_one()
    if left > 0:
        state.connection.execute(insert(state.connection, FAILED).on_conflict_do_nothing(), rows[:left])
        _schedule_deletion(state, ids.project, ids.run)


def keep_link(state: State[Any], ids: Identities, issue: IssueLinked) -> None:
    """Keep the issue of a root cause."""
    this = {"project": ids.project, "run": ids.run, "fingerprint": issue.fingerprint, "key": issue.key}
    statement = insert(state.connection, LINK).values(**this, url=issue.url)
    state.execute(
        statement.on_conflict_do_update(index_elements=[LINK.c[name] for name in this], set_={"url": issue.url})
    )
    _schedule_deletion(state, ids.project, ids.run)


def links_of(state: State[Any], ids: Identities, causes: Collection[str]) -> dict[IssueLink, list[str]]:
    """Return the issues of root causes, each with the uuids of the items that failed for it."""
    ours = (*ids.key.rows(LINK), LINK.c.fingerprint.in_(causes))
    query = select(LINK).where(*ours).order_by(LINK.c.fingerprint, LINK.c.key)
    links = [IssueLink(fingerprint=row.fingerprint, key=row.key, url=row.url) for row in state.execute(query)]
    return {link: _items_of(state, ids, link.fingerprint) for link in links}


def _schedule_deletion(state: State[Any], project: str, run: str) -> None:
    """Forget a run once nothing has been heard of it for long."""
    this = {"project": project, "run": run}
    state.schedule(DELETE_FAILED, derived_id(*this.values()), after=_FAILED_KEPT, payload=this)


def delete_failed(payload: Mapping[str, Any], state: State[Any]) -> Outcome:
    """Forget a run of which nothing has been heard for long."""
    for table in (FAILED, LINK, ROUTE, SUITE):
        state.execute(delete(table).where(*RunKey(payload["project"], payload["run"]).rows(table)))
    return Done()


def _items_of(state: State[Any], ids: Identities, cause: str) -> list[str]:
    ours = (*ids.key.rows(FAILED), FAILED.c.fingerprint == cause)
    return list(state.execute(select(FAILED.c.item).where(*ours).order_by(FAILED.c.item)).scalars())
