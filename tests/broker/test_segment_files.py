"""Segment files: found again in the order in which they were written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbus_broker.segments import list_segments, segment_name

if TYPE_CHECKING:
    from pathlib import Path


def test_segments_are_listed_in_order_of_writing(tmp_path: Path) -> None:
    """Sorted by writer and number, without files of other kinds."""
    names = [segment_name(writer, number, ".log") for writer in ("b", "a-1") for number in (10, 2, 1_000_000)]
    for name in [*names, "a-000001.txt", "README.log", ".a-000001.log", ".a-000002.log.new"]:
        (tmp_path / name).touch()
    found = list_segments(tmp_path, ".log")
    assert [(segment.writer, segment.number) for segment in found] == [
        ("a-1", 2), ("a-1", 10), ("a-1", 1_000_000), ("b", 2), ("b", 10), ("b", 1_000_000),
    ]  # fmt: skip
    assert found[0].name == "a-1-000002.log"
    assert list_segments(tmp_path / "none", ".log") == []
