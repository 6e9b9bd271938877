"""The harness's own parts: the plan follows from the seed, and a difference is counted for what it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import pytest

from benchmarks.chaos import load
from benchmarks.chaos.comparing import compare
from benchmarks.chaos.expectations import expected_of
from benchmarks.chaos.plan import KINDS, plan
from benchmarks.chaos.snapshot import Comparable

VICTIMS: Final = {
    "worker": ["a-1", "a-2"],
    "connections": ["broker", "database"],
    "target": ["jira", "slack", "reportportal.a"],
}

BASE: Final = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)


def test_the_plan_follows_from_the_seed() -> None:
    """The same seed makes the same faults, another one others."""
    assert plan(50, 1, VICTIMS) == plan(50, 1, VICTIMS) != plan(50, 2, VICTIMS)


def test_a_plan_leaves_nothing_out() -> None:
    """Fourteen faults hit every sort of victim, a hundred are of every kind; and only those that are wanted."""
    assert {fault.sort for fault in plan(14, 3, VICTIMS)} == set(KINDS)
    kinds = {(fault.sort, fault.kind) for fault in plan(100, 3, VICTIMS)}
    assert kinds == {(sort, kind) for sort, known in KINDS.items() for kind in known}
    assert {fault.sort for fault in plan(20, 3, VICTIMS, ["redis"])} == {"redis"}


def test_the_load_follows_from_the_seed() -> None:
    """The same seed makes the same messages, byte for byte and in the same order; some of them twice."""
    one, same, other = (load.build(500, seed, BASE) for seed in (1, 1, 2))
    assert one.messages == same.messages != other.messages
    assert len({message.message_id for message in one.messages}) < len(one.messages)
    assert one.results >= 500
    assert expected_of(one) == expected_of(same)


@pytest.mark.parametrize(
    ("found", "lost", "duplicates"),
    [
        ({"k": ["1"]}, 0, 0),
        ({}, 1, 0),
        ({"k": ["2"]}, 1, 0),
        ({"k": ["1", "1"]}, 0, 1),
        ({"k": ["1"], "other": ["3"]}, 0, 1),
    ],
    ids=["the same", "missing", "otherwise", "twice", "not to be"],
)
def test_what_differs_is_counted(found: dict[str, list[str]], lost: int, duplicates: int) -> None:
    """What is missing or reads otherwise is lost; what is there too often is a duplicate."""
    differences = compare({("k",): ["1"]}, {(key,): contents for key, contents in found.items()})
    assert sum(one.lost for one in differences) == lost
    assert sum(one.duplicates for one in differences) == duplicates


def test_times_and_keys_are_comparable() -> None:
    """Instants count from the base in whatever form, and an issue is called by what it stands for."""
    comparable = Comparable(BASE, {"CHAOS-7": "the cart broke"})
    said = {"at": BASE.timestamp() + 2, "text": "CHAOS-7 since 2026-03-04 05:07 UTC", "n": 3}
    assert comparable.of(said) == {"at": "T+2.000", "text": "<the cart broke> since T+60.000", "n": 3}
