"""Memory of tests and processes: looked at by the relay, in the result's event, the same whenever it is sent."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from testbus_consumers.runs import CONSUMER as RUNS
from testbus_consumers.testing import ConsumerHarness
from testbus_producers.context.run_context import utc_text
from testbus_producers.memory import Memory
from testbus_producers.spool import event_builder
from testbus_producers.spool.batching import Outbox
from testbus_producers.spool.folder import Folder
from testbus_producers.spool.journal import Writer
from testbus_schemas import MetricsRecorded, ResultsRecorded, RunCompleted, decode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.producers.conftest import Project

HUNGRY = """
    import time

    def test_large():
        kept = bytearray(200_000_000)
        for at in range(0, len(kept), 4096):
            kept[at] = 1
        time.sleep(0.8)

    def test_small(): time.sleep(0.8)

    def test_short(): pass
"""


@pytest.mark.parametrize("arguments", [(), ("-n2", "--dist=loadfile")])
def test_a_tests_memory_is_in_its_result_and_the_processes_is_a_metric(
    project: Project, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """Of a test that is too short for a look nothing is said."""
    project.write(test_m=HUNGRY)
    assert project.run(*arguments).status == 0
    with ConsumerHarness(RUNS, tmp_path / "state") as runs:
        runs.deliver(*project.events())
        (decision,) = [event.data for event in runs.emitted if isinstance(event.data, RunCompleted)]
        assert runs.policy.records is not None
        record = runs.policy.records.open(decision.context, decision.revision)
        memory = {node_id: kb for _, node_id, kb in record.memory()}
        metrics = {metric.name: metric.value for _, metric in record.metrics()}
    assert set(memory) == {"test_m.py::test_large", "test_m.py::test_small"}
    assert memory["test_m.py::test_large"] > memory["test_m.py::test_small"] + 150_000
    busy = max(metrics.values())
    assert busy >= memory["test_m.py::test_large"]
    # The controller, and the one worker that has all tests of the file.
    assert (len(metrics), "memory peak" in metrics) == (2 if arguments else 1, True)


def test_it_is_not_looked_at_where_nobody_wants_it(project: Project) -> None:
    """TESTBUS_RECORD leaves it out."""
    project.write(test_m="import time\ndef test_a(): time.sleep(0.7)")
    project.run(TESTBUS_RECORD="environment")
    assert not project.data(MetricsRecorded)
    assert [result.memory_kb for result in project.results()] == [None]


def test_an_event_that_is_sent_again_says_the_same(tmp_path: Path) -> None:
    """Whoever flushes the spool later has looked at no process: what was seen is in the journal."""
    folder = Folder.create(tmp_path, "p1")
    memory = Memory(os.getpid())
    outbox = Outbox(folder, memory=memory)
    outbox.begin("p1", {"project": "p", "run": "r", "started_at": "2026-01-01T00:00:00Z"})
    writer = Writer(folder, max_bytes=1 << 20)
    memory.look()
    now = time.time()
    for name, seconds in (("a", 5.0), ("b", 0.01), ("c", 5.0)):
        result = {"node_id": name, "outcome": "passed", "started_at": utc_text(now - 2), "duration_s": seconds}
        writer.append(event_builder.RESULT, event_builder.to_json(result))
    outbox.cut(writer.written)
    ((_, first),) = outbox.messages(5)
    outbox.close()
    again = Outbox(folder)
    ((_, second),) = again.messages(5)
    again.close()
    writer.close()
    assert first == second
    data = decode(first.body).data
    assert isinstance(data, ResultsRecorded)
    assert [result.memory_kb is not None for result in data.results] == [True, False, True]


def test_what_was_seen_is_bounded(tmp_path: Path) -> None:
    """A test may take hours: of many looks, neighbours become one, and none that was higher is lost."""
    status = tmp_path / "17" / "status"
    status.parent.mkdir()
    memory = Memory(17, folder=tmp_path)
    status.write_text("Name:\tpython\nVmHWM:\t 900 kB\nVmRSS:\t 800 kB\n")
    memory.look()
    status.write_text("Name:\tpython\nVmHWM:\t 900 kB\nVmRSS:\t 100 kB\n")
    for _ in range(10_000):
        memory.look()
    result = {"node_id": "a", "started_at": "1990-01-01T00:00:00Z", "duration_s": 2e9}
    assert memory.of_results([json.dumps(result, separators=(",", ":")).encode()]) == ((0, 800),)
    assert memory.metrics() == {"metrics": [{"name": "memory peak", "value": 900.0, "unit": "KiB", "better": "lower"}]}
    status.write_text("Name:\tpython\nState:\tZ (zombie)\n")
    memory.look()
    assert Memory(18, folder=tmp_path).metrics() is None
