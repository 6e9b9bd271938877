"""Reading another queue's state: nothing is written, nobody is held up, and what is not there is no empty answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import DBAPIError

from harness import services
from harness.events import FakeProducer
from testbus_consumers.errors import NoRecordError, NoStateError
from testbus_consumers.gates import CONSUMER as GATES
from testbus_consumers.records.reading import Records
from testbus_consumers.records.tables import RUN, SHARDS
from testbus_consumers.runs import CONSUMER as RUNS
from testbus_consumers.runtime.outcomes import passes
from testbus_consumers.store import open_store
from testbus_consumers.store.reader import StateReader
from testbus_consumers.testing import ConsumerHarness, run_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the URL of a state that is empty."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'state'}"
        return
    request.getfixturevalue("database_url")
    with services.database(tmp_path) as own:
        yield own


@pytest.fixture
def reader(url: str) -> Iterator[StateReader]:
    """Give what reads it."""
    made = StateReader(url)
    yield made
    made.close()


def test_a_state_that_is_not_there_is_said_to_be_so(reader: StateReader) -> None:
    """Not made yet is something else than empty; whoever waits for it gives nothing up."""
    with pytest.raises(NoStateError) as caught, reader.of("runs") as connection:
        connection.execute(select(RUN)).all()
    assert passes(caught.value)


def test_a_reader_sees_what_is_committed_and_waits_for_nobody(url: str, reader: StateReader, tmp_path: Path) -> None:
    """A writer in the middle of its transaction holds no reader up, and no reader a writer."""
    with ConsumerHarness(RUNS, tmp_path, state_url=url) as runs:
        runs.deliver(FakeProducer("p1").started())
        with reader.of("runs") as connection:
            before = connection.execute(select(RUN.c.run)).scalars().all()
            with runs.policy.store.begin() as writing:
                writing.execute(insert(SHARDS).values(project="web", run="run-1", variant="", total=2, heard_at=0))
                assert connection.execute(select(SHARDS)).all() == []
            # One moment is seen to the end, whatever is committed meanwhile.
            assert connection.execute(select(SHARDS)).all() == []
        with reader.of("runs") as connection:
            assert connection.execute(select(SHARDS.c.total)).scalars().all() == [2]
    assert before == ["run-1"]


def test_a_reader_cannot_write(url: str, reader: StateReader, tmp_path: Path) -> None:
    """Whatever its code does."""
    with ConsumerHarness(RUNS, tmp_path, state_url=url):
        pass
    with pytest.raises(DBAPIError, match=r"read-?only"), reader.of("runs") as connection:
        connection.execute(insert(SHARDS).values(project="web", run="run-1", variant="", total=2, heard_at=0))


def test_a_decision_that_was_not_kept_is_asked_for_by_name(url: str, tmp_path: Path) -> None:
    """The message says what brings it back."""
    with ConsumerHarness(RUNS, tmp_path, state_url=url) as runs:
        runs.deliver(*FakeProducer("p1").whole(test_a="passed"))
    records = Records(StateReader(url))
    try:
        assert records.open(run_context(), 1).counts == {"passed": 1}
        with pytest.raises(NoRecordError, match="decision 2 about run run-1 of project web: testbus replay runs"):
            records.open(run_context(), 2)
        with pytest.raises(NoRecordError, match="of project other"):
            records.open(run_context(project="other"), 1)
    finally:
        records.close()


def test_the_state_of_another_queue_is_untouched_by_reading(tmp_path: Path) -> None:
    """Opening makes no file, and no table."""
    reader = StateReader(f"sqlite:///{tmp_path}")
    open_store(f"sqlite:///{tmp_path}", GATES.name).close()
    with pytest.raises(NoStateError, match="runs has no state"), reader.of("runs"):
        pass
    reader.close()
    assert not (tmp_path / "runs.sqlite3").exists()
