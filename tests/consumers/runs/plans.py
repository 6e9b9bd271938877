"""Runs made up by hypothesis, and what is missing of them, told without any of the code that is tested."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from harness.events import FakeProducer

if TYPE_CHECKING:
    from collections.abc import Collection

    from testbus_schemas import Event, EventData


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one producer does."""

    #: Variant, shard (0: not split), and CI attempt.
    variant: str
    shard: int
    attempt: int
    #: How it ends.
    status: str
    #: Events: outcomes of their two tests, or None for one with coverage.
    events: tuple[tuple[str, str] | None, ...]
    #: Whether it sends signs of life.
    beats: bool


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run: in how many shards each variant is split (0: not), and its producers."""

    shards: dict[str, int]
    parts: tuple[Part, ...]

    def events(self, run: str) -> list[Event[EventData]]:
        """Return all events of the run under this id, each producer's in their order."""
        return [event for number, part in enumerate(self.parts) for event in self._events(number, part, run)]

    def _events(self, number: int, part: Part, run: str) -> list[Event[EventData]]:
        total = self.shards[part.variant]
        shard = {"index": part.shard, "total": total} if part.shard else None
        # What people are told of a producer is how its id begins: the same in every run of this plan.
        name = f"part-{number:03}-{run}"
        producer = FakeProducer(name, run=run, variant=part.variant, shard=shard, attempt=part.attempt)
        made = [producer.started(heartbeat_s=10 if part.beats else None)]
        for index, outcomes in enumerate(part.events):
            if outcomes is None:
                made.append(producer.coverage(f"file{index}.py", "1-9", "1-8"))
            else:
                names = (f"test_{part.shard}_{index}_a", f"test_{part.shard}_{index}_b")
                made.append(producer.results(**dict(zip(names, outcomes, strict=True))))
        return [*made, producer.finished(part.status)]


def missing(events: Collection[Event[EventData]], arrived: Collection[str]) -> set[str]:
    """Return what is missing of a run, of whose events (their ids) only these have come.

    Missing are the other events of every producer of which anything came, unless a later attempt at its place has
    begun; and the shards that nothing came of, of as many as any that came speak of.
    """
    heard: dict[tuple[str, int], set[tuple[int, str]]] = defaultdict(set)
    totals: dict[str, int] = defaultdict(int)
    for event in events:
        context = event.data.context
        if event.id in arrived:
            heard[context.variant, context.shard_index].add((context.attempt, producer_of(event)))
            if context.shard and context.shard.total:
                totals[context.variant] = max(totals[context.variant], context.shard.total)
    latest = {place: max(attempt for attempt, _ in there) for place, there in heard.items()}
    active = {name for place, there in heard.items() for attempt, name in there if attempt == latest[place]}
    lacking = {event.id for event in events if event.id not in arrived and producer_of(event) in active}
    absent = {
        f"shard {index} of {variant}"
        for variant, total in totals.items()
        for index in range(1, total + 1)
        if (variant, index) not in heard
    }
    return lacking | absent


def producer_of(event: Event[EventData]) -> str:
    """Return the id of an event's producer."""
    assert event.data.producer
    return event.data.producer.id


_OUTCOMES = st.sampled_from(["passed"] * 6 + ["failed", "skipped"])
_STATUSES = st.sampled_from(["finished"] * 8 + ["interrupted", "crashed"])


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Make up a run of one or two variants, split or not, with reruns, and sometimes two producers at one place."""
    shards = {variant: draw(st.integers(0, 2)) for variant in draw(st.sampled_from([("x",), ("x", "y")]))}
    parts: list[Part] = []
    for variant, total in shards.items():
        for shard in range(1, total + 1) if total else (0,):
            attempts: Any = draw(st.lists(st.integers(1, 2), min_size=1, max_size=2))
            parts += [
                Part(
                    variant=variant,
                    shard=shard,
                    attempt=attempt,
                    status=draw(_STATUSES),
                    events=tuple(draw(st.lists(st.none() | st.tuples(_OUTCOMES, _OUTCOMES), max_size=2))),
                    beats=draw(st.booleans()),
                )
                for attempt in attempts
            ]
    return Plan(shards=shards, parts=tuple(parts))
