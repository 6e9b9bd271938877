"""Whether a run is complete: a pure function of what is known of its producers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from testbus_schemas import ProducerStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: What is said of events that were sent and never came: of a runner that was upgraded first, no waiting brings them.
_GAP: Final = "if the runner is newer than the consumers: upgrade these, then `testbus broker declare`"

#: Exit statuses of a producer whose tests did not fail: unknown, success, and pytest's "no tests were collected".
_GOOD_EXITS: Final = frozenset({None, 0, 5})


@dataclass(frozen=True, kw_only=True)
class ProducerFacts:
    """What is known of one producer."""

    id: str
    #: Variant that it tested.
    variant: str
    #: Its shard, 0 when the tests are not split.
    shard: int
    #: How many shards it believes there are.
    shards: int | None
    #: CI attempt.
    attempt: int
    #: How many of its numbered events are here.
    arrived: int
    #: How many it says it sent; None before it said so.
    declared: int | None
    #: How it ended; None before.
    status: ProducerStatus | None
    #: Exit status of its process, as far as known.
    exit_status: int | None
    #: Results that its spool had no room for.
    dropped: int
    #: Why it did not end well, in its own words; None when it said nothing.
    detail: str | None = None
    #: When it ended, by its own clock, in seconds since the epoch; None before.
    ended_at: float | None = None
    #: Whether it gave signs of life, and has given none for longer than its deadline.
    silent: bool = False

    @property
    def whole(self) -> bool:
        """Tell whether all that it numbered is here."""
        return self.declared is not None and self.arrived >= self.declared

    @property
    def place(self) -> str:
        """Return where it ran, for people: `3.12, shard 2 of 4, attempt 2`."""
        shard = f"shard {self.shard} of {self.shards or '?'}" if self.shard else ""
        parts = (self.variant if self.variant != "default" else "", shard, f"attempt {self.attempt}")
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """What the producers of a run add up to."""

    #: Producers whose results count.
    active: tuple[ProducerFacts, ...]
    #: Producers that a higher attempt of the same shard replaced.
    superseded: tuple[str, ...]
    #: Who of the producers that were heard of has not finished, for people.
    unfinished: tuple[str, ...]
    #: What those sent that have finished, and has not come, for people.
    gaps: tuple[str, ...]
    #: Shards that nobody has heard of yet, or whose number nobody knows, for people.
    absent: tuple[str, ...]
    #: What is lost for good, for people.
    lost: tuple[str, ...]
    #: Producers that a person or the CI stopped, superseded ones too.
    stopped: tuple[str, ...]

    @property
    def awaited(self) -> tuple[str, ...]:
        """Return what may still come, for people; empty when nothing can."""
        return (*self.unfinished, *self.gaps, *self.absent)

    @property
    def given_up(self) -> tuple[str, ...]:
        """Return the same as what will not come any more, with what may be done about it."""
        return (*self.unfinished, *(f"{gap}; {_GAP}" for gap in self.gaps), *self.absent)

    @property
    def cancelled(self) -> bool:
        """Tell whether what is missing was cancelled by a person or the CI, and nothing had gone wrong before.

        A CI that stops the other shards when one has failed cancels nothing that anybody wanted cancelled.
        """
        stopped = set(self.stopped)
        ended_well = all(one.id in stopped or not _ended_badly(one) for one in self.active)
        return ended_well and any(one.id in stopped for one in self.active)


def assess(producers: Iterable[ProducerFacts], totals: Mapping[str, int] | None = None) -> Assessment:
    """Return what is awaited and what is lost; `totals` are announced numbers of shards by variant, "" for every one.

    Of each shard of each variant only the highest attempt counts. It is awaited until it has finished and every event
    that it numbered has arrived; a shard that others know of is awaited until it comes.
    """
    by_place: dict[tuple[str, int], list[ProducerFacts]] = defaultdict(list)
    stopped = []
    for one in producers:
        by_place[one.variant, one.shard].append(one)
        if one.status is ProducerStatus.INTERRUPTED:
            stopped.append(one.id)
    active: list[ProducerFacts] = []
    superseded: list[str] = []
    for there in by_place.values():
        highest = max(one.attempt for one in there)
        active += [one for one in there if one.attempt == highest]
        superseded += [one.id for one in there if one.attempt < highest]
    active.sort(key=lambda one: (one.variant, one.shard, one.id))
    return Assessment(
        active=tuple(active),
        superseded=tuple(sorted(superseded)),
        unfinished=tuple(_unfinished(active)),
        gaps=tuple(_gaps(active)),
        absent=tuple(_absent_shards(active, totals or {})),
        lost=_lost(active),
        stopped=tuple(sorted(stopped)),
    )


def _unfinished(active: Sequence[ProducerFacts]) -> list[str]:
    ends = {True: "fell silent before it had finished", False: "has not finished"}
    return [f"producer {one.id[:8]} ({one.place}) {ends[one.silent]}" for one in active if one.declared is None]


def _gaps(active: Sequence[ProducerFacts]) -> list[str]:
    return [
        f"{one.declared - one.arrived} of {one.declared} events of producer {one.id[:8]} ({one.place})"
        for one in active
        if one.declared is not None and one.arrived < one.declared
    ]


def _absent_shards(active: Sequence[ProducerFacts], totals: Mapping[str, int]) -> list[str]:
    awaited = []
    whole = {one.variant for one in active if not one.shard}
    variants = {one.variant for one in active if one.shard} | (totals.keys() - {""} - whole)
    if not variants and not whole and totals:
        # Announced before anything else came, and nobody knows the variants yet.
        variants = {"default"}
    for variant in sorted(variants):
        sharded = [one for one in active if one.variant == variant and one.shard]
        known = (*((one.shards or 0) for one in sharded), totals.get(variant, 0), totals.get("", 0))
        total = max(known)
        name = "" if variant == "default" else f" of {variant}"
        if not total:
            awaited.append(f"the number of shards{name} is not known: use --testbus-shard I/N or `testbus finish`")
        absent = sorted(set(range(1, total + 1)) - {one.shard for one in sharded})
        awaited += [f"shard {index} of {total}{name} never reported" for index in absent]
    return awaited


def _ended_badly(one: ProducerFacts) -> bool:
    """Tell whether a producer had gone wrong by itself: it died, lost results, or its tests failed."""
    bad = {ProducerStatus.CRASHED, ProducerStatus.FAILED_TO_START, ProducerStatus.UNKNOWN}
    return one.status in bad or one.dropped > 0 or one.exit_status not in _GOOD_EXITS


def _lost(active: Sequence[ProducerFacts]) -> tuple[str, ...]:
    ends = {
        ProducerStatus.CRASHED: "its process died",
        ProducerStatus.INTERRUPTED: "it was interrupted",
        ProducerStatus.FAILED_TO_START: "it could not begin",
        ProducerStatus.UNKNOWN: "it ended in an unknown way",
    }
    lost = []
    for one in active:
        if one.status in ends:
            code = "" if one.exit_status is None else f", exit status {one.exit_status}"
            why = one.detail or f"{ends[one.status]}{code}"
            lost.append(f"producer {one.id[:8]} ({one.place}): {why}")
        if one.dropped:
            lost.append(f"producer {one.id[:8]} ({one.place}): {one.dropped} results did not fit into its spool")
    return tuple(lost)
