"""Who took part in a run: its producers, and the variants that they tested."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from testbus.report.model import Producer, Variant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from testbus.report.findings import TestEnd
    from testbus.report.gather import Heard


def producers_of(producers: Mapping[str, Heard], superseded: frozenset[str]) -> tuple[Producer, ...]:
    """Return every producer, by variant, shard and attempt; those that were replaced are marked."""
    found = [_producer(name, heard, superseded) for name, heard in producers.items()]
    return tuple(sorted(found, key=lambda one: (one.variant, one.shard, one.attempt, one.id)))


def variants_of(active: Mapping[str, Heard], tests: Iterable[TestEnd]) -> tuple[Variant, ...]:
    """Return every variant that somebody tested, by name."""
    by_variant: dict[str, list[Heard]] = defaultdict(list)
    for heard in active.values():
        by_variant[heard.context[1].variant].append(heard)
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    lengths: dict[str, float] = defaultdict(float)
    for test in tests:
        outcomes[test.variant][test.outcome.value] += 1
        lengths[test.variant] += test.duration_s
    return tuple(
        _variant(name, there, dict(sorted(outcomes[name].items())), lengths[name])
        for name, there in sorted(by_variant.items())
    )


def _producer(name: str, heard: Heard, superseded: frozenset[str]) -> Producer:
    context, started, finished = heard.context[1], heard.started, heard.finished
    return Producer(
        id=name,
        tool=f"{started.tool} {started.tool_version}".strip() if started else "",
        host=started.host if started else "",
        variant=context.variant,
        shard=context.shard_index,
        shards=context.shard.total if context.shard else None,
        attempt=context.attempt,
        status=finished.status.value if finished else None,
        exit_status=finished.exit_status if finished else None,
        collected=finished.collected if finished else len(heard.collected) or None,
        reported=finished.reported if finished else sum(len(attempts) for attempts in heard.attempts.values()),
        dropped=finished.dropped if finished else 0,
        build_url=context.build_url,
        superseded=name in superseded,
    )


def _variant(name: str, producers: list[Heard], counts: Mapping[str, int], tests_s: float) -> Variant:
    contexts = [heard.context[1] for heard in producers]
    shared = set(contexts[0].labels.items()).intersection(*(context.labels.items() for context in contexts))
    totals = [context.shard.total for context in contexts if context.shard and context.shard.total]
    return Variant(
        name=name,
        labels=dict(sorted(shared)),
        counts=counts,
        tests_s=tests_s,
        shards=tuple(sorted({context.shard_index for context in contexts if context.shard})),
        shards_total=max(totals, default=None),
    )
