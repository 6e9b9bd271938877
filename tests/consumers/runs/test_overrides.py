"""What people decide against the rules is kept, announced when it begins to hold and when it ends, and found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from harness.events import FakeProducer
from testbus_consumers.runs import CONSUMER as RUNS
from testbus_consumers.runtime.delivery import Acknowledge, DeadLetter, Delay
from testbus_consumers.testing import ConsumerHarness, run_context
from testbus_schemas import Event, EventData, Override, OverrideKind, OverrideRecorded, OverrideRequested, decided
from testbus_schemas.context import project_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY = 86400


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[ConsumerHarness]:
    """Give a `runs` that lets nothing be hidden for more than ten days."""
    with ConsumerHarness(RUNS, tmp_path, {"overrides": {"max_days": 10}}) as made:
        yield made


def requested(
    runs: ConsumerHarness, override_id: str = "o1", days: float | None = 2, **fields: Any
) -> Event[EventData]:
    """Return the request of a waiver for so many days from now on."""
    until = None if days is None else runs.now + timedelta(days=days)
    known = {"kind": "waiver", "project": "web", "by": "ada", "since": runs.now, "until": until, "subject": "coverage"}
    override = Override(id=override_id, **known | fields)
    context = project_context(override.project, override.since)
    return decided(OverrideRequested(context=context, override=override), event_id=override.id)


def ended(runs: ConsumerHarness, override_id: str, **fields: Any) -> Event[EventData]:
    """Return the request that ends an override now."""
    return requested(runs, f"end of {override_id}", ends=override_id, until=runs.now, **fields)


def announced(runs: ConsumerHarness) -> list[tuple[str, bool]]:
    """Return what was announced so far."""
    return [(event.data.override.id, event.data.active) for event in runs.emitted
            if isinstance(event.data, OverrideRecorded)]  # fmt: skip


def holding(runs: ConsumerHarness, *kinds: OverrideKind, project: str = "web") -> list[str]:
    """Return what holds now."""
    assert runs.policy.records is not None
    return [one.id for one in runs.policy.records.overrides(project, *kinds, at=runs.now)]


def test_an_override_holds_until_its_time_is_over(runs: ConsumerHarness) -> None:
    """It is announced when it begins and when it ends, each once, however often it is sent."""
    request = requested(runs)
    runs.deliver(request, request)
    assert (announced(runs), holding(runs)) == ([("o1", True)], ["o1"])
    runs.run_timers(2 * DAY - 1)
    assert holding(runs) == ["o1"]
    runs.run_timers(2)
    assert (announced(runs), holding(runs)) == ([("o1", True), ("o1", False)], [])
    runs.deliver(request)
    assert len(announced(runs)) == 2


def test_who_hears_of_an_override_finds_it(runs: ConsumerHarness) -> None:
    """What is announced is what was decided, of the project and no run."""
    request = requested(runs, scope={"branch": "release/*"}, reason="SHOP-17")
    runs.deliver(request)
    (event,) = runs.emitted
    assert isinstance(event.data, OverrideRecorded)
    assert isinstance(request.data, OverrideRequested)
    assert event.data.override == request.data.override
    assert event.data.context == project_context("web", runs.now)
    assert runs.policy.records is not None
    assert runs.policy.records.overrides("web", at=runs.now) == (request.data.override,)
    assert runs.policy.records.find() == ()


def test_overrides_are_found_by_project_and_kind(runs: ConsumerHarness) -> None:
    """The oldest first; an acknowledgement needs no end."""
    runs.deliver(requested(runs))
    runs.run_timers(10)
    runs.deliver(
        requested(runs, "o2", kind="quarantine", subject="test_a"),
        requested(runs, "o3", None, kind="acknowledgement"),
        requested(runs, "o4", project="shop"),
    )
    assert holding(runs) == ["o1", "o2", "o3"]
    assert holding(runs, OverrideKind.QUARANTINE, OverrideKind.ACKNOWLEDGEMENT) == ["o2", "o3"]
    assert holding(runs, project="shop") == ["o4"]
    runs.run_timers(9 * DAY)
    assert holding(runs) == ["o3"]


def test_one_that_begins_later_is_announced_then(runs: ConsumerHarness) -> None:
    """And not before."""
    since = runs.now + timedelta(days=1)
    runs.deliver(requested(runs, since=since))
    assert (announced(runs), holding(runs)) == ([], [])
    runs.run_timers(DAY + 1)
    assert (announced(runs), holding(runs)) == ([("o1", True)], ["o1"])
    runs.run_timers(DAY)
    assert announced(runs) == [("o1", True), ("o1", False)]


def test_a_person_ends_an_override_before_its_time(runs: ConsumerHarness) -> None:
    """What ends it does nothing else, and its own end comes and changes nothing."""
    runs.deliver(requested(runs))
    runs.run_timers(60)
    runs.deliver(ended(runs, "o1"))
    assert (announced(runs), holding(runs)) == ([("o1", True), ("o1", False)], [])
    runs.run_timers(3 * DAY)
    assert len(announced(runs)) == 2


def test_one_override_replaces_another(runs: ConsumerHarness) -> None:
    """From the moment on from which it holds."""
    runs.deliver(requested(runs))
    runs.run_timers(60)
    runs.deliver(requested(runs, "o2", 5, ends="o1"))
    assert holding(runs) == ["o2"]
    assert sorted(announced(runs)) == [("o1", False), ("o1", True), ("o2", True)]


def test_who_ends_what_is_not_known_yet_waits_for_it(runs: ConsumerHarness) -> None:
    """The two may come in any order; that of another project is never found."""
    first, last = requested(runs), ended(runs, "o1")
    settlement = runs.deliver(last)
    assert isinstance(settlement, Delay)
    assert "o1" in settlement.reason
    runs.deliver(first)
    assert isinstance(runs.deliver(last), Acknowledge)
    assert (announced(runs), holding(runs)) == ([("o1", True), ("o1", False)], [])
    of_others = requested(runs, "o2", ends="o1", until=runs.now, project="shop")
    assert isinstance(runs.deliver(of_others), Delay)


@pytest.mark.parametrize(
    ("days", "fields", "reason"),
    [
        (None, {}, "a waiver says until when it holds"),
        (None, {"kind": "quarantine"}, "a quarantine says until when"),
        (None, {"kind": "mute"}, "a mute says until when"),
        (11, {}, "10 days at most"),
        (1, {"kind": "from a newer sender"}, "upgrade the consumers"),
    ],
)
def test_what_cannot_hold_is_a_dead_letter_that_says_why(
    runs: ConsumerHarness, days: float | None, fields: dict[str, Any], reason: str
) -> None:
    """Nothing of it is kept."""
    settlement = runs.deliver(requested(runs, days=days, **fields))
    assert isinstance(settlement, DeadLetter)
    assert reason in settlement.error
    assert (announced(runs), holding(runs)) == ([], [])


def test_an_override_is_of_the_project_that_it_is_published_for(runs: ConsumerHarness) -> None:
    """On the routing key the broker checks who may decide; and no run is kept alive by it."""
    request = requested(runs)
    for context in (project_context("shop", runs.now), run_context()):
        data = request.data.model_copy(update={"context": context})
        settlement = runs.deliver(decided(data, event_id=f"for {context.project}"))
        assert isinstance(settlement, DeadLetter)
        assert "belongs to the project" in settlement.error
    assert holding(runs) == []


def test_no_runner_publishes_for_a_run_that_stands_for_a_project(runs: ConsumerHarness) -> None:
    """Its results would be kept as long as anybody decides anything that day."""
    of_project = project_context("web", datetime(2026, 11, 20, tzinfo=UTC))
    settlement = runs.deliver(FakeProducer(context=of_project).started())
    assert isinstance(settlement, DeadLetter)
    assert "'-2026-11-20' is no run's id" in settlement.error
