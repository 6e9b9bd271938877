"""What others derive about a run is kept beside it, whatever the order, and the run shows the verdict that holds."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from harness.events import FakeProducer
from testbus_consumers.records.tables import NOTE, RUN
from testbus_consumers.runs import CONSUMER as RUNS
from testbus_consumers.testing import ConsumerHarness, run_context
from testbus_schemas import Event, EventData, GateEvaluated, RunReopened, derived

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: When the gates judged first.
JUDGED_AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[ConsumerHarness]:
    """Give `runs`."""
    with ConsumerHarness(RUNS, tmp_path) as made:
        yield made


def judged(verdict: str, *, run: str = "run-1", revision: int = 1, hour: int = 0) -> Event[EventData]:
    """Return a verdict on a decision about a run, so many hours after the first."""
    context = run_context(run=run)
    data = GateEvaluated(context=context, revision=revision, verdict=verdict, rules=(), counts={}, total=0)
    return derived(
        data,
        consumer="gates",
        event_id=f"{run} {revision} {verdict} {hour}",
        time=JUDGED_AT + timedelta(hours=hour),
    )


def shown(runs: ConsumerHarness, run: str = "run-1") -> Any:
    """Return the verdict that a run shows."""
    with runs.policy.store.begin() as connection:
        return connection.execute(select(RUN.c.verdict).where(RUN.c.run == run)).scalar_one()


def kept(runs: ConsumerHarness, *types: str, run: str = "run-1") -> list[str]:
    """Return the ids of what is kept beside a run."""
    assert runs.policy.records is not None
    return [event.id for event in runs.policy.records.notes("web", run, *types)]


def test_what_is_derived_is_kept_once_and_read_as_it_came(runs: ConsumerHarness) -> None:
    """The oldest first, and by type; what is delivered twice is there once."""
    reopened = derived(
        RunReopened(context=run_context(), revision=1, reason="late"), consumer="runs", event_id="r", time=JUDGED_AT
    )
    second, first = judged("failed", hour=2), judged("passed", hour=1)
    runs.deliver(second, first, reopened, first)
    assert kept(runs) == ["r", first.id, second.id]
    assert kept(runs, "gate.evaluated") == [first.id, second.id]
    assert kept(runs, run="another") == []
    assert runs.policy.records is not None
    assert list(runs.policy.records.notes("web", "run-1", "run.reopened")) == [reopened]


def test_whatever_the_order_a_run_shows_the_latest_verdict_on_its_latest_decision(runs: ConsumerHarness) -> None:
    """A verdict may come before the run is known, before its decision, and before an earlier verdict."""
    for order in itertools.permutations(range(4)):
        run = "-".join(map(str, order))
        whole = FakeProducer(run, run=run).whole(test_a="passed")
        deliveries = [
            whole[:-1],
            whole[-1:],
            [judged("failed", run=run, hour=1)],
            [judged("passed", run=run, hour=2)],
        ]
        for index in order:
            runs.deliver(*deliveries[index])
        assert shown(runs, run) == "passed", order


def test_a_verdict_on_an_earlier_decision_says_nothing_about_the_latest(runs: ConsumerHarness) -> None:
    """Until the gates have judged that one, the run shows none."""
    runs.deliver(*FakeProducer("p1", shard={"index": 1, "total": 2}).whole(test_a="passed"))
    runs.run_timers(901)
    runs.deliver(judged("incomplete"))
    assert shown(runs) == "incomplete"
    runs.deliver(*FakeProducer("p2", shard={"index": 2, "total": 2}).whole(test_b="passed"))
    assert shown(runs) is None
    runs.deliver(judged("failed", hour=1))
    assert shown(runs) is None
    runs.deliver(judged("passed", revision=2, hour=2))
    assert shown(runs) == "passed"


def test_no_run_is_made_for_what_is_derived(runs: ConsumerHarness) -> None:
    """Of one that is deleted something may still come; nothing waits for its producers then."""
    runs.deliver(judged("passed"))
    assert kept(runs) == [judged("passed").id]
    with runs.policy.store.begin() as connection:
        assert connection.execute(select(RUN)).all() == []
    assert runs.run_timers(901) == 0


def test_what_is_kept_goes_with_the_run() -> None:
    """It is among what is deleted once nothing of a run is left in the ledger."""
    assert NOTE in RUNS.by_run
