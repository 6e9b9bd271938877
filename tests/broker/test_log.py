"""The log: what any process appended, every reader gets once, in each writer's order."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from harness.support import wait_until
from testbus_broker.errors import Unconfirmed
from testbus_broker.event_log import SUFFIX, EventLog
from testbus_broker.message import Message
from testbus_broker.segments import SegmentWriter, encode_record, list_segments

if TYPE_CHECKING:
    from pathlib import Path


def message(text: str) -> Message:
    """Return a small message."""
    return Message(body=text.encode(), routing_key="results.recorded.shop", message_id=text)


def texts(log: EventLog, cursor: dict[str, int]) -> list[str]:
    """Return the bodies beyond a cursor, and move the cursor."""
    found = []
    for item, place in log.read(dict(cursor)):
        found.append(item.body.decode())
        cursor.clear()
        cursor.update(place)
    return found


def test_a_message_comes_back_as_it_was(tmp_path: Path) -> None:
    """Body, keys, headers and ids survive, line feeds and zeros included."""
    odd = Message(
        body=b"\n\x00{\n",
        routing_key="verdict",
        exchange="testbus.requests",
        headers={"x-testbus-attempt": 3, "who": "ü"},
        content_type="text/plain",
        content_encoding="gzip",
        message_id="m",
        reply_to="r",
        correlation_id="c",
        timestamp=1_700_000_000,
    )
    with_defaults = Message(body=b"", routing_key="k")
    log = EventLog(tmp_path)
    log.append([odd, with_defaults])
    assert [found for found, _ in log.read({})] == [odd, with_defaults]


def test_reading_goes_on_from_a_cursor(tmp_path: Path) -> None:
    """A cursor survives as JSON, and what was read is not read again."""
    log, cursor = EventLog(tmp_path), dict[str, int]()
    assert texts(log, cursor) == []
    log.append([message("1"), message("2")])
    assert texts(log, cursor) == ["1", "2"]
    cursor = json.loads(json.dumps(cursor))
    assert texts(log, cursor) == []
    log.append([message("3")])
    assert texts(EventLog(tmp_path), cursor) == ["3"]


def test_readers_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Each consumer's cursor is its own."""
    log = EventLog(tmp_path)
    log.append([message("1"), message("2")])
    first = next(log.read({}))[1]
    assert texts(log, dict(first)) == ["2"]
    assert texts(log, {}) == ["1", "2"]


def test_a_reader_may_begin_at_the_end(tmp_path: Path) -> None:
    """A consumer that only wants news starts from `end`."""
    log = EventLog(tmp_path)
    log.append([message("old")])
    cursor = log.end()
    log.append([message("new")])
    assert texts(log, cursor) == ["new"]


def test_large_logs_are_cut_into_segments(tmp_path: Path) -> None:
    """Segments rotate by size, and are read in order."""
    log = EventLog(tmp_path, segment_bytes=500)
    expected = [f"{number:03d}" for number in range(100)]
    for text in expected:
        log.append([message(text)])
    assert len(list_segments(tmp_path / "log", SUFFIX)) > 5
    assert texts(log, {}) == expected


def test_old_segments_of_dead_writers_are_pruned(tmp_path: Path) -> None:
    """Retention removes whole old segments, but never the one that is being written, and cursors stay valid."""
    log = EventLog(tmp_path, segment_bytes=500)
    for number in range(20):
        log.append([message(str(number))])
    files = [segment.path for segment in list_segments(tmp_path / "log", SUFFIX)]
    cursor = log.end()
    assert log.prune(timedelta(days=14)) == 0
    for file in files:
        os.utime(file, (1, 1))
    assert log.prune(timedelta(days=14)) == len(files) - 1
    log.append([message("after")])
    assert texts(log, cursor) == ["after"]
    assert list(cursor) == [segment.name for segment in list_segments(tmp_path / "log", SUFFIX)]


def test_a_torn_tail_is_looked_at_once(tmp_path: Path) -> None:
    """After a crash the reader does not open the file again and again: only a new size makes it look."""
    log, cursor = EventLog(tmp_path), dict[str, int]()
    log.append([message("1")])
    log.close()
    (segment,) = list_segments(tmp_path / "log", SUFFIX)
    whole = segment.path.read_bytes()
    second = encode_record(b'{"routing_key":"k","content_type":"t"}\n2')
    segment.path.write_bytes(whole + bytes(len(second)))
    assert texts(log, cursor) == ["1"]
    segment.path.write_bytes(whole + second)
    assert texts(log, cursor) == []
    segment.path.write_bytes(whole + second + b"\x00")
    assert texts(log, cursor) == ["2"]


def test_damage_is_skipped_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A damaged record, or one of a later version, costs that record and is said."""
    log = EventLog(tmp_path)
    log.append([message("1"), message("2"), message("3")])
    (segment,) = list_segments(tmp_path / "log", SUFFIX)
    end_of_first = next(log.read({}))[1][segment.name]
    data = bytearray(segment.path.read_bytes())
    data[end_of_first + 10] ^= 1
    segment.path.write_bytes(data)
    log.close()
    with SegmentWriter(segment.path) as writer:
        writer.append(b"[1]\nfrom the future")
    assert texts(EventLog(tmp_path), {}) == ["1", "3"]
    assert [record.message.split(" of ")[0].split(" before ")[0] for record in caplog.records] == [
        "skipped a record",
        f"skipped {next(iter(log.read({})))[1][segment.name]} damaged byte(s)",
    ]


def test_a_disk_that_refuses_leaves_the_rest_unconfirmed(tmp_path: Path) -> None:
    """As a publisher the log says which messages it did not take, and why."""
    (tmp_path / "log").touch()
    log = EventLog(tmp_path)
    with pytest.raises(Unconfirmed, match="File exists") as caught:
        log.publish([message("1"), message("2")], 1)
    assert [item.message_id for item in caught.value.unconfirmed] == ["1", "2"]
    (tmp_path / "log").unlink()
    log.publish(caught.value.unconfirmed, 1)
    assert texts(log, {}) == ["1", "2"]


def _append(home: Path, name: str, count: int) -> None:
    log = EventLog(home, segment_bytes=4000)
    for number in range(count):
        log.append([message(f"{name}:{number}")])


def test_processes_append_while_others_read(tmp_path: Path) -> None:
    """With four writing processes, a reader at the same time gets everything once, in each one's order."""
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append, args=(tmp_path, name, 500)) for name in "abcd"]
    for writer in writers:
        writer.start()
    log, cursor, found = EventLog(tmp_path), dict[str, int](), list[str]()

    def all_there() -> bool:
        found.extend(texts(log, cursor))
        return len(found) >= 2000

    wait_until(all_there, 60, "2,000 messages are read")
    for writer in writers:
        writer.join(20)
        assert writer.exitcode == 0
    for name in "abcd":
        mine = [text for text in found if text.startswith(name)]
        assert mine == [f"{name}:{number}" for number in range(500)]


def test_a_forked_child_appends_to_segments_of_its_own(tmp_path: Path) -> None:
    """A log that was used before a fork is used by parent and child alike."""
    log = EventLog(tmp_path)
    log.append([message("parent")])
    child = multiprocessing.get_context("fork").Process(target=log.append, args=([message("child")],))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    log.append([message("parent again")])
    assert sorted(texts(log, {})) == ["child", "parent", "parent again"]
    assert len(list_segments(tmp_path / "log", SUFFIX)) == 2


def test_a_killed_writer_leaves_what_it_appended(tmp_path: Path) -> None:
    """After kill -9 in the middle of appending, an unbroken beginning of what was appended is there."""
    code = (
        "import itertools, pathlib, sys\nfrom testbus_broker.event_log import EventLog\n"
        "from testbus_broker.message import Message\nlog = EventLog(pathlib.Path(sys.argv[1]))\n"
        "for n in itertools.count(): log.append([Message(body=b'%d' % n, routing_key='k')])\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) as process:
        wait_until(lambda: any(EventLog(tmp_path).read({})), 20, "the child appends")
        process.kill()
    found = texts(EventLog(tmp_path), {})
    assert found == [str(number) for number in range(len(found))]
