"""Chapter 6: a new consumer is one small file and one line of configuration."""

from __future__ import annotations

import runpy
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Column, Integer, MetaData, String, Table

from testbus_consumers import registry
from testbus_consumers.runtime import Consumer, Done, Outcome, State, state
from testbus_consumers.settings import Section
from testbus_consumers.store.engine import insert
from testbus_consumers.testing import ConsumerHarness, run_context
from testbus_schemas import Event, Origin, ProducerFinished, ResultsRecorded, produced
from tests.tour.results import passed

if TYPE_CHECKING:
    import pytest

    from tests.tour.conftest import Pipeline

#: Where `examples` is found.
ROOT = Path(__file__).parents[2]

METADATA = MetaData()
SEEN = Table("seen", METADATA, Column("run", String(256), primary_key=True), Column("tests", Integer, nullable=False))


class CountingSettings(Section):
    """Section `consumers.counting`."""

    #: What every test counts for.
    weight: int = 1


def count(event: Event[ResultsRecorded], state: State[CountingSettings]) -> Outcome:
    """Add the tests of an event to those of its run; the transaction is the runtime's, the seen mark too."""
    tests = len(event.data.results) * state.settings.weight
    statement = insert(state.connection, SEEN).values(run=event.subject, tests=tests)
    state.execute(statement.on_conflict_do_update(index_elements=[SEEN.c.run], set_={"tests": SEEN.c.tests + tests}))
    return Done(f"{tests} counted")


COUNTING = Consumer(
    name="counting",
    summary="counts tests",
    settings=CountingSettings,
    handlers={ResultsRecorded: state(count)},
    metadata=METADATA,
)


def test_it_is_tested_with_events_in_and_rows_out(tmp_path: Path) -> None:
    """The harness is the real policy on a real database; a duplicate is the runtime's business, not the handler's."""
    event = produced(ResultsRecorded(context=run_context(), results=(passed("a"), passed("b"))))
    with ConsumerHarness(COUNTING, tmp_path, {"weight": 2}) as harness:
        harness.deliver(event, event)
        with harness.policy.store.begin() as connection:
            assert connection.execute(SEEN.select()).one().tests == 4


def test_it_runs_beside_the_others(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package announces it; naming it in the configuration switches it on."""
    announced = [EntryPoint("counting", f"{__name__}:COUNTING", registry.GROUP)]
    monkeypatch.setattr(registry, "entry_points", lambda group: announced if group == registry.GROUP else [])
    pipeline.consumers = {"counting": {}}
    (counting,) = registry.find(pipeline.settings, "counting")
    assert counting.subscription.patterns == ("results.recorded.*",)
    pipeline.publish(passed("cart adds"))
    pipeline.drain()
    assert pipeline.trace()["counting"] == {"done"}


def test_one_that_decides_is_one_file_without_a_table(tmp_path: Path) -> None:
    """It receives no result: `runs` has kept the run, and the decision's record is read."""
    code = ROOT / "examples" / "consumer" / "slowest_tests.py"
    assert len(code.read_text(encoding="utf-8").splitlines()) <= 40
    consumer = runpy.run_path(str(code))["CONSUMER"]
    assert consumer.metadata is None
    assert consumer.patterns == ("run.completed.*", "run.interrupted.*")
    file = tmp_path / "slowest.csv"
    with ConsumerHarness(consumer, tmp_path, {"file": str(file), "tests": 2}) as harness:
        for run in ("run-1", "run-2"):
            took = {"a": 1, "b": 3, "c": 2}
            results = tuple(passed(name).model_copy(update={"duration_s": took[name]}) for name in took)
            origin = {"context": run_context(run=run), "producer": Origin(id=run, sequence=1)}
            end = {**origin, "producer": Origin(id=run, sequence=2), "events": 2, "status": "finished"}
            harness.decide(produced(ResultsRecorded(**origin, results=results)), produced(ProducerFinished(**end)))
    rows = ["run-1,1,default,b,3.0", "run-1,1,default,c,2.0", "run-2,1,default,b,3.0", "run-2,1,default,c,2.0"]
    assert file.read_text(encoding="utf-8").splitlines() == rows
