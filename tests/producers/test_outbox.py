"""Spool and outbox: what was said once becomes the same events, whoever makes them and however often."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from harness.support import wait_until
from testbus_producers import settings
from testbus_producers.context import ci, run_context
from testbus_producers.errors import SpoolBusyError, SpoolError
from testbus_producers.spool import event_builder
from testbus_producers.spool.batching import Outbox
from testbus_producers.spool.folder import Folder, folders
from testbus_producers.spool.journal import SEGMENT_BYTES, Writer
from testbus_schemas import ProducerFinished, ResultsRecorded, TestsCollected, decode, encode, wire

if TYPE_CHECKING:
    from pathlib import Path

    from testbus_broker.message import Message

CONTEXT = run_context.begin(settings.read(environ={"TESTBUS_PROJECT": "shop"}), ci.detect({}), run="run-1")


def _result(number: int, **more: Any) -> bytes:
    return event_builder.to_json({"node_id": f"test_a.py::test_{number}", "outcome": "passed"} | more)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Return a new producer's folder."""
    return Folder.create(tmp_path, "producer-1")


def _messages(outbox: Outbox) -> list[Message]:
    return [outbox.message(cut) for cut in outbox.pending]


def _reopened(folder: Folder, outbox: Outbox) -> Outbox:
    outbox.close()
    return Outbox(folder)


def test_events_are_what_the_schemas_would_write(folder: Folder) -> None:
    """Joined bytes say the same as a model that was written by the codec."""
    writer = Writer(folder, max_bytes=1 << 20)
    outbox = Outbox(folder)
    outbox.begin("producer-1", CONTEXT)
    writer.append(event_builder.COLLECTED, event_builder.to_json({"node_ids": ["a", "b"], "chunk": 1, "chunks": 1}))
    writer.append(event_builder.RESULT, _result(1, reason='with "quotes" and ünïcode \udc80'))
    writer.append(
        event_builder.FINISHED,
        event_builder.to_json({"status": "finished", "exit_status": 0, "collected": 2, "reported": 1}),
    )
    outbox.cut(writer.written)
    read = [decode(message.body, message.content_encoding) for message in _messages(outbox)]
    assert [type(event.data) for event in read] == [TestsCollected, ResultsRecorded, ProducerFinished]
    assert [event.routing_key for event in read] == [message.routing_key for message in _messages(outbox)]
    assert [event.id for event in read] == [message.message_id for message in _messages(outbox)]
    for event in read:
        again = encode(event)
        assert decode(again.body, again.content_encoding) == event
    finished = read[-1].data
    assert isinstance(finished, ProducerFinished)
    assert (finished.events, outbox.collected, outbox.results) == (3, 2, 1)


def test_a_heartbeat_is_not_counted(folder: Folder) -> None:
    """It has no position, and nothing of it is written down."""
    outbox = Outbox(folder)
    message = outbox.begin("producer-1", CONTEXT).heartbeat("2026-11-20T11:13:26.123456Z")
    event = decode(message.body, message.content_encoding)
    assert event.data.producer is not None
    assert (event.name, event.data.producer.sequence) == ("producer.heartbeat", None)
    assert outbox.sequence == 0


def test_whoever_comes_later_makes_the_same_bytes(folder: Folder) -> None:
    """Ids, times and cuts come from the journal, not from who reads it or when."""
    writer = Writer(folder, max_bytes=1 << 24)
    outbox = Outbox(folder)
    outbox.begin("producer-1", CONTEXT)
    for number in range(450):
        writer.append(event_builder.RESULT, _result(number, reason="x" * 300))
        if number == 200:
            outbox.cut(writer.written)
    outbox.cut(writer.written)
    before = _messages(outbox)
    assert [cut.count for cut in outbox.pending] == [200, 1, 200, 49]
    assert before[0].content_encoding == "gzip"
    again = _reopened(folder, outbox)
    assert _messages(again) == before
    again.confirm(again.pending[1:2])
    third = _reopened(folder, again)
    assert _messages(third) == [before[0], *before[2:]]
    third.cut(writer.written)
    assert len(third.pending) == 3


def test_events_are_bounded_in_bytes(folder: Folder) -> None:
    """Big results share an event only as far as they fit."""
    writer = Writer(folder, max_bytes=1 << 24)
    outbox = Outbox(folder)
    outbox.begin("producer-1", CONTEXT)
    for number in range(10):
        writer.append(event_builder.RESULT, _result(number, reason="x" * 100_000))
    outbox.cut(writer.written)
    assert [cut.count for cut in outbox.pending] == [2] * 5
    assert all(cut.end - cut.start <= wire.MAX_RESULTS_BYTES + 100 for cut in outbox.pending)


def test_confirmed_segments_vanish_and_make_room(folder: Folder) -> None:
    """The bound is on what still waits, not on what a session said in all."""
    bound = 3 * SEGMENT_BYTES
    writer = Writer(folder, max_bytes=bound)
    outbox = Outbox(folder)
    outbox.begin("producer-1", CONTEXT)
    body = _result(0, reason="x" * 500_000)
    said = 0
    while writer.append(event_builder.RESULT, body):
        said += 1
    assert said == bound // len(body)
    outbox.cut(writer.written)
    assert len(folder.numbers()) == 4
    outbox.confirm(outbox.pending)
    assert len(folder.numbers()) == 1
    wait_until(lambda: writer.append(event_builder.RESULT, body), 5, "the writer sees that there is room")
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "00000004.seg",
        "journal",
        "lock",
        "progress",
        "reserve",
    ]
    again = _reopened(folder, outbox)
    again.cut(writer.written)
    assert [cut.count for cut in again.pending] == [1]
    assert again.results == said + 1


def test_what_must_be_said_fits_also_into_a_full_spool(folder: Folder) -> None:
    """The end of a producer is told, whatever was dropped before."""
    writer = Writer(folder, max_bytes=10)
    assert not writer.append(event_builder.RESULT, _result(1))
    assert writer.append(event_builder.FINISHED, b"{}", always=True)


def test_a_full_disk_is_a_dropped_result(folder: Folder, tmp_path: Path) -> None:
    """Not an exception in somebody's test."""
    writer = Writer(folder, max_bytes=1 << 20)
    writer.close()
    assert not writer.append(event_builder.RESULT, _result(1))
    assert list(tmp_path.iterdir()) == [folder.path]


def test_a_spool_belongs_to_one_process_at_a_time(folder: Folder, tmp_path: Path) -> None:
    """A flush leaves a living producer alone, and takes over a dead one's folder once."""
    with pytest.raises(SpoolBusyError):
        Folder.take(folder.path)
    folder.release()
    taken = Folder.take(folder.path)
    with pytest.raises(SpoolBusyError):
        Folder.take(folder.path)
    taken.remove()
    assert folders(tmp_path) == []


def test_a_spool_is_private(folder: Folder) -> None:
    """Nobody else on the machine reads what tests printed."""
    Writer(folder, max_bytes=1).close()
    assert folder.path.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.path.iterdir())


def test_a_root_that_cannot_be_used_is_an_error_that_says_where(tmp_path: Path) -> None:
    """The message names the folder."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="file/spool"):
        Folder.create(tmp_path / "file" / "spool", "producer-1")


def test_a_torn_tail_is_not_read(folder: Folder) -> None:
    """A record that a kill cut short never existed."""
    writer = Writer(folder, max_bytes=1 << 20)
    writer.append(event_builder.RESULT, _result(1))
    with folder.segment(1).open("ab") as file:
        file.write(b"\x40\x00\x00\x00torn")
    outbox = Outbox(folder)
    outbox.begin("producer-1", CONTEXT)
    outbox.cut((1, folder.segment(1).stat().st_size))
    (message,) = _messages(outbox)
    assert json.loads(message.body)["data"]["results"] == [{"node_id": "test_a.py::test_1", "outcome": "passed"}]


def test_a_forked_child_does_not_hold_the_lock(folder: Folder) -> None:
    """Records of the child never reach the parent's spool."""
    writer = Writer(folder, max_bytes=1 << 20)
    child = os.fork()
    if not child:
        os._exit(int(writer.append(event_builder.RESULT, _result(1))))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert writer.written == (1, 0)
