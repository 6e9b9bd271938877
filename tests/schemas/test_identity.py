"""Identities that never change, whoever computes them and in whatever order."""

from __future__ import annotations

import time
import uuid

from hypothesis import given
from hypothesis import strategies as st

from harness.examples import CONTEXT, EXAMPLES
from testbus_schemas import Result, identity

parts = st.lists(st.text(max_size=5), max_size=5)


def test_new_ids_are_version_7_and_ordered_by_the_millisecond() -> None:
    """RFC 9562: version and variant bits in place, 48 bits of Unix milliseconds in front."""
    before = time.time_ns() // 1_000_000
    made = [uuid.UUID(identity.new_id()) for _ in range(500)]
    after = time.time_ns() // 1_000_000
    assert len(set(made)) == 500
    assert {one.version for one in made} == {7}
    assert {one.variant for one in made} == {uuid.RFC_4122}
    millis = [one.int >> 80 for one in made]
    assert millis == sorted(millis)
    assert before <= millis[0]
    assert millis[-1] <= after


@given(parts, parts)
def test_no_two_lists_of_parts_share_an_id(one: list[str], other: list[str]) -> None:
    """Moving the border between two parts makes another id."""
    assert (identity.derived_id(*one) == identity.derived_id(*other)) == (one == other)


@given(st.lists(st.text(max_size=5), max_size=6), st.randoms(use_true_random=False), st.text(max_size=3))
def test_a_derived_event_is_the_same_in_any_order(counted: list[str], random: object, policy: str) -> None:
    """What was counted decides, not when it came or how often; other rules make another event."""
    shuffled = counted * 2
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    made = identity.derived_event_id("gates", "gate.evaluated", "run-1", counted, policy)
    assert identity.derived_event_id("gates", "gate.evaluated", "run-1", shuffled, policy) == made
    assert identity.derived_event_id("gates", "gate.evaluated", "run-1", [*counted, "more!!"], policy) != made
    assert identity.derived_event_id("gates", "gate.evaluated", "run-1", counted, policy + "x") != made
    assert identity.derived_event_id("gates", "gate.evaluated", "run-2", counted, policy) != made


def test_ids_are_pinned() -> None:
    """These ids are in people's streams and databases: a change would make a second copy of everything."""
    assert identity.producer_event_id("p1", 1) == "bd6c16fa-7fb8-5f9e-bad9-88e58712a13a"
    assert identity.derived_event_id("runs", "run.completed", "run-1", ["b", "a"], "1") == (
        "bcd31056-43f9-50b9-99a5-dfc74a758b9b"
    )


def test_a_producers_event_has_the_id_of_its_position() -> None:
    """Sending a spool again gives the same ids."""
    event = EXAMPLES["results.recorded"]
    assert event.id == identity.producer_event_id(event.data.producer.id, 3)


def test_a_result_is_known_by_run_variant_shard_attempts_and_test() -> None:
    """Any of them alone tells two results apart."""
    result = Result(node_id="a", outcome="passed", attempt=2)
    assert result.key(CONTEXT) == ("github:acme/shop:4711:unit", "py3.12", 2, 2, "a", 2)
    others = [
        result.key(CONTEXT.model_copy(update=change))
        for change in ({}, {"run": "x"}, {"variant": "x"}, {"shard": None}, {"attempt": 1})
    ]
    assert len({*others, result.model_copy(update={"node_id": "b"}).key(CONTEXT)}) == 6
