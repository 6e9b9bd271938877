"""Several ReportPortals over a real broker, database and workers: outages of one, a standby, and shares."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from harness.deployment import SOON_S, Deployment
from harness.events import FakeProducer
from harness.support import wait_until
from testbus_broker.message import message_of
from testbus_broker.publisher import open_publisher
from testbus_consumers.reportportal.peers import USABLE_S
from testbus_schemas.identity import new_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testbus_schemas import Event, EventData

#: Tests of a run, and those of them that fail.
TESTS, FAILING = 120, 30

SUITE = f"""
import pytest

@pytest.mark.parametrize("n", range({TESTS}))
def test_many(n):
    print("seen", n)
    assert n % 4, f"{{n}} is a multiple of four"
"""

#: A primary and its standby.
FAILOVER = {"a": {"mode": "failover", "priority": 1}, "b": {"mode": "failover", "priority": 2}}

#: Two that share.
BALANCE = {"a": {"mode": "balance"}, "b": {"mode": "balance"}}


@pytest.fixture(scope="module")
def deployment(own_amqp_url: str, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Give a running deployment with two ReportPortals; the tests of this module change their settings in turn."""
    folder = tmp_path_factory.mktemp("targets")
    with Deployment(folder=folder, amqp_url=own_amqp_url, database_url=database_url, slack=False) as running:
        yield running


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a project with failing tests."""
    (tmp_path / "test_suite.py").write_text(SUITE, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return tmp_path


def configure(deployment: Deployment, targets: dict[str, dict[str, Any]]) -> None:
    """Restart the workers of both targets with other settings."""
    for name in ("a", "b"):
        deployment.stop(f"reportportal.{name}")
    deployment.targets = targets
    deployment.set_up()


def picture(deployment: Deployment, target: str, run: str) -> list[Any] | None:
    """Return a launch as people see it, each item with its log entries; None while it is not finished."""
    launch = deployment.launch(target, run)
    if launch is None or launch.end_time is None or any(item.end_time is None for item in launch.items):
        return None
    items = sorted(
        (item.name, item.status, tuple(sorted((log.level, log.message) for log in item.logs))) for item in launch.items
    )
    return [launch.name, launch.status, *items]


def publish(deployment: Deployment, *events: Event[EventData]) -> None:
    """Publish events, confirmed."""
    publisher = open_publisher(deployment.amqp_url)
    publisher.publish([message_of(e) for e in events], 30)
    publisher.close(5)


def trace(deployment: Deployment, run: str) -> str:
    """Return what the consumers made of each event of a run."""
    return deployment.testbus("trace", run, "--verbose").stdout


@pytest.mark.parametrize("outage", ["refused", "hanging", "answers lost"])
def test_a_target_that_was_down_for_a_whole_run_catches_up_by_itself(
    deployment: Deployment, project: Path, outage: str
) -> None:
    """The other one has everything meanwhile; nobody does anything, and no log entry is there twice."""
    run, portal = new_id(), deployment.sandbox.reportportal("a")
    dead = deployment.depths("reportportal.a")["dead"]
    {
        "refused": portal.faults.refuse,
        "hanging": portal.faults.hang,
        "answers lost": lambda: portal.faults.status(500, act_first=True),
    }[outage]()
    try:
        deployment.pytest(project, TESTBUS_RUN_ID=run)
        there = wait_until(lambda: picture(deployment, "b", run), SOON_S, "the other target has it all")
        assert picture(deployment, "a", run) is None
    finally:
        portal.faults.clear()
    assert len(there) == TESTS + 2
    assert Counter(status for _, status, _ in there[2:]) == {"PASSED": TESTS - FAILING, "FAILED": FAILING}
    wait_until(lambda: picture(deployment, "a", run) == there, 3 * SOON_S, "the target has caught up, and has no more")
    assert deployment.depths("reportportal.a")["dead"] == dead
    assert deployment.verdict(run)["verdict"] == "failed"


def test_a_standby_takes_the_runs_that_begin_while_the_better_target_is_down(
    deployment: Deployment, project: Path
) -> None:
    """It has nothing of the runs before and after; the better one ends up with all of them."""
    configure(deployment, FAILOVER)
    before, during, after = new_id(), new_id(), new_id()
    deployment.pytest(project, TESTBUS_RUN_ID=before)
    wait_until(lambda: picture(deployment, "a", before), SOON_S, "the better target has the first run")
    wait_until(lambda: "left out: a takes it" in trace(deployment, before), SOON_S, "the standby leaves it out")
    faults = deployment.sandbox.reportportal("a").faults
    faults.refuse()
    down = time.monotonic()
    try:
        wait_until(lambda: time.monotonic() > down + USABLE_S, SOON_S, "nobody believes that it is up")
        deployment.pytest(project, TESTBUS_RUN_ID=during)
        there = wait_until(lambda: picture(deployment, "b", during), SOON_S, "the standby has the run")
    finally:
        faults.clear()
    assert len(there) == TESTS + 2
    wait_until(lambda: picture(deployment, "a", during) == there, 3 * SOON_S, "the better target has it too")
    configure(deployment, FAILOVER)
    deployment.pytest(project, TESTBUS_RUN_ID=after)
    wait_until(lambda: picture(deployment, "a", after), SOON_S, "the better target has the last run")
    wait_until(lambda: "left out: a takes it" in trace(deployment, after), SOON_S, "the standby leaves it out")
    assert [deployment.launch("b", run) for run in (before, after)] == [None, None]


def test_a_run_whose_better_target_dies_in_the_middle_can_be_given_to_the_standby(deployment: Deployment) -> None:
    """By a replay of that run, what comes later included; the better one completes its own when it is back."""
    configure(deployment, FAILOVER)
    run, faults = new_id(), deployment.sandbox.reportportal("a").faults
    producer = FakeProducer(run, run=run)
    publish(deployment, producer.started(), producer.collected("test_a", "test_b"), producer.results(test_a="passed"))
    wait_until(lambda: (launch := deployment.launch("a", run)) and launch.items, SOON_S, "the better target has begun")
    wait_until(lambda: trace(deployment, run).count("left out: a takes it") == 2, SOON_S, "the standby leaves it out")
    faults.refuse()
    down = time.monotonic()
    try:
        wait_until(lambda: time.monotonic() > down + USABLE_S, SOON_S, "nobody believes that it is up")
        deployment.testbus("replay", "reportportal/b", "--run", run, "--resend", "--yes")
        wait_until(
            lambda: (launch := deployment.launch("b", run)) and launch.items, SOON_S, "the standby has the first"
        )
        publish(deployment, producer.results(test_b="failed"), producer.finished())
        there = wait_until(lambda: picture(deployment, "b", run), SOON_S, "the standby has all of it")
    finally:
        faults.clear()
    assert len(there) == 2 + 2
    wait_until(lambda: picture(deployment, "a", run) == there, 3 * SOON_S, "the better target has it too")


def test_targets_that_balance_have_each_run_once(deployment: Deployment) -> None:
    """Whole runs, each at one of them."""
    configure(deployment, BALANCE)
    runs = [new_id() for _ in range(20)]
    for run in runs:
        publish(deployment, *FakeProducer(run, run=run).whole(test_a="passed", test_b="failed"))

    def places() -> dict[str, list[str]]:
        return {run: [name for name in ("a", "b") if deployment.launch(name, run)] for run in runs}

    def whole(run: str) -> bool:
        return any(picture(deployment, name, run) for name in ("a", "b"))

    wait_until(lambda: all(map(whole, runs)), SOON_S, "every run is somewhere")
    idle = [f"reportportal.{name}" for name in ("a", "b")]
    wait_until(lambda: not any(deployment.depths(queue)["waiting"] for queue in idle), SOON_S, "nothing waits")
    assert {len(found) for found in places().values()} == {1}
    one_at = {name: run for run, (name,) in places().items()}
    assert set(one_at) == {"a", "b"}
    for name, run in one_at.items():
        assert f"balanced to {name}" in trace(deployment, run)
        assert len(picture(deployment, name, run) or []) == 2 + 2
