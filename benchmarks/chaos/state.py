"""The final state: what the targets have, and what the consumers' tables hold, as snapshot."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from benchmarks.chaos import targets
from benchmarks.chaos.deployment import QUEUES
from benchmarks.chaos.snapshot import Comparable, Key, Snapshot, gathered
from harness.private_postgresql import libpq
from testbus_consumers import registry
from testbus_consumers.records.parts import Part
from testbus_consumers.reportportal.state import FLAKY_PART
from testbus_consumers.store.engine import schema_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from benchmarks.chaos.deployment import Deployment

#: Of an issue: which of the runs that met its cause came first.
_CHANCE: Final = frozenset({"filed_run"})

#: Columns that hold instants, as all others whose names end so do by the consumer's own clock.
_OF_THE_LOAD: Final = frozenset({"started_at", "ended_at", "ordered_at"})

#: Columns of a consumer's tables that name what a row is about; all of a row's other columns are its content.
_NAMES: Final = (
    "project", "suite", "run", "branch", "variant", "producer", "sequence", "shard", "node_id", "attempt", "chunk",
    "part", "path", "item", "fingerprint", "test", "cause", "since", "key", "name", "digest",
)  # fmt: skip


def observe(deployment: Deployment, base: datetime) -> Snapshot:
    """Return the state of all targets and tables; call it when everything is quiet."""
    comparable = Comparable(base, targets.causes(deployment.sandbox))
    return gathered([*targets.observed(deployment.sandbox, comparable), *_tables(deployment, comparable)])


def _tables(deployment: Deployment, comparable: Comparable) -> Iterator[tuple[Key, Any]]:
    with psycopg.connect(libpq(deployment.database_url), row_factory=dict_row) as connection:
        for queue in QUEUES:
            schema = schema_name(queue)
            consumer = registry.load_consumer(queue.partition(".")[0])
            for table in consumer.metadata.tables.values() if consumer.metadata else ():
                query = sql.SQL("SELECT * FROM {}.{}").format(sql.Identifier(schema), sql.Identifier(table.name))
                for row in connection.execute(query):
                    # What was known when it was reported, as in `targets`.
                    if row.get("part") != FLAKY_PART:
                        yield _fact(queue, table.name, _opened(row), comparable)
            yield from _ledger(connection, queue, schema)
        yield from _endings(connection)


def _opened(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row whose compressed columns can be compared: what they say, or, where that is no JSON, its digest."""
    return {name: _said(value) if isinstance(value, bytes) else value for name, value in row.items() if name != "body"}


def _said(blob: bytes) -> Any:
    plain = zlib.decompress(blob)
    try:
        return json.loads(plain)
    except ValueError:
        return hashlib.sha256(plain).hexdigest()


def _endings(connection: psycopg.Connection[Any]) -> Iterator[tuple[Key, Any]]:
    """Yield how each test of each producer ended, as the record has it."""
    columns: dict[tuple[str, str, int], dict[str, bytes]] = defaultdict(dict)
    query = sql.SQL("SELECT run, producer, arrived, name, content FROM {}.part")
    for row in connection.execute(query.format(sql.Identifier(schema_name("runs")))):
        columns[row["run"], row["producer"], row["arrived"]][row["name"]] = row["content"]
    for (run, _, _), found in columns.items():
        for end in Part(found.get).endings():
            yield ("record", run, end.node_id), [str(end.outcome), end.attempt]


def _fact(queue: str, table: str, row: dict[str, Any], comparable: Comparable) -> tuple[Key, Any]:
    own = {name for name in row if name.endswith("_at")} - _OF_THE_LOAD | _CHANCE
    plain = comparable.of(_without(row, *own))
    if "issue" in plain:
        # The event that told of an issue: whether it was created or known already depends on which run came first.
        plain["issue"] = _without(plain["issue"], "action", "status")
    for document in (plain, plain.get("evaluation"), plain.get("verdict"), plain.get("issue")):
        if isinstance(document, dict) and "context" in document:
            # A run's context is the first that was heard of; variants of one run say the rest alike.
            document["context"] = _without(document["context"], "variant")
    if table == "note" and plain["type"] in {"issue.linked", "launch.linked"}:
        # The same chance: their ids stand on it.
        plain = _without(plain, "event_id")
    if "launch" in plain:
        # Whichever part of the run began the launch, and whichever launch came first.
        launch = _without(plain["launch"], "number")
        plain["launch"] = launch | {"context": _without(launch["context"], "variant", "shard")}
    names = [f"{name}={plain.pop(name)}" for name in _NAMES if name in plain]
    return (queue, table, *names), plain


def _without(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}


def _ledger(connection: psycopg.Connection[Any], queue: str, schema: str) -> Iterator[tuple[Key, Any]]:
    """Yield what became of each run's events: how many of each type ended how; and timers that were given up."""
    query = sql.SQL("SELECT run, type, status, count(*) AS n FROM {}.testbus_delivery GROUP BY run, type, status")
    for row in connection.execute(query.format(sql.Identifier(schema))):
        for _ in range(row["n"]):
            yield (queue, "ledger", row["run"], row["type"]), row["status"]
    query = sql.SQL("SELECT name, key, reason FROM {}.testbus_job WHERE status = 'dead'")
    for row in connection.execute(query.format(sql.Identifier(schema))):
        yield (queue, "timer given up", row["name"], row["key"]), re.sub(r"\d+", "#", row["reason"])
