"""The embedded bus, where its own state cannot be written."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from structlog.testing import capture_logs

from harness.support import wait_until
from testbus_broker.event_log import EventLog
from testbus_broker.message import message_of
from testbus_broker.topology import Subscription
from testbus_consumers.embedded import state
from testbus_consumers.embedded.queue_worker import QueueWorker
from testbus_consumers.embedded.state import begin_positions
from testbus_consumers.runtime import Done, Effects, Outcome, effect
from testbus_schemas import Event, ResultsRecorded
from tests.consumers.runtime.samples import an_event, harness_of, sample

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_an_event_whose_end_cannot_be_kept_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state is held by somebody else, or its disk is full, just when an event is put off: it is not lost."""
    monkeypatch.setattr("testbus_consumers.store.engine._BUSY_S", 0.05)
    others: list[sqlite3.Connection] = []
    done: list[str] = []

    def handle(event: Event[ResultsRecorded], effects: Effects[Any, Any]) -> Outcome:
        if not others:
            file = effects.store.engine.url.database
            assert file
            others.append(sqlite3.connect(file, check_same_thread=False, isolation_level=None))
            others[0].execute("BEGIN IMMEDIATE")
            raise ConnectionError("the target is unreachable")
        done.append(event.id)
        return Done()

    log = EventLog(tmp_path / "home")
    with harness_of(sample({ResultsRecorded: effect(handle)}), tmp_path) as harness:
        with harness.policy.store.begin() as connection:
            state.create(connection)
            begin_positions(connection, {})
        queue_worker = QueueWorker(Subscription(name="sample", patterns=("results.recorded.*",)), harness.policy, log)
        event = an_event()
        log.publish([message_of(event)], 5)
        with capture_logs() as told:
            queue_worker.start()
            wait_until(
                lambda: any(line["event"].startswith("queue worker failed") for line in told), 30, "nothing is kept"
            )
        others[0].rollback()
        others[0].close()
        # The lease on the event, which could not be given back, is over.
        harness.run_timers(advance_s=60)
        wait_until(lambda: event.id in done, 30, "the event is done")
        assert queue_worker.stop(5)
