"""Replay over a real RabbitMQ: a ReportPortal and a Slack that are added later, while new runs go on."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import replay
from harness.deployment import SOON_S, Deployment
from harness.events import FakeProducer
from harness.past import picture
from harness.support import wait_until
from testbus_broker.message import message_of
from testbus_broker.publisher import open_publisher
from testbus_sandbox import Sandbox
from testbus_schemas.catalog import EVENT_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Runs that were over before the new consumers came.
OLD = ["old-1", "old-2", "old-3"]

#: Events of each run that `reportportal` reacts to.
FOR_REPORTPORTAL = 4


@pytest.fixture(scope="module")
def deployment(own_amqp_url: str, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Give a deployment that knows one ReportPortal and no Slack yet."""
    with Deployment(
        folder=tmp_path_factory.mktemp("replay"),
        amqp_url=own_amqp_url,
        database_url=database_url,
        sandbox=Sandbox(reportportals=("a", "c"), channels=("ci",)),
        portals=("a",),
        slack=False,
    ) as running:
        yield running


def publish(deployment: Deployment, *runs: str) -> None:
    """Publish everything that one producer of each run has to say."""
    publisher = open_publisher(deployment.amqp_url)
    for run in runs:
        events = FakeProducer(f"producer of {run}", run=run).whole(test_a="passed", test_b="failed")
        messages = [message_of(one) for one in events]
        publisher.publish(messages, 30)
    publisher.close(5)


def told(deployment: Deployment) -> set[str]:
    """Return the runs that Slack has a message of."""
    messages = deployment.sandbox.slack.messages
    return {message.metadata["event_payload"]["run"] for message in messages if message.metadata}


def complete(deployment: Deployment, target: str, runs: list[str]) -> bool:
    """Tell whether the launches of these runs are finished, with their verdicts."""
    launches = [deployment.launch(target, run) for run in runs]
    verdicts = ("**Passed**", "**Failed**", "**Incomplete**")
    return all(one is not None and one.end_time and one.description.startswith(verdicts) for one in launches)


def ledgers(deployment: Deployment, run: str) -> dict[str, Any]:
    """Return what each consumer did with the events of a run, and when."""
    consumers: dict[str, Any] = json.loads(deployment.testbus("trace", run, "--json").stdout)["consumers"]
    return consumers


def counted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what producers sent: `runs` also hears of each launch, and of each verdict."""
    return [row for row in rows if EVENT_TYPES[row["type"]].from_producers]


def replayed(deployment: Deployment, *arguments: str) -> dict[str, Any]:
    """Replay, and return what the command says to a program."""
    answer: dict[str, Any] = json.loads(deployment.testbus("replay", *arguments, "--json").stdout)
    return answer


def test_what_is_added_later_is_filled_and_says_nothing(deployment: Deployment) -> None:
    """A new ReportPortal shows what the old one shows, Slack tells only of new runs, and nobody else receives again."""
    publish(deployment, *OLD)
    wait_until(lambda: complete(deployment, "a", OLD), SOON_S, "the old runs are over")
    deployment.portals, deployment.slack = ("a", "c"), True
    declared = deployment.set_up()
    assert "testbus replay reportportal/c" in declared
    assert "testbus replay slack" in declared
    assert "testbus replay gates" not in declared
    before = ledgers(deployment, OLD[0])
    dry = replayed(deployment, "reportportal/c", "--dry-run")
    assert (dry["missing"], dry["sent"]) == (len(OLD) * FOR_REPORTPORTAL, 0)

    new = ["new-1", "new-2", "new-3", "new-4"]
    with ThreadPoolExecutor(1) as beside:
        live = beside.submit(publish, deployment, *new)
        sent = replayed(deployment, "reportportal/c")["sent"]
        silent = replayed(deployment, "slack")["sent"]
        live.result()
    assert sent >= len(OLD) * FOR_REPORTPORTAL
    assert silent >= len(OLD) * 2
    for target in ("a", "c"):
        wait_until(lambda target=target: complete(deployment, target, OLD + new), 2 * SOON_S, f"{target} has it all")
    first, second = (picture(deployment.sandbox.reportportal(name).launches) for name in ("a", "c"))
    assert second == first
    wait_until(lambda: told(deployment) == set(new), SOON_S, "Slack tells of the new runs, and of no other")
    after = ledgers(deployment, OLD[0])
    assert {name: after[name] for name in ("gates", "reportportal/a")} == {
        name: before[name] for name in ("gates", "reportportal/a")
    }
    assert counted(after["runs"]) == counted(before["runs"])
    wait_until(
        lambda: {row["status"] for row in ledgers(deployment, OLD[0])["slack"]} == {"silent"},
        SOON_S,
        "Slack's queue has passed over the old run in silence",
    )

    again = replayed(deployment, "reportportal/c")
    assert (again["sent"], again["seen"]) == (0, (len(OLD) + len(new)) * FOR_REPORTPORTAL)
    assert replayed(deployment, "slack")["sent"] == 0
    assert told(deployment) == set(new)


def test_a_range_that_the_stream_does_not_have_is_refused(deployment: Deployment) -> None:
    """What is older than the stream is asked for by accident, or with --allow-partial."""
    publish(deployment, "range")
    refused = deployment.testbus("replay", "gates", "--since", "30d", check=False)
    assert refused.returncode == 2
    assert "--allow-partial" in refused.stderr
    assert replayed(deployment, "gates", "--since", "30d", "--allow-partial", "--dry-run")["read"] > 0


@pytest.mark.nightly
def test_the_benchmark_finds_no_fault() -> None:
    """It fills, recomputes and fills again, small; its exit code says whether anything is not as it should be."""
    assert replay.main(["--events", "300", "--reported", "200", "--json"]) == 0
