"""Spools on bad disks: full, damaged, copied, of another version, left half deleted; and clocks that jump."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from testbus_broker.event_log import EventLog
from testbus_producers import flush, settings
from testbus_producers.context import ci, run_context
from testbus_producers.spool import event_builder
from testbus_producers.spool.batching import Outbox
from testbus_producers.spool.folder import FORMAT, LOCK, Folder, folders
from testbus_producers.spool.journal import JOURNAL, Writer
from testbus_schemas import ProducerFinished, ResultsRecorded, RunContext, decode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testbus_schemas import Event, EventData
    from tests.producers.conftest import Project

CONTEXT = run_context.begin(settings.read(environ={"TESTBUS_PROJECT": "shop"}), ci.detect({}), run="run-1")


def _spool(root: Path, producer: str, results: int) -> Path:
    """Write the spool of a producer that was killed before it sent anything; each result is an event's worth."""
    folder = Folder.create(root, producer)
    writer = Writer(folder, max_bytes=1 << 24)
    writer.append(event_builder.CONTEXT, event_builder.to_json(CONTEXT))
    for number in range(results):
        body = {"node_id": f"test_a.py::test_{number}", "outcome": "passed", "reason": "x" * 100_000}
        assert writer.append(event_builder.RESULT, event_builder.to_json(body))
    writer.close()
    folder.release()
    return folder.path


def _cut(path: Path) -> list[dict[str, Any]]:
    """Cut a spool into events, as its sender would, and return what the journal says."""
    folder = Folder.take(path)
    outbox = Outbox(folder)
    outbox.begin(path.name, CONTEXT)
    last = folder.numbers()[-1]
    outbox.cut((last, folder.segment(last).stat().st_size))
    outbox.close()
    folder.release()
    return [vars(cut) for cut in outbox.pending]


def _arrived(home: Path) -> list[Event[EventData]]:
    return [decode(message.body, message.content_encoding) for message, _ in EventLog(home).read({})]


def _results(home: Path) -> list[int]:
    found = [event.data.results for event in _arrived(home) if isinstance(event.data, ResultsRecorded)]
    return sorted(int(result.node_id.rpartition("_")[2]) for results in found for result in results)


def _end(home: Path) -> ProducerFinished:
    (end,) = (event.data for event in _arrived(home) if isinstance(event.data, ProducerFinished))
    return end


def _damage(path: Path, at: int, size: int = 50) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(os.urandom(size))


def test_garbage_in_a_segment_costs_only_what_it_hit(tmp_path: Path) -> None:
    """A damaged record is passed over; the flush says so, and the end counts it, so that the run is not complete."""
    path = _spool(tmp_path / "spool", "producer-1", 100)
    assert len(list(path.glob("*.seg"))) > 2
    _damage(path / "00000001.seg", 1_050_000)
    with (path / "00000002.seg").open("ab") as file:
        file.write(b"\x40\x00\x00\x00torn")
    report = flush(tmp_path / "spool", (tmp_path / "home").as_uri(), 60)
    assert (report.producers, report.remaining, report.damaged) == (1, 0, 1)
    assert len(_results(tmp_path / "home")) == 99
    end = _end(tmp_path / "home")
    assert (end.reported, end.dropped, end.status) == (99, 1, "crashed")


def test_garbage_in_events_that_were_cut_before(tmp_path: Path) -> None:
    """What the journal says was there, and is not any more, is counted as well."""
    path = _spool(tmp_path / "spool", "producer-1", 10)
    assert [cut["count"] for cut in _cut(path)] == [2] * 5
    _damage(path / "00000001.seg", 150_000)
    _damage(path / "00000001.seg", 450_000, 120_000)
    report = flush(tmp_path / "spool", (tmp_path / "home").as_uri(), 60)
    found = _results(tmp_path / "home")
    assert report.damaged == 10 - len(found) > 1
    assert _end(tmp_path / "home").dropped == report.damaged


@pytest.mark.parametrize("lost", range(5))
def test_a_damaged_journal_is_made_good(tmp_path: Path, lost: int) -> None:
    """An event whose place was lost lies between its neighbours: nothing is missing, nothing has another's id."""
    path = _spool(tmp_path / "spool", "producer-1", 10)
    before = _cut(path)
    journal = path / JOURNAL
    data = journal.read_bytes()
    at = data.index(b'["cut",%d,' % before[lost]["sequence"])
    _damage(journal, at, 4)
    report = flush(tmp_path / "spool", (tmp_path / "home").as_uri(), 60)
    assert (report.producers, report.remaining, report.damaged) == (1, 0, 0)
    assert _results(tmp_path / "home") == list(range(10))
    sequences = [event.data.producer.sequence for event in _arrived(tmp_path / "home") if event.data.producer]
    assert sorted(number for number in sequences if number) == list(range(1, _end(tmp_path / "home").events + 1))


@pytest.mark.parametrize("lost", range(7))
def test_what_the_relay_recorded_is_made_good_as_well(tmp_path: Path, lost: int) -> None:
    """It lies in a file of its own, and its neighbours in the journal are the producer's records."""
    path = _spool(tmp_path / "spool", "producer-1", 4)
    folder = Folder.take(path)
    outbox = Outbox(folder)
    outbox.begin(path.name, CONTEXT)
    end = 0
    for kind, body in ((event_builder.ENVIRONMENT, {"python": "3"}), (event_builder.CHANGE, {"tree": "0123456"})):
        (_, end), *_ = [(payload, at) for payload, at in folder.records(1, end) if payload[:1] == event_builder.RESULT]
        outbox.cut((1, end))
        outbox.record(kind, event_builder.to_json(body))
    last = folder.numbers()[-1]
    outbox.cut((last, folder.segment(last).stat().st_size))
    assert outbox.has_recorded(event_builder.CHANGE)
    before = outbox.messages(100)
    outbox.close()
    folder.release()
    data = (path / JOURNAL).read_bytes()
    at = min(data.find(b'["%b",%d,' % (what, lost)) % (len(data) + 1) for what in (b"cut", b"relayed"))
    if lost:
        _damage(path / JOURNAL, at, 4)
    report = flush(tmp_path / "spool", (tmp_path / "home").as_uri(), 60)
    assert (report.producers, report.remaining, report.damaged) == (1, 0, 0)
    assert _results(tmp_path / "home") == list(range(4))
    arrived = {event.id: event.data for event in _arrived(tmp_path / "home")}
    assert len(arrived) == _end(tmp_path / "home").events
    for _, message in before:
        assert arrived[str(message.message_id)] == decode(message.body, message.content_encoding).data


def test_a_spool_beyond_repair_does_not_keep_back_the_others(tmp_path: Path) -> None:
    """One without its first record, one of a newer version: both stay, are named, and the rest is sent."""
    root = tmp_path / "spool"
    _damage(_spool(root, "a-headless", 3) / "00000001.seg", 0)
    newer = _spool(root, "b-newer", 3)
    (newer / LOCK).write_text(f"testbus spool {FORMAT + 1}\n")
    _spool(root, "c-fine", 3)
    report = flush(root, (tmp_path / "home").as_uri(), 60)
    assert (report.producers, report.remaining) == (1, 2)
    assert "a-headless: its first record is damaged" in (report.reason or "")
    assert [path.name for path in folders(root)] == ["a-headless", "b-newer"]
    shutil.rmtree(root / "a-headless")
    assert "newer testbus" in (flush(root, (tmp_path / "home").as_uri(), 60).reason or "")


@pytest.mark.parametrize("lock", [b"", b"testbus spool 1\n"])
def test_a_spool_of_the_first_version_is_sent(tmp_path: Path, lock: bytes) -> None:
    """Its lock said nothing, or 1, and there was no reserve; a hidden file that a kill left is in nobody's way."""
    path = _spool(tmp_path / "spool", "producer-1", 3)
    (path / "reserve").unlink()
    (path / LOCK).write_bytes(lock)
    (path / f".{JOURNAL}.new").write_bytes(b"")
    (path / ".00000002.seg.new").write_bytes(b"")
    assert flush(tmp_path / "spool", (tmp_path / "home").as_uri(), 60).producers == 1
    assert _results(tmp_path / "home") == [0, 1, 2]


def test_what_was_confirmed_is_never_seen_half_deleted(tmp_path: Path) -> None:
    """A deletion that a kill broke off is finished by whoever comes next, and nothing of it is sent again."""
    path = _spool(tmp_path / "spool", "producer-1", 3)
    path.rename(path.with_name(".done-producer-1"))
    report = flush(tmp_path / "spool", (tmp_path / "home").as_uri(), 60)
    assert (report.events, report.producers) == (0, 0)
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of two megabytes; skipped where nobody may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = [*([] if os.geteuid() == 0 else ["sudo", "-n"]), "mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk]
    if shutil.which(str(mount[0])) is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield disk
    subprocess.run([*mount[: mount.index("mount")], "umount", disk], check=True)


@pytest.mark.parametrize("url", ["home", "refused"])
def test_a_full_disk_costs_results_that_are_counted(project: Project, small_disk: Path, url: str) -> None:
    """The tests go on with their exit status; the end is told from the room that was kept, with what is missing."""
    project.write(
        test_loud="""
            import pytest
            @pytest.mark.parametrize("n", range(200))
            def test_loud(n):
                print("x" * 30_000)
                assert n % 2
        """
    )
    told = {"TESTBUS_SPOOL": str(small_disk / "spool"), "TESTBUS_OUTPUT": "all"}
    (small_disk / "filled").write_bytes(bytes(1_000_000))
    if url == "refused":
        told["TESTBUS_URL"] = "amqp://127.0.0.1:1/"
    ran = project.run("--tb=no", **told)
    assert ran.status == 1
    if url == "refused":
        assert "results did not fit into the spool (its disk, or TESTBUS_SPOOL_MAX_MB): lost" in ran.line
        assert flush(small_disk / "spool", project.home.as_uri(), 60).remaining == 0
    (end,) = project.data(ProducerFinished)
    assert (end.status, end.exit_status) == ("finished", 1)
    assert end.reported == len(project.results())
    assert end.reported + end.dropped == 200
    assert url == "home" or end.dropped > 100


def test_clocks_that_jump_and_stand_still(project: Project) -> None:
    """Tests that move or stop Python's clocks change neither the times of events nor what is sent when."""
    project.write(
        test_clock="""
            import itertools, time, pytest
            real = time.time, time.monotonic
            jumps = itertools.cycle([0.0, 4e9, 1e6])
            @pytest.fixture(autouse=True, scope="session")
            def moved():
                time.time, time.monotonic = (lambda: next(jumps)), (lambda: 5.0)
                yield
                time.time, time.monotonic = real
            @pytest.mark.parametrize("n", range(30))
            def test_moved(n): time.sleep(0.03)
        """
    )
    ran = project.run(TESTBUS_HEARTBEAT="1")
    assert ran.status == 0
    assert "30 results in" in ran.line
    found = project.events()
    assert len({event.id for event in found}) == len(found)
    moments = [event.time for event in found]
    assert (max(moments) - min(moments)).total_seconds() < 60
    assert len(project.results()) == 30


def test_the_context_is_one_that_the_schemas_take() -> None:
    """The spools of these tests say what a real one says."""
    assert RunContext.model_validate(json.loads(event_builder.to_json(CONTEXT))).run == "run-1"


def test_results_that_did_not_fit_make_the_run_incomplete(project: Project) -> None:
    """The whole way: dropped at the runner, told at its end, said by the verdict, and never `passed`."""
    project.write(
        test_many="""
            import testbus
            def test_many():
                for n in range(4):
                    testbus.attach(b"x" * 500_000)
        """
    )
    told = {name: text for name, text in project.environ.items() if name != "TESTBUS_URL"}
    told |= {"TESTBUS_SPOOL_MAX_MB": "1", "TESTBUS_OUTPUT": "all", "TESTBUS_RUN_ID": "r1"}
    command = [sys.executable, "-m", "testbus", "run", "--", sys.executable, "-m", "pytest", "-q"]
    ran = subprocess.run(command, cwd=project.root, env=told, capture_output=True, text=True, check=False)
    assert "1 passed" in ran.stdout
    assert ran.returncode == 3
    assert "results did not fit into the spool" in ran.stdout
    assert "INCOMPLETE  " in ran.stdout
    assert "results did not fit into its spool" in ran.stdout
