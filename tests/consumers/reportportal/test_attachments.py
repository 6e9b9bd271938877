"""Attached files: once, at their test or at the launch, or where they can be found."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from harness.looks import SETTLED_S, only
from harness.runs_of import START, passed, recorded
from testbus_consumers.runtime.delivery import Acknowledge, DeadLetter, Delay
from testbus_consumers.testing import run_context
from testbus_schemas import ArtifactRecorded, Event, EventData, Origin, produced
from testbus_schemas.artifacts import MAX_CONTENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import ReportPortalServer
    from testbus_sandbox.reportportal.models import LogEntry

CONTEXT = run_context(started_at=START)

#: A picture, as far as its media type goes.
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def artifact(sequence: int = 9, **fields: Any) -> Event[EventData]:
    """Return an artifact.recorded."""
    given = {"context": CONTEXT, "name": "shot.png"} | fields
    data = ArtifactRecorded(producer=Origin(id="p1", sequence=sequence), **given)
    return produced(data, time=START + timedelta(seconds=5))


def content(data: bytes = PICTURE) -> dict[str, str]:
    """Return the fields of an event that brings a file."""
    return {"content": base64.b64encode(data).decode(), "media_type": "image/png"}


def logs(portal: ReportPortalServer, name: str = "test_a") -> tuple[LogEntry, ...]:
    """Return the log entries of a test."""
    return only(portal).named(name).logs


def test_a_file_is_a_log_entry_of_its_test(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """With its bytes, media type and instant."""
    worker.deliver(recorded(CONTEXT, passed("test_a")), artifact(node_id="test_a", **content()))
    (log,) = logs(portal)
    assert log.attachment is not None
    assert (log.attachment.name, log.attachment.content_type, log.attachment.content) == (
        "shot.png",
        "image/png",
        PICTURE,
    )
    assert (log.level, log.message, log.time) == (
        "INFO",
        "shot.png",
        START.replace(microsecond=123000) + timedelta(seconds=5),
    )
    assert only(portal).logs == ()


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_file_belongs_to_its_attempt(worker: ConsumerHarness, portal: ReportPortalServer, attempt: int) -> None:
    """Also to one that is a retry by now."""
    worker.deliver(recorded(CONTEXT, passed("test_a", outcome="failed"), passed("test_a", attempt=2)))
    worker.deliver(artifact(node_id="test_a", attempt=attempt, **content()))
    found = [item for item in only(portal).items if item.logs]
    assert [item.retry_of is None for item in found] == [attempt == 2]


def test_a_file_of_the_run_is_the_launchs(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """Also if it is the first that is heard of the run."""
    worker.deliver(artifact(**content()))
    assert [log.attachment is not None for log in only(portal).logs] == [True]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "report", "url": "https://ci.example.com/report"}, "report · https://ci.example.com/report"),
        ({"name": "core.zip", "path": "out/core.zip"}, "core.zip · on the runner: out/core.zip"),
        ({"name": "empty.txt", "content": ""}, "empty.txt · an empty file"),
        ({"name": "odd.bin", "content": "no base64!"}, "odd.bin · its content cannot be read: "),
        ({"name": "a\x00b", "path": "x"}, "a\ufffdb · on the runner: x"),
    ],
)
def test_without_a_file_the_entry_says_where_it_is(
    worker: ConsumerHarness, portal: ReportPortalServer, fields: dict[str, str], message: str
) -> None:
    """An address, a path on the runner, or why there is none."""
    assert isinstance(worker.deliver(artifact(**fields)), Acknowledge)
    (log,) = only(portal).logs
    assert log.attachment is None
    assert log.message.startswith(message)


def test_names_and_types_that_no_header_can_carry_are_made_plain(
    worker: ConsumerHarness, portal: ReportPortalServer
) -> None:
    """The entry's text has the whole name."""
    name = 'Bildschirm "größe"\r\nX: 1/ 📷.png'
    event = artifact(name=name, **content() | {"media_type": "image/png\r\nX-Evil: 1"})
    assert isinstance(worker.deliver(event), Acknowledge)
    (log,) = only(portal).logs
    assert log.attachment is not None
    assert log.attachment.name == "Bildschirm__gr__e___X__1___.png"
    assert log.attachment.content_type == "application/octet-stream"
    assert "größe" in log.message
    assert "📷" in log.message


def test_the_largest_file_that_goes_along_arrives(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """Byte for byte; a busy machine takes its time for it."""
    data = bytes(range(256)) * (MAX_CONTENT_BYTES // 256)
    assert isinstance(make_worker(timeout_s=30).deliver(artifact(**content(data))), Acknowledge)
    (log,) = only(portal).logs
    assert log.attachment is not None
    assert log.attachment.content == data


@pytest.mark.parametrize("act_first", [True, False])
def test_a_lost_answer_attaches_nothing_twice(
    worker: ConsumerHarness, portal: ReportPortalServer, *, act_first: bool
) -> None:
    """The next delivery looks whether it is there."""
    portal.faults.status(500, method="POST", path="/log$", times=1, act_first=act_first)
    event = artifact(node_id="test_a", **content())
    worker.deliver(recorded(CONTEXT, passed("test_a")))
    assert isinstance(worker.deliver(event), Delay)
    worker.run_timers(SETTLED_S)
    assert isinstance(worker.deliver(event), Acknowledge)
    assert worker.deliver(event) == Acknowledge(note="already done")
    assert len(logs(portal)) == 1


def test_a_file_waits_for_its_test(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """Uncounted, and however old the event is; ReportPortal would give it to the launch without a word."""
    event = artifact(node_id="test_a", **content())
    settlement = worker.deliver(event)
    assert isinstance(settlement, Delay)
    assert (settlement.attempt, settlement.seconds) == (0, 5)
    assert only(portal).logs == ()
    worker.deliver(recorded(CONTEXT, passed("test_a")), event)
    assert len(logs(portal)) == 1


def test_a_file_of_a_test_that_never_comes_is_the_launchs(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """After ten minutes of waiting, with the test's name."""
    event = artifact(node_id="test_a", **content())
    worker.deliver(event)
    worker.run_timers(599)
    assert isinstance(worker.deliver(event), Delay)
    worker.run_timers(2)
    assert worker.deliver(event) == Acknowledge(note="shot.png to the launch")
    (log,) = only(portal).logs
    assert log.message == "shot.png · of test_a, which was not reported"


def test_a_file_that_is_refused_is_told(worker: ConsumerHarness, portal: ReportPortalServer) -> None:
    """A gateway that takes no such size: the event is among the dead letters, nothing else is held up."""
    portal.faults.status(413, method="POST", path="/log$")
    assert isinstance(worker.deliver(artifact(**content())), DeadLetter)


def test_files_follow_the_targets_paths(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """Those of tests that are not reported are left out; those of the run wait for a test that is."""
    worker = make_worker(paths=["api/**"])
    assert "left out" in str(worker.deliver(artifact(node_id="ui/test_a.py::test_a", **content())))
    of_run = artifact(10, **content())
    assert isinstance(worker.deliver(of_run), Delay)
    assert portal.launches == ()
    worker.deliver(recorded(CONTEXT, passed("api/test_b.py::test_b")), of_run)
    assert len(only(portal).logs) == 1
