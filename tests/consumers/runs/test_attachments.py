"""Attached files are kept by their digest, as long as the events of their run and within its limit."""

from __future__ import annotations

import base64
import hashlib
import time
from typing import TYPE_CHECKING

import pytest

from harness.events import FakeProducer
from testbus_consumers.runs import CONSUMER as RUNS
from testbus_consumers.runs.recomputing import delete_bodies
from testbus_consumers.testing import ConsumerHarness, run_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testbus_consumers.records.reading import Record

#: A screenshot, and one that is too large beside it.
SMALL, LARGE = b"\x89PNG\0\xff" * 10, b"\0" * 90


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[ConsumerHarness]:
    """Give a `runs` that keeps 100 bytes of attached files of a run."""
    with ConsumerHarness(RUNS, tmp_path, {"attachments_mb_per_run": 0.0001}) as made:
        yield made


@pytest.fixture
def record(runs: ConsumerHarness) -> Record:
    """Return the record of a run to which the small file was attached twice, then the large one, and an address."""
    one = FakeProducer()
    files = [
        one.artifact(name="a.png", node_id="test_x", media_type="image/png", content=base64.b64encode(SMALL).decode()),
        one.artifact(name="b.png", content=base64.b64encode(SMALL).decode()),
        one.artifact(name="big.bin", content=base64.b64encode(LARGE).decode()),
        one.artifact(name="video", url="https://ci.example.org/video"),
        one.artifact(name="odd", content="no base64"),
    ]
    runs.deliver(one.started(), one.results(x="passed"), *files, one.finished())
    assert runs.policy.records is not None
    found = runs.policy.records.latest(run_context())
    assert found is not None
    return found


def test_a_file_is_read_by_its_digest(record: Record) -> None:
    """Two of one content are one; of what is beyond the limit there are name and size."""
    small, large = (hashlib.sha256(content).hexdigest() for content in (SMALL, LARGE))
    found = [(one.name, one.node_id, one.size, one.sha256, one.url) for one in record.attachments()]
    assert found == [
        ("a.png", "test_x", len(SMALL), small, None),
        ("b.png", None, len(SMALL), small, None),
        ("big.bin", None, len(LARGE), large, None),
        ("video", None, None, None, "https://ci.example.org/video"),
        ("odd", None, None, None, None),
    ]
    assert record.attachment(small) == SMALL
    assert record.attachment(large) is None


def test_a_file_goes_with_the_bodies_of_events(runs: ConsumerHarness, record: Record) -> None:
    """What was attached is still told."""
    with runs.policy.store.begin() as connection:
        delete_bodies(connection, time.time() + 60)
    assert record.attachment(hashlib.sha256(SMALL).hexdigest()) is None
    assert len(list(record.attachments())) == 5


def test_no_file_of_another_run_is_given(runs: ConsumerHarness, record: Record) -> None:
    """Who knows a digest learns nothing of other runs."""
    other = FakeProducer("p2", run_context(run="run-2"))
    runs.deliver(*other.whole(x="passed"))
    assert runs.policy.records is not None
    second = runs.policy.records.latest(run_context(run="run-2"))
    assert second is not None
    assert record.attachment(hashlib.sha256(SMALL).hexdigest()) == SMALL
    assert second.attachment(hashlib.sha256(SMALL).hexdigest()) is None
