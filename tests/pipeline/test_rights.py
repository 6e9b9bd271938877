"""The accounts of `testbus broker declare --users` at a real RabbitMQ: each may do its work, and nothing else."""

from __future__ import annotations

import json
import re
import shlex
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from pika.exceptions import ChannelClosedByBroker

from harness.deployment import SOON_S, START_S, Deployment
from harness.events import FakeProducer
from harness.support import wait_until
from testbus_broker import stream
from testbus_broker.connection import connected
from testbus_broker.declare import declare
from testbus_broker.errors import DeclareRefusedError, RefusedError, Unconfirmed
from testbus_broker.message import ROUTING_KEY, Message, message_of
from testbus_broker.publisher import ConfirmedPublisher
from testbus_broker.queues import purge
from testbus_broker.topology import REQUESTS_EXCHANGE, STREAM, VERDICT_KEY, Subscription, Topology
from testbus_broker.verdict_requests import ask
from testbus_consumers.testing import run_context
from testbus_schemas import VerdictRequested, encode, produced
from testbus_schemas.catalog import EVENT_TYPES
from testbus_schemas.identity import new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.private_rabbitmq import PrivateRabbitMQ
    from testbus_schemas import Event

GATES = Subscription(name="gates")
REFUSED = "ACCESS_REFUSED"

#: What the accounts are called.
ACCOUNTS = ("testbus-operator", "testbus-workers", "testbus-monitor", "testbus-runner-web")

#: Events that only consumers may publish.
DECISIONS = sorted(name for name, kind in EVENT_TYPES.items() if not kind.from_producers)


@pytest.fixture(scope="module")
def server(module_rabbitmq: Callable[..., PrivateRabbitMQ]) -> PrivateRabbitMQ:
    """Give a RabbitMQ with its management interface."""
    return module_rabbitmq(management=True)


class Guarded:
    """A deployment whose parts log in with accounts of their own."""

    def __init__(self, deployment: Deployment, server: PrivateRabbitMQ) -> None:
        """Declare everything."""
        self.deployment = deployment
        self.server = server
        self.passwords = deployment.folder / "passwords"
        self.declare()

    def declare(self, *more: str, **extra: str) -> str:
        """Declare topology and accounts, as an administrator with rabbitmqctl does."""
        arguments = ["broker", "declare", "--users", "--project", "web", "--passwords", str(self.passwords), *more]
        admin = {"TESTBUS_URL": self.server.url, **self.server.environment, **extra}
        return self.deployment.testbus(*arguments, **admin).stdout

    def url(self, account: str) -> str:
        """Return the broker's URL for an account."""
        password = (self.passwords / account).read_text(encoding="utf-8").strip()
        return self.server.url.replace("guest:guest", f"{account}:{password}")

    def testbus(self, account: str, *arguments: str, check: bool = True) -> Any:
        """Run a command with an account."""
        return self.deployment.testbus(*arguments, check=check, TESTBUS_URL=self.url(account))


@pytest.fixture(scope="module")
def guarded(server: PrivateRabbitMQ, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Give a deployment with accounts; its workers run with the workers' account."""
    folder = tmp_path_factory.mktemp("guarded")
    with Deployment(
        folder=folder, amqp_url=server.url, database_url=database_url, portals=("a",), slack=False, started=False
    ) as running:
        found = Guarded(running, server)
        running.amqp_url = found.url("testbus-workers")
        for queue in running.queues:
            running.start(queue)
        wait_until(running.all_consumed, 2 * START_S, "every queue has a worker")
        yield found


@pytest.fixture(scope="module")
def another(module_rabbitmq: Callable[..., PrivateRabbitMQ]) -> PrivateRabbitMQ:
    """Give another RabbitMQ on the same machine."""
    return module_rabbitmq()


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Give a project with a test that passes and one that fails."""
    (tmp_path / "test_it.py").write_text("def test_a(): pass\ndef test_b(): assert not 1\n", encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return tmp_path


def message(event: Event[Any], **changes: Any) -> Message:
    """Return an event as it is published."""
    return replace(message_of(event), **changes)


def refused(url: str, *messages: Message) -> None:
    """Publish messages one by one, each of which the broker has to refuse; the first as testbus does."""
    with closing(ConfirmedPublisher(url)) as publisher, pytest.raises(Unconfirmed, match=REFUSED):
        publisher.publish([messages[0]], 10)
    for one in messages:
        assert refuses(url, partial(publish, one))


def publish(one: Message, channel: Any) -> None:
    """Publish a message on a channel, and wait for the broker's answer."""
    channel.confirm_delivery()
    channel.basic_publish(one.exchange, one.routing_key, one.body)


def test_a_runner_tells_its_own_results_and_waits_for_its_verdict(guarded: Guarded, suite: Path) -> None:
    """A run, and `testbus verdict` with the runner's account alone, decided by workers with the workers' account."""
    run = new_id()
    runner = guarded.url("testbus-runner-web")
    done = guarded.deployment.pytest(suite, TESTBUS_URL=runner, TESTBUS_RUN_ID=run, TESTBUS_EXIT_TIMEOUT="30")
    assert "2 results in" in done.stdout
    answer = guarded.testbus("testbus-runner-web", "verdict", run, "--json", "--timeout", "45", check=False)
    assert json.loads(answer.stdout)["evaluation"]["counts"] == {"failed": 1, "passed": 1}
    wait_until(
        lambda: (launch := guarded.deployment.launch("a", run)) and launch.end_time, SOON_S, "ReportPortal has it all"
    )


def test_a_runner_tells_every_event_of_producers(guarded: Guarded) -> None:
    """No event of a runner's own project is refused, whatever its type."""
    names = [name for name, kind in EVENT_TYPES.items() if kind.from_producers and name != "verdict.requested"]
    with closing(ConfirmedPublisher(guarded.url("testbus-runner-web"))) as publisher:
        publisher.publish([Message(body=b"", routing_key=f"{name}.web", message_id=name) for name in names], 10)


def test_a_runner_neither_forges_decisions_nor_speaks_for_others(guarded: Guarded) -> None:
    """Every noun of the consumers, every other project, and any wildcard of a key is refused."""
    keys = [f"{name}.web" for name in DECISIONS]
    keys += ["results.recorded.other", "results.recorded.web.x", "results.recorded.web-2", "results.recorded", "#", ""]
    refused(guarded.url("testbus-runner-web"), *(Message(body=b"{}", routing_key=key) for key in keys))


def test_an_event_that_an_account_does_not_know_says_what_to_upgrade(guarded: Guarded) -> None:
    """A runner that is newer than the broker's accounts sends some; all that it sends waits until they may."""
    url = guarded.url("testbus-runner-web")
    with closing(ConfirmedPublisher(url)) as publisher, pytest.raises(Unconfirmed) as caught:
        publisher.publish([Message(body=b"{}", routing_key="later.recorded.web")], 10)
    assert "access to topic 'later.recorded.web'" in caught.value.reason
    assert "upgrade the consumers first, then run `testbus broker declare --users`" in caught.value.reason


def test_a_runner_writes_to_no_queue(guarded: Guarded) -> None:
    """Not through the default exchange, nor through any other that every broker has."""
    queues = (GATES.queue, GATES.dead, GATES.delay(1), STREAM)
    exchanges = ("", "amq.direct", "amq.topic", "amq.fanout", "amq.headers")
    refused(
        guarded.url("testbus-runner-web"),
        *(Message(body=b"{}", exchange="", routing_key=queue) for queue in queues),
        *(Message(body=b"{}", exchange=exchange, routing_key="results.recorded.web") for exchange in exchanges),
    )


def test_a_runner_reads_nothing(guarded: Guarded) -> None:
    """Neither queues, nor dead letters, nor the stream."""
    url = guarded.url("testbus-runner-web")
    with pytest.raises(RefusedError, match=REFUSED):
        purge(url, GATES.queue)
    with pytest.raises(RefusedError, match=REFUSED):
        list(stream.read(url))
    for queue in (GATES.queue, GATES.dead, STREAM):
        assert refuses(url, lambda channel, queue=queue: channel.basic_get(queue))  # type: ignore[misc]
        assert refuses(url, lambda channel, queue=queue: channel.basic_consume(queue, print))  # type: ignore[misc]


def refuses(url: str, act: Callable[[Any], object]) -> bool:
    """Tell whether the broker refuses what is done on a channel for want of a right."""
    with connected(url) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1)
        try:
            act(channel)
        except ChannelClosedByBroker as error:
            return REFUSED in str(error.reply_text)
    return False


@pytest.mark.parametrize("account", ["testbus-runner-web", "testbus-workers", "testbus-monitor"])
def test_nobody_but_operators_declares_binds_or_deletes(guarded: Guarded, account: str) -> None:
    """A queue of one's own, bound to everybody's events, would be a way to read them."""
    url = guarded.url(account)
    with pytest.raises(DeclareRefusedError, match=REFUSED):
        declare(url, Topology.of([Subscription(name="spy", patterns=("#",))]))
    acts: list[Callable[[Any], object]] = [
        lambda channel: channel.queue_declare("", exclusive=True),
        lambda channel: channel.queue_declare("testbus.queue.spy", durable=True),
        lambda channel: channel.exchange_declare("spy"),
        lambda channel: channel.queue_bind(GATES.queue, "testbus.events", "#"),
        lambda channel: channel.queue_unbind(GATES.queue, "testbus.events", "results.recorded.*"),
        lambda channel: channel.queue_delete(GATES.queue),
        lambda channel: channel.exchange_delete("testbus.events"),
    ]
    assert [number for number, act in enumerate(acts) if not refuses(url, act)] == []


def test_a_project_that_floods_anothers_run_changes_nothing_of_it(guarded: Guarded) -> None:
    """Neither its verdict nor when that comes, whether the flood is first or in between, ends or never does."""
    guarded.declare("--project", "flood")
    run = new_id()
    own = FakeProducer(new_id(), run=run, project="web")
    whole = own.whole(test_a="passed", test_b="failed")
    strangers = [FakeProducer(new_id(), run=run, project="flood", attempt=number) for number in range(1, 51)]
    flood = [
        event
        for number, one in enumerate(strangers)
        for event in one.whole(test_a="error", test_b="passed")[: 3 if number % 3 else 4]
    ]
    with (
        closing(ConfirmedPublisher(guarded.url("testbus-runner-flood"))) as stranger,
        closing(ConfirmedPublisher(guarded.url("testbus-runner-web"))) as runner,
    ):
        stranger.publish([message_of(event) for event in flood[:100]], 10)
        runner.publish([message_of(event) for event in whole[:2]], 10)
        stranger.publish([message_of(event) for event in flood[100:]], 10)
        runner.publish([message_of(event) for event in whole[2:]], 10)
    asked = ("verdict", run, "--project", "web", "--json", "--timeout", "45")
    answer = guarded.testbus("testbus-runner-web", *asked, check=False)
    assert answer.stdout, answer.stderr
    evaluation = json.loads(answer.stdout)["evaluation"]
    assert (evaluation["verdict"], evaluation["counts"]) == ("failed", {"failed": 1, "passed": 1})
    traced = json.loads(guarded.testbus("testbus-operator", "runs", "--json", "--project", "web").stdout)
    assert [one["status"] for one in traced["runs"] if one["run"] == run] == ["completed"]


def test_forged_headers_lend_no_rights(guarded: Guarded) -> None:
    """A header that names another project's key, or says that a decision is a replay, convinces no worker."""
    run = new_id()
    other = FakeProducer("forger", run=run, project="other").started()
    decision = encode(other).body.replace(b"producer.started", b"run.completed")
    before = guarded.deployment.depths("runs")["dead"]
    headers: dict[str, str | int] = {
        ROUTING_KEY: other.routing_key,
        "x-testbus-attempt": 4,
        "x-testbus-replayed": "x",
    }
    forged = [
        message(other, routing_key="producer.started.web", headers=headers, message_id=new_id()),
        message(other, routing_key="producer.started.web", body=decision, headers=headers, message_id=new_id()),
        message(other, exchange=REQUESTS_EXCHANGE, routing_key=VERDICT_KEY, headers=headers, message_id=new_id()),
    ]
    with closing(ConfirmedPublisher(guarded.url("testbus-runner-web"))) as publisher:
        publisher.publish(forged, 10)
    # The first two go to `runs`; the third, which is no request, is thrown away.
    wait_until(lambda: guarded.deployment.depths("runs")["dead"] == before + 2, SOON_S, "runs refuses both events")
    assert guarded.deployment.depths("requests") == {"waiting": 0}
    answer = guarded.testbus("testbus-operator", "verdict", run, "--project", "other", "--timeout", "1", check=False)
    assert answer.returncode != 0
    assert run not in guarded.testbus("testbus-operator", "runs", "--json").stdout


def test_workers_publish_decisions_only_and_read_their_queues_only(guarded: Guarded) -> None:
    """A worker that was taken over tells no results, and reads neither the stream nor dead letters."""
    url = guarded.url("testbus-workers")
    refused(url, Message(body=b"{}", routing_key="results.recorded.web"))
    refused(url, Message(body=b"{}", exchange=REQUESTS_EXCHANGE, routing_key=VERDICT_KEY))
    for queue in (GATES.dead, STREAM, GATES.delay(1)):
        assert refuses(url, lambda channel, queue=queue: channel.basic_get(queue))  # type: ignore[misc]
    with closing(ConfirmedPublisher(url)) as publisher:
        publisher.publish([Message(body=b"", routing_key=f"{name}.web") for name in DECISIONS], 10)


def test_workers_retry_and_dead_letter_and_operators_send_back(guarded: Guarded, suite: Path) -> None:
    """A target that is down, an event that cannot be read: retry delays, dead letters and redrive with least rights."""
    run, faults = new_id(), guarded.deployment.sandbox.reportportal("a").faults
    faults.refuse()
    try:
        runner = guarded.url("testbus-runner-web")
        guarded.deployment.pytest(suite, TESTBUS_URL=runner, TESTBUS_RUN_ID=run, TESTBUS_EXIT_TIMEOUT="30")
        traced = lambda: guarded.testbus("testbus-operator", "trace", run).stdout  # noqa: E731 asked until it is so
        wait_until(lambda: "retrying" in traced(), SOON_S, "events wait in the retry delays")
    finally:
        faults.clear()
    wait_until(lambda: (one := guarded.deployment.launch("a", run)) and one.end_time, 2 * SOON_S, "it has caught up")
    before = guarded.deployment.depths("runs")["dead"]
    unread = Message(body=b"no event", routing_key="results.recorded.web", message_id=(event_id := new_id()))
    with closing(ConfirmedPublisher(guarded.url("testbus-runner-web"))) as publisher:
        publisher.publish([unread], 10)
    wait_until(lambda: guarded.deployment.depths("runs")["dead"] == before + 1, SOON_S, "it is a dead letter")
    listed = guarded.testbus("testbus-operator", "dlq", "list", "runs", "--json").stdout
    assert any(json.loads(line)["id"] == event_id for line in listed.splitlines())
    assert "1 redriven" in guarded.testbus("testbus-operator", "dlq", "redrive", "runs", "--id", event_id).stdout
    wait_until(lambda: guarded.deployment.depths("runs")["dead"] == before + 1, SOON_S, "it is one again")
    purged = guarded.testbus("testbus-operator", "dlq", "purge", "runs", "--id", event_id, "--yes")
    assert "1 purged" in purged.stdout


def test_approvers_override_rules_of_their_project_and_nothing_else(guarded: Guarded) -> None:
    """The command works with the account alone; an operator sees what is kept."""
    guarded.declare("--approver", "web")
    url = guarded.url("testbus-approver-web")
    added = guarded.testbus(
        "testbus-approver-web", "overrides", "add", "mute", "--project", "web", "--for", "1d", "--json"
    )
    override = json.loads(added.stdout)["id"]

    def held() -> bool:
        listed = guarded.testbus("testbus-operator", "overrides", "list", "--project", "web", "--json").stdout
        return override in {one["id"] for one in json.loads(listed)["overrides"]}

    wait_until(held, SOON_S, "runs keeps it")
    keys = ("override.requested.shop", "override.recorded.web", "results.recorded.web", "run.completed.web")
    refused(url, *(Message(body=b"{}", routing_key=key) for key in keys))
    for queue in (GATES.queue, GATES.dead, STREAM):
        assert refuses(url, lambda channel, queue=queue: channel.basic_get(queue))  # type: ignore[misc]
    refused(guarded.url("testbus-runner-web"), Message(body=b"{}", routing_key="override.requested.web"))


def test_operators_replay_and_declare_but_tell_nothing(guarded: Guarded) -> None:
    """What people need for their work, and no event of their own making."""
    assert "would be" in guarded.testbus("testbus-operator", "replay", "gates", "--dry-run").stdout
    guarded.testbus("testbus-operator", "replay", "gates")
    assert guarded.testbus("testbus-operator", "broker", "declare").returncode == 0
    assert guarded.testbus("testbus-operator", "events", "--type", "results.recorded", "--json").stdout
    for key in ("results.recorded.web", "gate.evaluated.web"):
        refused(guarded.url("testbus-operator"), Message(body=b"{}", routing_key=key))


def test_who_only_looks_sees_depths_and_nothing_else(guarded: Guarded) -> None:
    """`testbus status` works; reading and writing do not."""
    url = guarded.url("testbus-monitor")
    assert "gates" in guarded.testbus("testbus-monitor", "status").stdout
    refused(url, Message(body=b"{}", routing_key="results.recorded.web"))
    assert refuses(url, lambda channel: channel.basic_get(GATES.queue))


def test_declaring_accounts_again_keeps_passwords(guarded: Guarded) -> None:
    """Safe to repeat; a project that is added gets an account, one that is gone keeps its own; no password is shown."""
    before = {name: guarded.url(name) for name in ACCOUNTS}
    said = guarded.declare("--project", "shop")
    assert "created  user      testbus-runner-shop" in said
    assert all(f"updated  user      {name}" in said for name in ACCOUNTS)
    assert {name: guarded.url(name) for name in ACCOUNTS} == before
    for name in (*ACCOUNTS, "testbus-runner-shop"):
        assert (guarded.passwords / name).stat().st_mode & 0o777 == 0o600
        assert guarded.passwords.joinpath(name).read_text(encoding="utf-8").strip() not in said
        with connected(guarded.url(name)):
            pass


def test_without_a_folder_a_password_is_shown_once(guarded: Guarded) -> None:
    """What is made new is printed, with --json in the object; what exists keeps its password."""
    arguments = ["broker", "declare", "--users", "--project", "once", "--json"]
    admin = {"TESTBUS_URL": guarded.server.url, **guarded.server.environment}
    first, again = (json.loads(guarded.deployment.testbus(*arguments, **admin).stdout) for _ in range(2))
    accounts = {one["name"]: one for one in first if one["kind"] == "user"}
    assert [name for name, one in accounts.items() if one["password"]] == ["testbus-runner-once"]
    password = accounts["testbus-runner-once"]["password"]
    with connected(guarded.server.url.replace("guest:guest", f"testbus-runner-once:{password}")):
        pass
    assert {one["state"] for one in again if one["kind"] == "user"} == {"kept"}


def test_accounts_go_in_through_the_management_interface(guarded: Guarded) -> None:
    """Where there is no rabbitmqctl: the same accounts with the same rights; a wrong login is said."""
    config = guarded.deployment.config.read_text(encoding="utf-8")
    own = config.replace("broker:\n", "broker:\n  management: {env: MANAGEMENT}\n")
    guarded.deployment.config.write_text(own, encoding="utf-8")
    address = guarded.server.management_url
    assert address
    try:
        arguments = ["broker", "declare", "--users", "--project", "http", "--passwords", str(guarded.passwords)]
        told = {"TESTBUS_URL": guarded.server.url, "PATH": "/nowhere", "MANAGEMENT": address}
        assert "created  user      testbus-runner-http" in guarded.deployment.testbus(*arguments, **told).stdout
        wrong = {**told, "MANAGEMENT": address.replace("guest:guest", "guest:hunter2")}
        failed = guarded.deployment.testbus(*arguments, check=False, **wrong)
        assert failed.returncode == 2
        assert "user and password of an administrator" in failed.stderr
        assert "hunter2" not in failed.stderr + failed.stdout
    finally:
        guarded.deployment.config.write_text(config, encoding="utf-8")
    listed = guarded.server.control("list_permissions").replace("runner-http", "runner-web").splitlines()
    assert len([line for line in listed if line.startswith("testbus-runner-web\t")]) == 2
    assert len({line for line in listed if line.startswith("testbus-runner-web\t")}) == 1


def test_another_brokers_rabbitmqctl_is_not_taken(guarded: Guarded, another: PrivateRabbitMQ) -> None:
    """Accounts made at the wrong broker would be a hole there and missing here."""
    failed = guarded.deployment.testbus(
        "broker", "declare", "--users", check=False, TESTBUS_URL=guarded.server.url, **another.environment
    )
    assert failed.returncode == 2
    assert re.search(r"rabbitmqctl controls \S+, but 127\.0\.0\.1:\d+/ is", failed.stderr)
    assert "testbus-" not in another.control("list_users")


@pytest.mark.parametrize("form", ["definitions", "rabbitmqctl"])
def test_what_is_printed_makes_the_same_accounts(guarded: Guarded, another: PrivateRabbitMQ, form: str) -> None:
    """Loaded into another broker by its own tools, the printed accounts have the rights that declaring gives."""
    arguments = ["broker", "users", "--project", "web", "--passwords", str(guarded.passwords), "--format", form]
    printed = guarded.deployment.testbus(*arguments).stdout
    if form == "definitions":
        file = guarded.deployment.folder / "definitions.json"
        file.write_text(printed, encoding="utf-8")
        another.control("import_definitions", str(file))
        login = guarded.url("testbus-workers").partition("@")[0]
        with connected(f"{login}@{another.url.partition('@')[2]}"):
            pass
    else:
        for line in printed.splitlines():
            program, *command = shlex.split(line)
            assert program == "rabbitmqctl"
            # What a person is asked for.
            another.control(*command, *(["hunter2"] if command[0] == "add_user" else []))
    for listing in (["list_permissions"], ["list_topic_permissions"]):
        wanted = {line for line in guarded.server.control(*listing).splitlines() if line.startswith(ACCOUNTS)}
        extra = ("testbus-runner-shop", "testbus-approver-web", "testbus-runner-once", "testbus-runner-http")
        wanted = {line for line in wanted if not line.startswith(extra)}
        assert {line for line in another.control(*listing).splitlines() if line.startswith("testbus-")} == wanted
    for name in ACCOUNTS:
        another.control("delete_user", name)


def test_forged_requests_stop_nobodys_verdict(guarded: Guarded) -> None:
    """Requests that want their answers in queues, or nowhere: the next question is answered, and nothing is written."""
    guarded.declare("--project", "shop")
    request = encode(produced(VerdictRequested(context=run_context(project="web")))).body
    before = guarded.deployment.depths("runs")
    addresses = ["nobody", "testbus.dlq.runs", "testbus.queue.runs", "amq.rabbitmq.reply-to.abc.def", ""] * 20
    forged = [
        Message(
            body=request, exchange=REQUESTS_EXCHANGE, routing_key=VERDICT_KEY, reply_to=address, message_id=new_id()
        )
        for address in addresses
    ]
    url = guarded.url("testbus-runner-web")
    with closing(ConfirmedPublisher(url)) as publisher:
        publisher.publish(forged, 10)
    # The one whose address breaks connections is not answered for a minute; nobody else is held up.
    assert ask(guarded.url("testbus-runner-shop"), request.replace(b'"web"', b'"shop"'), SOON_S)
    assert guarded.deployment.depths("runs") == before
    assert guarded.deployment.depths("requests")["waiting"] == 0
