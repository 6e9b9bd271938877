"""A report of a run whose events are in the stream of a real RabbitMQ."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from testbus.main import run_command
from testbus_broker.declare import declare
from testbus_broker.message import message_of
from testbus_broker.publisher import open_publisher
from testbus_broker.topology import Topology
from testbus_consumers.runs import CONSUMER
from testbus_consumers.testing import ConsumerHarness
from tests.cli.report.samples import Told, passed

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def published(amqp_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish two complete runs of one branch; the second's runner has a clock that is hours ahead."""
    declare(amqp_url, Topology.of([]))
    publisher = open_publisher(amqp_url)
    now = datetime.now(UTC)
    with ConsumerHarness(CONSUMER, tmp_path / "state") as runs:
        for run, started_at, lines in (("stream-1", now, "1-10"), ("stream-2", now + timedelta(hours=3), "1-4")):
            told = Told(run=run, branch="main", base=None, started_at=started_at)
            told.producer(f"{run}-p")
            told.results(f"{run}-p", passed("test_a"))
            told.coverage(f"{run}-p", shop__a=("1-10", lines))
            told.finished(f"{run}-p")
            runs.deliver(*told.events)
            told.completed()
            publisher.publish([message_of(event) for event in told.events], 30)
    publisher.close(5)
    monkeypatch.setenv("TESTBUS_URL", amqp_url)
    monkeypatch.setenv("TESTBUS_DATABASE_URL", f"sqlite:///{tmp_path / 'state'}")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("published")
def test_a_run_is_reported_from_the_stream(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its runner's clock said, with the coverage of the run before; without a state only that is missing."""
    data = _shown("stream-2", capsys)
    assert (data["status"], data["counts"], data["absent_events"]) == ("completed", {"passed": 1}, 0)
    assert data["coverage"]["total"]["change"] == -60
    assert data["coverage"]["compared_with"]["run"] == "stream-1"
    monkeypatch.delenv("TESTBUS_DATABASE_URL")
    alone = _shown("stream-2", capsys)
    assert alone["coverage"]["compared_with"] is None
    assert alone["counts"] == {"passed": 1}


def _shown(run: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run_command(["show", run, "--json"]) == 0
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    return shown
