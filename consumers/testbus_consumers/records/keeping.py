"""Writing the record: only `runs` does. Each event once, a part for each producer, and what a decision counts."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import delete, func, select

from testbus_consumers.records.coverage import unite
from testbus_consumers.records.facts import content_of, facts_of, kept_facts, pack, packed_body
from testbus_consumers.records.models import Producer
from testbus_consumers.records.parts import FORMAT, Part, part_of
from testbus_consumers.records.tables import ATTACHMENT, DECISION, EVENT, FOLD, PART
from testbus_consumers.store.engine import insert, insert_once
from testbus_consumers.store.run_key import RunKey
from testbus_schemas import ArtifactRecorded, RecordRef
from testbus_schemas.coverage import format_lines

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from testbus_schemas import Event, EventData

#: Events that could not be used which a decision names.
_FAULTS_NAMED: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted(Producer):
    """One producer, while a decision is made."""

    #: Whether all of its events have arrived: its part was made when the last one did.
    whole: bool


class Numbers(NamedTuple):
    """The events of a producer that are kept."""

    #: Their numbers, as `1-40,42`.
    ranges: str
    #: How many there are, by type (short name).
    types: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What the producers that count add up to."""

    #: Outcome → tests.
    counts: dict[str, int]
    #: Tests.
    total: int
    #: Seconds that their last attempts took, added up.
    tests_s: float
    #: Where it is kept, and the digest of what it says.
    ref: RecordRef
    #: Merge base of the change that they recorded, and author of its latest commit; None where nobody did.
    merge_base: str | None
    author: str | None


def keep_event(
    connection: Connection, event: Event[EventData], body: tuple[bytes, str | None] | None, *, now: float
) -> bool:
    """Keep a counted event with its facts; False when its number came before, under another id.

    `body` is what came, and its encoding; `now` in seconds since the epoch.
    """
    origin = event.data.producer
    assert origin is not None
    facts, fault = facts_of(event)
    kept, encoding = _kept_body(event, body)
    row = {
        **RunKey.of(event.data.context).values,
        "producer": origin.id,
        "sequence": origin.sequence,
        "event_id": event.id,
        "type": event.name,
        "recorded_at": now,
        "encoding": encoding,
        "body": kept,
        "facts": facts,
        "fault": fault,
    }
    return connection.execute(insert_once(connection, EVENT), row).first() is not None


def keep_attachment(connection: Connection, data: ArtifactRecorded, *, limit: int) -> None:
    """Keep an attached file by its digest, unless its run's would be more than `limit` bytes then."""
    content, key = content_of(data), RunKey.of(data.context)
    if not content:
        return
    total = select(func.coalesce(func.sum(ATTACHMENT.c.size), 0)).where(*key.rows(ATTACHMENT))
    if connection.execute(total).scalar_one() + len(content) > limit:
        return
    row = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "content": content}
    connection.execute(insert_once(connection, ATTACHMENT), {**key.values, **row})


def faults(connection: Connection, key: RunKey, producers: Collection[str]) -> tuple[str, ...]:
    """Return what of these producers' events cannot be used, for people."""
    found = connection.execute(
        select(EVENT.c.producer, EVENT.c.sequence, EVENT.c.type, EVENT.c.fault)
        .where(*key.rows(EVENT), EVENT.c.fault.is_not(None))
        .order_by(EVENT.c.producer, EVENT.c.sequence)
    )
    named = [
        f"event {row.sequence} of producer {row.producer[:8]} ({row.type}) cannot be used: {row.fault}"
        for row in found
        if row.producer in producers
    ]
    left_out = len(named) - _FAULTS_NAMED
    return (*named[:_FAULTS_NAMED], *([f"{left_out} more events cannot be used"] if left_out > 0 else []))


def numbers(connection: Connection, key: RunKey) -> dict[str, Numbers]:
    """Return what is kept of each producer of a run, by its id."""
    query = select(EVENT.c.producer, EVENT.c.sequence, EVENT.c.type).where(*key.rows(EVENT))
    sequences: dict[str, list[int]] = defaultdict(list)
    types: dict[str, Counter[str]] = defaultdict(Counter)
    for producer, sequence, kind in connection.execute(query):
        sequences[producer].append(sequence)
        types[producer][kind] += 1
    return {producer: Numbers(format_lines(found), dict(types[producer])) for producer, found in sequences.items()}


def decide(
    connection: Connection,
    key: RunKey,
    revision: int,
    producers: Sequence[Counted],
    *,
    decided_at: datetime,
    ordered_at: float,
    status: str,
    stands_on: str,
) -> Summary:
    """Keep what a decision counts, and return what that adds up to; `stands_on` is the digest of what it is made of."""
    parts = {one.id: _kept_part(connection, key, one) for one in producers}
    counting = sorted((one for one in producers if one.counts), key=lambda one: one.id)
    summary = _summary(counting, parts)
    coverage = unite(file for one in counting for file in parts[one.id].coverage())
    row = {
        **key.values,
        "revision": revision,
        "decided_at": decided_at.timestamp(),
        "ordered_at": ordered_at,
        "status": status,
        "counted": {one.id: _counted(one) for one in producers},
        "summary": {
            "counts": summary.counts,
            "total": summary.total,
            "tests_s": summary.tests_s,
            "digest": summary.ref.digest,
            "format": summary.ref.format,
        },
        "stands_on": stands_on,
    }
    statement = insert(connection, DECISION).values(**row)
    keys = [DECISION.c.project, DECISION.c.run, DECISION.c.revision]
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=row))
    place = {**key.values, "revision": revision}
    connection.execute(delete(FOLD).where(*key.rows(FOLD), FOLD.c.revision == revision))
    if coverage:
        connection.execute(FOLD.insert().values(**place, name="coverage", content=pack([one.row for one in coverage])))
    return summary


def _summary(counting: Sequence[Counted], parts: Mapping[str, Part]) -> Summary:
    """Return what these producers (by their ids) add up to; `parts` are by id."""
    digest = hashlib.sha256()
    counts: Counter[str] = Counter()
    for one in counting:
        head = parts[one.id].head
        digest.update(f"{one.id}\0{one.variant}\0{one.shard}\0{head['digest']}\0".encode())
        counts.update(head["counts"])
    heads = [parts[one.id].head for one in counting]
    change = next((change for one in counting if (change := parts[one.id].change()) is not None), {})
    latest: dict[str, Any] = next(iter(change.get("commits", ())), {})
    return Summary(
        counts=dict(sorted(counts.items())),
        total=sum(head["total"] for head in heads),
        tests_s=round(sum(head["tests_s"] for head in heads), 3),
        ref=RecordRef(format=FORMAT, digest=digest.hexdigest()),
        merge_base=change.get("merge_base"),
        author=latest.get("author"),
    )


def add_up(connection: Connection, key: RunKey, producer: str, arrived: int) -> Part:
    """Make a producer's part of the facts of its events so far, `arrived` of them, and return it."""
    columns = part_of(kept_facts(connection, key, producer))
    connection.execute(delete(PART).where(*_of_part(key, producer, arrived)))
    place = {**key.values, "producer": producer, "arrived": arrived}
    rows = [place | {"name": name, "content": content} for name, content in columns.items()]
    connection.execute(PART.insert(), rows)
    return Part(columns.get)


def _kept_part(connection: Connection, key: RunKey, producer: Counted) -> Part:
    """Return a producer's part: that of one that is whole is there, any other is made now."""
    if producer.whole:
        where = _of_part(key, producer.id, producer.arrived)
        columns = {row.name: row.content for row in connection.execute(select(PART).where(*where))}
        if columns:
            return Part(columns.get)
    return add_up(connection, key, producer.id, producer.arrived)


def _counted(producer: Counted) -> dict[str, Any]:
    """Return a producer as a decision keeps it."""
    return {
        "variant": producer.variant,
        "shard": producer.shard,
        "attempt": producer.attempt,
        "arrived": producer.arrived,
        "counts": producer.counts,
        "events": producer.events,
    }


def _kept_body(event: Event[EventData], came: tuple[bytes, str | None] | None) -> tuple[bytes | None, str]:
    """Return a body as it came, or compressed where it came large; of an attached file only the facts are kept."""
    if came is None or isinstance(event.data, ArtifactRecorded):
        return None, ""
    return packed_body(*came)


def _of_part(key: RunKey, producer: str, arrived: int) -> tuple[Any, ...]:
    return (*key.rows(PART), PART.c.producer == producer, PART.c.arrived == arrived)
