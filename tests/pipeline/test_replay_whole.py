"""Replays of many events over RabbitMQ and PostgreSQL, beside live runs; the 20,000 are in `benchmarks/replay.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.past import FOR_REPORTPORTAL, Past, WithRegressions
from harness.support import wait_until
from testbus_sandbox import Sandbox
from tests.sandbox.api import Api

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Results of each old run, and how many those are.
RESULTS, RUNS = 20, 6

#: Seconds that anything may take on a busy machine.
PATIENCE_S = 240.0

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def past(own_amqp_url: str, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    """Give a deployment whose runs are over; one more ReportPortal is there, and nobody uses it yet."""
    with WithRegressions(
        folder=tmp_path_factory.mktemp("replay"),
        amqp_url=own_amqp_url,
        database_url=database_url,
        sandbox=Sandbox(reportportals=("a", "c"), channels=("ci",)),
        portals=("a",),
    ) as deployment:
        runs = [f"past-{number}" for number in range(RUNS)]
        past = Past(deployment=deployment, runs=runs, results=RESULTS, patience_s=PATIENCE_S)
        past.publish()
        past.wait_for("a", runs)
        wait_until(lambda: past.told() == set(runs), PATIENCE_S, "Slack has told of the runs")
        for queue in deployment.queues:
            past.wait_for_silence(queue)
        yield past


def test_only_the_new_consumer_receives_and_has_what_the_old_one_has(past: Past) -> None:
    """Launches, items, statuses and logs, while live runs flow; no Slack message; the second time nothing is sent."""
    deployment = past.deployment
    deployment.portals = ("a", "c")
    deployment.set_up()
    before, said, known = past.ledgers("reportportal.c"), past.said(), past.told()
    told = past.while_live("reportportal/c")
    assert told["sent"] >= RUNS * (RESULTS + FOR_REPORTPORTAL)
    past.wait_for("c", [*past.runs, *past.live])
    assert past.picture("c") == past.picture("a") != []
    assert past.ledgers("reportportal.c") == before
    wait_until(lambda: past.told() == known | set(past.live), PATIENCE_S, "Slack tells of the live runs, and no other")
    assert past.said() == said
    past.wait_for_silence("reportportal.c")
    again = past.replayed("reportportal/c")
    assert (again["sent"], again["wanted"]) == (0, again["seen"])


@pytest.mark.parametrize("consumer", ["runs", "gates", "regressions"])
def test_recomputing_gives_the_same_rows(past: Past, consumer: str) -> None:
    """While live runs flow, twice; nobody else receives, and Slack says nothing of the old runs."""
    before, others = past.rows(consumer), past.ledgers(consumer)
    # Only `runs` receives results; the others are told once of each run.
    assert len(before["testbus_delivery"]) >= (RUNS * RESULTS if consumer == "runs" else RUNS)
    said = past.said()
    for _ in range(2):
        told = past.while_live(consumer, "--recompute", "--project", "web", runs=1)
        assert told["runs"] == RUNS
        assert told["left"] == 0
        past.wait_for_silence(consumer)
        assert past.rows(consumer) == before
    past.wait_for("a", past.live)
    assert past.ledgers(consumer) == others
    assert past.said() == said


def test_a_deleted_launch_is_rebuilt_and_the_others_stay(past: Past) -> None:
    """--resend asks the ReportPortal for everything, and sends what it has lost."""
    before = past.picture("a")
    launch = past.deployment.launch("a", past.runs[0])
    with Api(past.deployment.sandbox.reportportal("a")) as person:
        assert person.delete_launch(launch.uuid).status_code == 200
    refused = past.deployment.testbus("replay", "reportportal/a", "--resend", check=False)
    assert refused.returncode == 2
    assert past.replayed("reportportal/a", "--resend", "--yes", "--project", "web")["sent"] > RUNS * RESULTS
    past.wait_for("a", past.runs)
    past.wait_for_silence("reportportal.a")
    wait_until(lambda: past.picture("a") == before, PATIENCE_S, "the launch is there again, as it was")


def test_going_on_from_an_offset(past: Past) -> None:
    """What was dealt with before is not read again."""
    whole = past.replayed("gates", "--dry-run")
    assert whole["total"] >= whole["read"] // 2
    rest = past.replayed("gates", "--dry-run", "--from-offset", str(whole["offset"] - 10))
    assert rest["read"] <= 10
    assert past.replayed("gates", "--dry-run", "--from-offset", str(whole["offset"] + 1000))["read"] == 0
