"""Reading the record, as every consumer may: one decision about a run, and nothing of it before it is asked for."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import fields
from datetime import UTC, datetime
from functools import cached_property, partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import func, or_, select

from testbus_consumers.errors import NoRecordError
from testbus_consumers.records import listing
from testbus_consumers.records.coverage import FileSums, MeasuredFile, unite
from testbus_consumers.records.facts import read_body, unpack
from testbus_consumers.records.models import Attachment, Attempt, Cause, Producer, Test
from testbus_consumers.records.parts import FORMAT, Part
from testbus_consumers.records.tables import ATTACHMENT, DECISION, EVENT, FOLD, NOTE, OVERRIDE, PART
from testbus_consumers.store.run_key import RunKey
from testbus_schemas import ArtifactRecorded, ChangeRecorded, EnvironmentRecorded, Override
from testbus_schemas.catalog import by_data
from testbus_schemas.coverage import parse_lines

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from testbus_consumers.records.listing import Base, LiveProducer, RunSummary
    from testbus_consumers.records.parts import Example, Place
    from testbus_consumers.store.reader import StateReader
    from testbus_schemas import Benchmark, Event, EventData, Metric, OverrideKind, RunContext
    from testbus_schemas.path_rules import PathRules
    from testbus_schemas.results import Frame

#: Whose state the record is in.
QUEUE: Final = "runs"


#: What `Attachment` has of the facts.
_ATTACHMENT: Final = tuple(one.name for one in fields(Attachment) if one.name != "producer")


class Records:
    """The runs that `runs` has decided; made after any fork."""

    def __init__(self, reader: StateReader) -> None:
        """Take what reads states."""
        self._reader = reader
        self._bases: WeakKeyDictionary[Record, Base] = WeakKeyDictionary()

    def open(self, context: RunContext, revision: int) -> Record:
        """Return what is kept of a decision about a run.

        Raises NoRecordError when nothing is, or by a newer testbus; StateError when the state cannot be read.
        """
        with self._reader.of(QUEUE) as connection:
            query = select(DECISION).where(*RunKey.of(context).rows(DECISION))
            row = connection.execute(query.where(DECISION.c.revision == revision)).one_or_none()
        if row is None:
            raise NoRecordError(
                f"nothing is kept of decision {revision} about run {context.run} of project {context.project}: "
                f"testbus replay runs --run {context.run}"
            )
        if row.summary["format"] > FORMAT:
            raise NoRecordError(
                f"run {context.run} was kept by a newer testbus (format {row.summary['format']}): upgrade this consumer"
            )
        return Record(self._reader, context, row)

    def latest(self, context: RunContext) -> Record | None:
        """Return what is kept of the latest decision about a run; None before any. Raises as `open`."""
        with self._reader.of(QUEUE) as connection:
            query = select(func.max(DECISION.c.revision)).where(*RunKey.of(context).rows(DECISION))
            revision = connection.execute(query).scalar()
        return None if revision is None else self.open(context, revision)

    def find(
        self,
        project: str | None = None,
        *,
        suite: str | None = None,
        stage: str | None = None,
        commit: str | None = None,
        branch: str | None = None,
        pull_request: str | None = None,
        is_base: bool | None = None,
        complete: bool | None = None,
        verdict: str | None = None,
        before: datetime | None = None,
        limit: int = 50,
    ) -> tuple[RunSummary, ...]:
        """Return the runs for which everything holds that is not None, the newest first; `before` is exclusive.

        Runs are ordered by `RunSummary.started_at`. Raises StateError when the state cannot be read.
        """
        with self._reader.of(QUEUE) as connection:
            return listing.find(
                connection,
                project,
                suite=suite,
                stage=stage,
                commit=commit,
                branch=branch,
                pull_request=pull_request,
                is_base=is_base,
                complete=complete,
                verdict=verdict,
                before=before,
                limit=limit,
            )

    def named(self, beginning: str) -> tuple[RunSummary, ...]:
        """Return the runs of this very id, or `project/id`, else those whose id begins so, the newest first."""
        with self._reader.of(QUEUE) as connection:
            return listing.named(connection, beginning)

    def get(self, project: str, run: str) -> RunSummary | None:
        """Return one run; None when nobody has heard of it."""
        with self._reader.of(QUEUE) as connection:
            return listing.get(connection, RunKey(project, run))

    def base_of(self, run: Record | RunSummary) -> Base:
        """Return the run that another is compared with; of a record it is looked for once."""
        if isinstance(run, Record) and (known := self._bases.get(run)) is not None:
            return known
        with self._reader.of(QUEUE) as connection:
            base = listing.base_of(connection, run.key)
        if isinstance(run, Record):
            self._bases[run] = base
        return base

    def live(self, project: str, run: str) -> tuple[LiveProducer, ...]:
        """Return how far each producer of a run is, by variant, shard, attempt and id; () for a run nobody knows."""
        with self._reader.of(QUEUE) as connection:
            return listing.live(connection, RunKey(project, run))

    def notes(self, project: str, run: str, *types: str) -> Iterator[Event[EventData]]:
        """Yield what was derived about a run, the oldest first: events of these types (short names), or of all.

        Raises StateError when the state cannot be read.
        """
        query = select(NOTE.c.body, NOTE.c.encoding).where(*RunKey(project, run).rows(NOTE))
        if types:
            query = query.where(NOTE.c.type.in_(types))
        with self._reader.of(QUEUE) as connection:
            rows = connection.execute(query.order_by(NOTE.c.recorded_at, NOTE.c.event_id)).all()
        return (read_body(row.body, row.encoding) for row in rows)

    def kept(self, project: str, run: str, *, partly: bool = False) -> Iterator[Event[EventData]]:
        """Yield what is kept of a run, as it came: its producers' events by their numbers, then its notes.

        Of attached files only the facts are kept, not the events. Raises NoRecordError when bodies are not kept any
        more (`state.keep_bodies_days`), unless what is left is wanted `partly`; StateError when the state cannot be
        read.
        """
        columns = (EVENT.c.body, EVENT.c.encoding, EVENT.c.type, EVENT.c.recorded_at)
        query = select(*columns).where(*RunKey(project, run).rows(EVENT))
        with self._reader.of(QUEUE) as connection:
            rows = connection.execute(query.order_by(EVENT.c.producer, EVENT.c.sequence)).all()
        attached = by_data(ArtifactRecorded).name
        if not partly and any(row.body is None and row.type != attached for row in rows):
            raise NoRecordError(f"events of run {run} are not kept any more (`state.keep_bodies_days`)")
        for row in rows:
            if row.body is not None:
                yield read_body(row.body, row.encoding, datetime.fromtimestamp(row.recorded_at, UTC))
        yield from self.notes(project, run)

    def overrides(self, project: str, *kinds: OverrideKind, at: datetime) -> tuple[Override, ...]:
        """Return what people decided of a project that holds at a moment, of these kinds or of all; oldest first."""
        moment = at.timestamp()
        ends = (or_(column.is_(None), column > moment) for column in (OVERRIDE.c.until, OVERRIDE.c.ended_at))
        query = select(OVERRIDE.c.override).where(OVERRIDE.c.project == project, OVERRIDE.c.since <= moment, *ends)
        if kinds:
            query = query.where(OVERRIDE.c.kind.in_([kind.value for kind in kinds]))
        with self._reader.of(QUEUE) as connection:
            rows = connection.execute(query.order_by(OVERRIDE.c.since, OVERRIDE.c.id)).scalars()
            return tuple(Override.model_validate(row) for row in rows)

    def close(self) -> None:
        """Close every connection."""
        self._reader.close()


class Record:
    """One decision about a run."""

    def __init__(self, reader: StateReader, context: RunContext, row: Any) -> None:
        """Take the row of the decision."""
        self._reader = reader
        self._context = context
        #: What names its run in tables.
        self.key: RunKey = RunKey.of(context)
        self._columns: dict[str, dict[tuple[str, int], bytes]] = {}
        summary = row.summary
        #: Its number.
        self.revision: int = row.revision
        #: Digest of what it says; equal records have equal digests, whatever order their events came in.
        self.digest: str = summary["digest"]
        #: Outcome → tests of the producers that count.
        self.counts: Mapping[str, int] = summary["counts"]
        #: Tests.
        self.total: int = summary["total"]
        #: Seconds that their last attempts took, added up.
        self.tests_s: float = summary["tests_s"]
        #: What runs are ordered by: when its first producer began, or `runs` heard of it if that was earlier.
        self.ordered_at: datetime = datetime.fromtimestamp(row.ordered_at, UTC)
        #: All producers, by variant, shard and id; those that were replaced too.
        self.producers = tuple(
            sorted(
                (Producer(id=name, **_known(kept)) for name, kept in row.counted.items()),
                key=lambda one: (one.variant, one.shard, one.id),
            )
        )

    def tests(self, *, replaced: bool = False) -> Iterator[Test]:
        """Yield how each test ended, by variant, shard, producer and node id."""
        for producer in self._those(replaced=replaced):
            for end in self._parts[producer.id].endings():
                yield Test(
                    variant=producer.variant,
                    shard=producer.shard,
                    producer=producer.id,
                    node_id=end.node_id,
                    outcome=end.outcome,
                    attempt=end.attempt,
                    seconds=end.seconds,
                )

    def failures(self) -> tuple[Attempt, ...]:
        """Return the tests that need a person, each by its last attempt, by variant, node id, shard and producer."""
        bad = (one for one in self.attempts() if one.last and one.outcome.bad)
        return tuple(sorted(bad, key=lambda one: (one.variant, one.node_id, one.shard, one.producer)))

    def causes(self) -> tuple[Cause, ...]:
        """Return why tests failed, the cause of most tests first; a test that passed in the end failed for none."""
        tests: dict[str, list[Attempt]] = defaultdict(list)
        for test in self.failures():
            if test.fingerprint:
                tests[test.fingerprint].append(test)
        examples: dict[str, tuple[tuple[bool, str, int, str], Example]] = {}
        for producer in self._those(replaced=False):
            for one in self._parts[producer.id].causes():
                # Each producer keeps the texts of its largest causes: one that has a text says more.
                found = (not one.text, one.node_id, one.attempt, producer.id), one
                examples[one.fingerprint] = min(examples.get(one.fingerprint, found), found, key=itemgetter(0))
        ordered = sorted(tests, key=lambda fingerprint: (-len(tests[fingerprint]), fingerprint))
        return tuple(_cause(examples[fingerprint][1], tests[fingerprint]) for fingerprint in ordered)

    def attempts(self, *, replaced: bool = False) -> Iterator[Attempt]:
        """Yield every attempt of the tests that failed or were repeated, by variant, shard, producer and node id."""
        for producer in self._those(replaced=replaced):
            tried = list(self._parts[producer.id].attempts())
            last = {one.node_id: one.attempt for one in tried}
            for one in tried:
                yield Attempt(
                    variant=producer.variant,
                    shard=producer.shard,
                    producer=producer.id,
                    node_id=one.node_id,
                    attempt=one.attempt,
                    last=one.attempt == last[one.node_id],
                    outcome=one.outcome,
                    seconds=one.seconds,
                    fingerprint=one.cause,
                    type=one.type,
                    line=one.line,
                )

    def names(self, *, replaced: bool = False) -> Iterator[tuple[Producer, bytes, bytes]]:
        """Yield each producer with its columns `names` and `ends`, for those who keep a history of tests.

        `parts.names_of` and `parts.codes_of` read them.
        """
        for producer in self._those(replaced=replaced):
            names, ends = self._column(producer, "names"), self._column(producer, "ends")
            if names is not None and ends is not None:
                yield producer, names, ends

    def events(self, types: Collection[str]) -> dict[str, str]:
        """Return the events that the decision counts, of these types: id → short name of its type.

        Raises NoRecordError when not all of them are kept any more.
        """
        counting = {one.id: parse_lines(one.events) for one in self._those(replaced=False)}
        query = select(EVENT.c.producer, EVENT.c.sequence, EVENT.c.event_id, EVENT.c.type)
        with self._reader.of(QUEUE) as connection:
            rows = connection.execute(query.where(*self.key.rows(EVENT))).all()
        kept = [row for row in rows if row.sequence in counting.get(row.producer, ())]
        if lost := sum(map(len, counting.values())) - len(kept):
            raise NoRecordError(
                f"{lost} events are not kept any more that decision {self.revision} about run {self.key.run} of "
                f"project {self.key.project} counts: testbus replay runs --run {self.key.run}"
            )
        return {row.event_id: row.type for row in kept if row.type in types}

    def measured(self) -> tuple[Producer, ...]:
        """Return the producers that count and measured coverage."""
        query = select(PART.c.producer, PART.c.arrived).where(PART.c.name == "coverage")
        with self._reader.of(QUEUE) as connection:
            rows = connection.execute(query.where(*self.key.rows(PART)))
            there = {(row.producer, row.arrived) for row in rows}
        return tuple(one for one in self._those(replaced=False) if (one.id, one.arrived) in there)

    def places(self, *, replaced: bool = False) -> Iterator[tuple[str, str, Place]]:
        """Yield where each test is and ran, where its producer recorded any of it: producer, node id, place."""
        for producer in self._those(replaced=replaced):
            part = self._parts[producer.id]
            yield from ((producer.id, name, place) for name, place in part.places())

    def frames(self, *, replaced: bool = False) -> Iterator[tuple[str, str, int, list[Frame]]]:
        """Yield the frames of failing attempts, outermost first: producer, node id, attempt, frames.

        Of many attempts, and of deep tracebacks, not all are kept (`parts.MAX_FRAMED`, `facts.MAX_FRAMES`).
        """
        for producer in self._those(replaced=replaced):
            part = self._parts[producer.id]
            yield from ((producer.id, name, attempt, frames) for name, attempt, frames in part.frames())

    def attachments(self) -> Iterator[Attachment]:
        """Yield what was attached, by producer and in the order in which it came."""
        for producer in self._those(replaced=False):
            for attributes in self._parts[producer.id].artifacts():
                known: dict[str, Any] = {name: attributes.get(name) for name in _ATTACHMENT}
                yield Attachment(producer=producer.id, **known)

    def attachment(self, sha256: str) -> bytes | None:
        """Return an attached file of the run; None when it is not kept (any more), or was too large for that."""
        query = select(ATTACHMENT.c.content).where(*self.key.rows(ATTACHMENT), ATTACHMENT.c.sha256 == sha256)
        with self._reader.of(QUEUE) as connection:
            content: bytes | None = connection.execute(query).scalar()
        return content

    def change(self) -> ChangeRecorded | None:
        """Return what the run's tree changes; None when no producer that counts recorded it.

        Of several the one with the smallest producer id holds.
        """
        ids = sorted(one.id for one in self._those(replaced=False))
        recorded = ((producer, self._parts[producer].change()) for producer in ids)
        producer, change = next((one for one in recorded if one[1] is not None), ("", None))
        return None if change is None else ChangeRecorded.model_validate(change | self._sent_by(producer))

    def environment(self) -> Mapping[str, EnvironmentRecorded]:
        """Return where each producer ran that counts and recorded it, by the producer's id."""
        recorded = {one.id: self._parts[one.id].environment() for one in self._those(replaced=False)}
        return {
            producer: EnvironmentRecorded.model_validate(environment | self._sent_by(producer))
            for producer, environment in recorded.items()
            if environment is not None
        }

    def metrics(self) -> Iterator[tuple[str, Metric]]:
        """Yield the values that were measured, each with its producer's id; of one name and test only the last."""
        for producer in self._those(replaced=False):
            yield from ((producer.id, metric) for metric in self._parts[producer.id].metrics())

    def benchmarks(self) -> Iterator[tuple[str, Benchmark]]:
        """Yield the benchmarks, each with its producer's id; of one name and test only the last."""
        for producer in self._those(replaced=False):
            yield from ((producer.id, benchmark) for benchmark in self._parts[producer.id].benchmarks())

    def memory(self) -> Iterator[tuple[str, str, int]]:
        """Yield the highest memory of each test's last attempt that was looked at: producer, node id, KiB."""
        for producer in self._those(replaced=False):
            yield from ((producer.id, name, kb) for name, kb in self._parts[producer.id].memory())

    def coverage(self, rules: PathRules | None = None) -> tuple[FileSums, ...]:
        """Return how much of each file ran, by path, which is where `rules` say that it is; () if nobody measured."""
        with self._reader.of(QUEUE) as connection:
            query = select(FOLD.c.content).where(*self.key.rows(FOLD))
            blob = connection.execute(query.where(FOLD.c.revision == self.revision, FOLD.c.name == "coverage")).scalar()
        if blob is None:
            return ()
        return tuple(file.sums for file in unite((MeasuredFile.of_row(row) for row in unpack(blob)), rules))

    def _sent_by(self, producer: str) -> dict[str, Any]:
        """Return what the data of a producer's event have beside its facts."""
        return {"context": self._context, "producer": {"id": producer}}

    def _those(self, *, replaced: bool) -> Iterator[Producer]:
        return (one for one in self.producers if one.counts or replaced)

    @cached_property
    def _parts(self) -> Mapping[str, Part]:
        return {one.id: Part(partial(self._column, one)) for one in self.producers}

    def _column(self, producer: Producer, name: str) -> bytes | None:
        """Return a column of a producer's part; that of all producers is read at once, and kept."""
        if name not in self._columns:
            query = select(PART.c.producer, PART.c.arrived, PART.c.content)
            where = (*self.key.rows(PART), PART.c.name == name)
            with self._reader.of(QUEUE) as connection:
                rows = connection.execute(query.where(*where)).all()
            self._columns[name] = {(row.producer, row.arrived): row.content for row in rows}
        return self._columns[name].get((producer.id, producer.arrived))


def _cause(example: Example, tests: Sequence[Attempt]) -> Cause:
    return Cause(
        fingerprint=example.fingerprint,
        type=example.type,
        node_id=example.node_id,
        message=example.message,
        text=example.text,
        tests=tuple(tests),
    )


def _known(kept: Mapping[str, Any]) -> dict[str, Any]:
    return {name: kept[name] for name in ("variant", "shard", "attempt", "arrived", "events", "counts")}
