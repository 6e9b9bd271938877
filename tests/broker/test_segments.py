"""Segments: whatever happens to the writer or to the file, what was appended whole is read whole."""

from __future__ import annotations

import multiprocessing
import resource
import signal
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.support import wait_until
from testbus_broker import segments
from testbus_broker.errors import RecordSizeError, SegmentClosedError, SegmentLockedError
from testbus_broker.segments import SegmentReader, SegmentWriter

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

PAYLOADS = [b"a", b"\x00" * 40, b'{"n":1}\n' * 20, bytes(range(256))]


def write(path: Path, payloads: list[bytes]) -> list[int]:
    """Write a segment and return the ends of its records."""
    with SegmentWriter(path) as writer:
        return [writer.append(payload) for payload in payloads]


def read(path: Path, offset: int = 0) -> list[bytes]:
    """Return the payloads from an offset on."""
    return [record.payload for record in SegmentReader(path, offset)]


def test_what_was_appended_is_read_back_with_its_ends(tmp_path: Path) -> None:
    """Each record comes back in order, with the offset at which reading goes on."""
    ends = write(tmp_path / "a", PAYLOADS)
    records = list(SegmentReader(tmp_path / "a"))
    assert [record.payload for record in records] == PAYLOADS
    assert [record.end for record in records] == ends
    assert read(tmp_path / "a", ends[1]) == PAYLOADS[2:]


def test_a_file_is_private(tmp_path: Path) -> None:
    """Only the owner may read results, whatever the umask."""
    write(tmp_path / "a", [b"secret"])
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_file_torn_at_any_byte_gives_the_whole_records_before(tmp_path: Path) -> None:
    """Cut anywhere, the records before the cut are read, and nothing else."""
    ends = write(tmp_path / "whole", PAYLOADS)
    data = (tmp_path / "whole").read_bytes()
    for cut in range(len(data)):
        (tmp_path / "torn").write_bytes(data[:cut])
        reader = SegmentReader(tmp_path / "torn")
        assert [record.payload for record in reader] == PAYLOADS[: sum(end <= cut for end in ends)]
        assert reader.damages == 0


def test_a_torn_file_is_gone_on_with_after_its_last_whole_record(tmp_path: Path) -> None:
    """A writer that takes over cuts off the torn tail, whatever its length."""
    write(tmp_path / "whole", PAYLOADS)
    data = (tmp_path / "whole").read_bytes()
    for cut in range(len(data)):
        (tmp_path / "torn").write_bytes(data[:cut])
        before = read(tmp_path / "torn")
        write(tmp_path / "torn", [b"next"])
        assert read(tmp_path / "torn") == [*before, b"next"]


@settings(max_examples=200, deadline=None)
@given(
    payloads=st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=8),
    damage=st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1, max_size=3),
)
def test_flipped_bits_never_give_garbage(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[bytes], damage: list[tuple[int, int]]
) -> None:
    """With bytes changed anywhere, what is read is a part of what was written, in order."""
    path = tmp_path_factory.mktemp("damage") / "a"
    write(path, payloads)
    data = bytearray(path.read_bytes())
    for position, flip in damage:
        data[position % len(data)] ^= flip
    path.write_bytes(data)
    remaining = iter(payloads)
    assert all(any(found == payload for payload in remaining) for found in read(path))


def test_a_damaged_record_is_skipped_and_counted(tmp_path: Path) -> None:
    """The records behind a damaged one are still read, and the damage is reported."""
    ends = write(tmp_path / "a", PAYLOADS)
    for position in range(ends[0], ends[1]):
        data = bytearray((tmp_path / "a").read_bytes())
        data[position] ^= 0xFF
        (tmp_path / "b").write_bytes(data)
        reader = SegmentReader(tmp_path / "b")
        assert [record.payload for record in reader] == [PAYLOADS[0], *PAYLOADS[2:]]
        assert (reader.damages, reader.damaged_bytes) == (1, ends[1] - ends[0])


def test_a_stretch_of_zeros_is_no_record(tmp_path: Path) -> None:
    """Blocks that a power failure left empty end the reading."""
    write(tmp_path / "a", [b"one"])
    with (tmp_path / "a").open("ab") as file:
        file.write(bytes(4096))
    assert read(tmp_path / "a") == [b"one"]


def test_searching_a_damaged_file_takes_bounded_time(tmp_path: Path) -> None:
    """A megabyte of noise that looks like headers is given up soon."""
    (tmp_path / "a").write_bytes(b"\x01\x02\x03\x04" + b"\x00\x00\x08\x00" * (1 << 18))
    assert read(tmp_path / "a") == []


@pytest.mark.parametrize("size", [0, segments.MAX_RECORD_BYTES + 1])
def test_a_record_out_of_bounds_is_refused(tmp_path: Path, size: int) -> None:
    """An empty or an enormous record raises an error, and the file stays as it was."""
    with SegmentWriter(tmp_path / "a") as writer:
        with pytest.raises(RecordSizeError, match="cut it"):
            writer.append(bytes(size))
        assert writer.size == 0


def test_a_reader_reads_on_while_the_writer_appends(tmp_path: Path) -> None:
    """Iterating again gives what was appended since."""
    with SegmentWriter(tmp_path / "a") as writer:
        writer.append(b"one")
        reader = SegmentReader(tmp_path / "a")
        assert [record.payload for record in reader] == [b"one"]
        assert list(reader) == []
        writer.append(b"two")
        assert [record.payload for record in reader] == [b"two"]


def test_a_record_that_is_written_while_it_is_read_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of it was there, then the other half came, and another record behind it: both are read."""
    path = tmp_path / "1.seg"
    half = segments.encode_record(PAYLOADS[2])
    path.write_bytes(half[:20])
    read_payload = segments._read_payload

    def interrupted(file: BinaryIO) -> bytes | None:
        found = read_payload(file)
        if found is None and path.stat().st_size == 20:
            with path.open("ab") as writer:
                writer.write(half[20:] + segments.encode_record(PAYLOADS[3]))
        return found

    monkeypatch.setattr(segments, "_read_payload", interrupted)
    reader = SegmentReader(path)
    assert [record.payload for record in reader] == [PAYLOADS[2], PAYLOADS[3]]
    assert (reader.damages, reader.damaged_bytes) == (0, 0)


def test_threads_share_a_writer(tmp_path: Path) -> None:
    """Appends of several threads do not mix."""
    with SegmentWriter(tmp_path / "a") as writer:

        def append(mark: int) -> None:
            for index in range(500):
                writer.append(f"{mark}:{index}:".encode() + bytes([mark]) * 200)

        threads = [threading.Thread(target=append, args=(mark,)) for mark in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = read(tmp_path / "a")
    for mark in range(4):
        mine = [payload for payload in found if payload.startswith(b"%d:" % mark)]
        assert mine == [f"{mark}:{index}:".encode() + bytes([mark]) * 200 for index in range(500)]


def test_a_live_writer_is_told_from_a_dead_one(tmp_path: Path) -> None:
    """While the writing process lives the file is owned and locked; after kill -9 it is free and whole."""
    path = tmp_path / "a"
    code = (
        "import pathlib, signal, sys\nfrom testbus_broker.segments import SegmentWriter\n"
        "writer = SegmentWriter(pathlib.Path(sys.argv[1]))\nwhile True: writer.append(b'x' * 500)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)]) as process:
        wait_until(lambda: path.exists() and path.stat().st_size > 50_000, 20, "the child writes")
        assert segments.is_owned(path)
        with pytest.raises(SegmentLockedError, match="leave it alone"):
            SegmentWriter(path)
        process.send_signal(signal.SIGKILL)
    assert not segments.is_owned(path)
    assert set(read(path)) == {b"x" * 500}
    write(path, [b"crashed"])
    assert read(path)[-1] == b"crashed"


def test_a_missing_segment_is_not_owned(tmp_path: Path) -> None:
    """A file that another process removed has no owner."""
    assert not segments.is_owned(tmp_path / "gone")


def _in_child(writer: SegmentWriter, answers: multiprocessing.connection.Connection) -> None:
    try:
        writer.append(b"from the child")
    except SegmentClosedError as error:
        answers.send(str(error))
    answers.recv()


def test_a_forked_child_does_not_write_its_parents_segment(tmp_path: Path) -> None:
    """In a child the writer is closed, and the child does not keep the parent's lock."""
    context = multiprocessing.get_context("fork")
    writer = SegmentWriter(tmp_path / "a")
    ours, theirs = context.Pipe()
    child = context.Process(target=_in_child, args=(writer, theirs))
    child.start()
    assert ours.poll(20)
    assert "parent" in ours.recv()
    writer.append(b"from the parent")
    assert segments.is_owned(tmp_path / "a")
    writer.close()
    assert not segments.is_owned(tmp_path / "a")
    ours.send("go")
    child.join(20)
    assert child.exitcode == 0
    assert read(tmp_path / "a") == [b"from the parent"]


def _fill(path: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))
    with SegmentWriter(path) as writer:
        writer.append(b"x" * 1000)
        try:
            writer.append(b"y" * 1000)
        except OSError:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            writer.append(b"z" * 1000)


def test_a_full_disk_leaves_no_half_record(tmp_path: Path) -> None:
    """When the file cannot grow, the append raises and takes its part back, and later appends are whole."""
    child = multiprocessing.get_context("fork").Process(target=_fill, args=(tmp_path / "a",))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    reader = SegmentReader(tmp_path / "a")
    assert [record.payload[:1] for record in reader] == [b"x", b"z"]
    assert reader.damages == 0


def test_fsync_is_possible(tmp_path: Path) -> None:
    """A writer that waits for the disk writes the same file."""
    with SegmentWriter(tmp_path / "a", fsync=True) as writer:
        writer.append(b"one")
        writer.sync()
    writer.sync()
    assert writer.closed
    assert read(tmp_path / "a") == [b"one"]
