"""`import testbus`: its examples run as they stand, and it says what went wrong."""

from __future__ import annotations

import doctest
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import testbus
from testbus import api
from testbus_broker.event_log import EventLog
from testbus_producers import SettingError
from testbus_schemas import ProducerFinished, ResultsRecorded, TestsCollected, decode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from testbus_schemas import Event, EventData


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of an embedded pipeline, and a process without a CI around it."""
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL", "TESTBUS_URL", "TESTBUS_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TESTBUS_SPOOL", str(tmp_path / "spool"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / ".testbus"


def events(home: Path) -> list[Event[EventData]]:
    """Return everything that was published."""
    return [decode(one.body, one.content_encoding) for one, _ in EventLog(home).read({})]


def test_the_examples_run(home: Path, call: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Each docstring's example, on an embedded pipeline that has decided a run already."""
    passed = [testbus.Result(node_id="cart adds", outcome="passed")]
    testbus.publish(passed, url=f"file://{home}", project="shop", run="nightly-6")
    assert call("drain").returncode == 0
    outcome = doctest.testmod(api, extraglobs={"home": str(home)}, raise_on_error=False)
    assert outcome.attempted >= 10
    assert outcome.failed == 0


@pytest.fixture
def call(testbus: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Give the command line; here `testbus` is the package."""
    return testbus


def test_every_public_name_is_there() -> None:
    """And nothing else is."""
    assert all(getattr(testbus, name) is not None for name in dir(testbus))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        testbus.nonsense  # noqa: B018 the access is what is tested


def test_importing_it_costs_nothing() -> None:
    """Neither pydantic nor pika is loaded before a name is used."""
    code = "import sys, testbus; print(sorted({'pydantic', 'pika', 'click'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_secrets_are_redacted_in_every_text(home: Path) -> None:
    """Whoever publishes by hand has the same protection."""
    leaked = "password=hunter22"
    result = testbus.Result(
        node_id="t",
        outcome="failed",
        failures=(testbus.Failure(message=leaked, text=leaked, chain=({"type": "E", "message": leaked},)),),
        reason=leaked,
        parameters={"password": "hunter22"},
        output=({"name": "stdout", "text": leaked},),
    )
    testbus.publish([result], url=f"file://{home}", project="shop")
    (recorded,) = (event.data for event in events(home) if isinstance(event.data, ResultsRecorded))
    assert "hunter22" not in recorded.model_dump_json()
    assert recorded.results[0].failures[0].message == "password=[redacted]"


def test_an_exception_makes_the_run_incomplete(home: Path) -> None:
    """What was expected and never reported is known, too."""

    def die() -> None:
        with testbus.Publisher(url=f"file://{home}", project="shop") as publisher:
            publisher.expect(["a", "b"])
            publisher.record(testbus.Result(node_id="a", outcome="passed"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        die()
    data = [event.data for event in events(home)]
    assert [one.status for one in data if isinstance(one, ProducerFinished)] == ["interrupted"]
    assert [one.node_ids for one in data if isinstance(one, TestsCollected)] == [("a", "b")]


def test_a_broker_that_is_away_loses_nothing(home: Path) -> None:
    """The results wait in the spool for `testbus flush`."""
    sent = testbus.publish(
        [testbus.Result(node_id="a", outcome="passed")], url="amqp://127.0.0.1:1/", project="shop", timeout=0.5
    )
    assert (sent.results, sent.complete) == (1, False)
    assert sent.reason
    assert list((home.parent / "spool").iterdir())


def test_without_a_url_the_error_says_what_is_missing(home: Path) -> None:
    """Instead of results that nobody ever gets."""
    assert not home.exists()
    with pytest.raises(SettingError, match="TESTBUS_URL"):
        testbus.publish([])


def test_a_verdict_that_does_not_come_is_a_timeout(home: Path) -> None:
    """It names the run, and what shows where it hangs."""
    testbus.publish([], url=f"file://{home}", project="shop", run="r9")
    with pytest.raises(TimeoutError, match="testbus trace r9"):
        testbus.wait_for_verdict("r9", project="shop", url=f"file://{home}", timeout=0)
