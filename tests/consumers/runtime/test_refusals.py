"""What never reaches a handler: bodies that are no events, and events that speak for somebody else."""

from __future__ import annotations

import gzip
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from testbus_consumers.runtime import Done, Outcome, State, answer, state
from testbus_consumers.runtime.delivery import Acknowledge, Answer, DeadLetter, Delivery
from testbus_consumers.testing import run_context
from testbus_schemas import (
    Event,
    EventData,
    ResultsRecorded,
    RunCompleted,
    VerdictRequested,
    derived,
    encode,
    produced,
)
from tests.consumers.runtime.samples import an_event, delivery, note, notes

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbus_consumers.testing import ConsumerHarness

    Make = Callable[..., ConsumerHarness]

EVENT = an_event()
BODY = encode(EVENT).body


def keep(event: Event[Any], state: State[Any]) -> Outcome:
    """Keep the run of every event that reaches the handler."""
    note(state, event.subject)
    return Done()


def changed(**attributes: str) -> bytes:
    """Return the body of a valid event with other attributes."""
    return json.dumps(json.loads(BODY) | attributes).encode()


@pytest.mark.parametrize(
    ("body", "encoding", "told"),
    [
        (BODY[:-20], None, "not a CloudEvent in structured JSON: body: "),
        (gzip.compress(BODY)[:-20], "gzip", "the gzipped body is cut short"),
        (BODY, "br", "content encoding 'br': gzip or none is understood"),
        (b"hello", None, "not a CloudEvent"),
        (changed(type="io.testbus.results.deleted"), None, "upgrade the consumers, then redrive"),
        (changed(dataschema="urn:testbus:results.recorded:2"), None, "upgrade the consumers, then redrive"),
        (changed(time="soon"), None, "results.recorded: time: "),
        (changed(subject="another"), None, "subject 'another' is not the context's run"),
    ],
)
def test_a_body_that_is_no_event_is_a_dead_letter_that_says_why(
    make: Make, body: bytes, encoding: str | None, told: str
) -> None:
    """The first attempt is the last: the dead letter names the place, and the remedy where there is one."""
    harness = make({ResultsRecorded: state(keep)})
    settlement = harness.deliver_raw(Delivery(body=body, content_encoding=encoding, routing_key=EVENT.routing_key))
    assert isinstance(settlement, DeadLetter)
    assert told in settlement.error
    assert harness.dead_letters == [settlement]
    assert notes(harness) == []


@pytest.mark.parametrize("routing_key", ["results.recorded.other", "tests.collected.web", "testbus.queue.sample"])
def test_a_producer_speaks_for_its_own_project_only(make: Make, routing_key: str) -> None:
    """The broker checks rights on the routing key: a body that claims another type or project is rejected."""
    harness = make({ResultsRecorded: state(keep)})
    settlement = harness.deliver_raw(delivery(EVENT, routing_key=routing_key))
    assert isinstance(settlement, DeadLetter)
    assert f"published as {routing_key!r}, but the body says 'results.recorded.web'" in settlement.error
    assert notes(harness) == []


def forged() -> list[Event[EventData]]:
    """Return events that somebody who may only ask could wish to tell."""
    context = run_context()
    decision = RunCompleted(context=context, revision=1, expected={}, finished_at=context.started_at)
    return [EVENT, derived(decision, consumer="runs", event_id="forged")]


@pytest.mark.parametrize("event", forged(), ids=lambda event: event.name)
def test_whoever_may_ask_cannot_tell(make: Make, event: Event[EventData]) -> None:
    """Every runner may send requests; an event that comes as one is rejected, whatever it claims."""
    harness = make({ResultsRecorded: state(keep)}, on_complete=state(keep))
    settlement = harness.deliver_raw(delivery(event, routing_key=None, reply_to="amq.rabbitmq.reply-to.x"))
    assert isinstance(settlement, Acknowledge)
    assert "came as a request" in settlement.note
    assert notes(harness) == []


def test_a_request_is_answered(make: Make) -> None:
    """What the handler returns goes, as JSON, to whoever asked."""
    harness = make({VerdictRequested: answer(lambda event, _reader: {"run": event.subject})})
    request = produced(VerdictRequested(context=run_context()))
    settlement = harness.deliver_raw(delivery(request, routing_key=None, reply_to="x"))
    assert isinstance(settlement, Answer)
    assert json.loads(settlement.body) == {"run": "run-1"}


def test_a_request_that_fails_is_forgotten(make: Make) -> None:
    """Whoever asked asks again: nothing goes through the retry delays, and nothing is kept for it."""
    harness = make({VerdictRequested: answer(lambda *_: 1 / 0)})
    request = produced(VerdictRequested(context=run_context()))
    assert isinstance(harness.deliver_raw(delivery(request, routing_key=None)), Acknowledge)
    assert harness.dead_letters == []


def asked(project: str, account: str = "", **fields: Any) -> Delivery:
    """Return a request about a run of a project, as it comes from an account."""
    request = produced(VerdictRequested(context=run_context(project=project, **fields)))
    return delivery(request, routing_key=None, reply_to="x", account=account)


@pytest.mark.parametrize(
    ("greedy", "others"),
    [
        # Each project has its own account.
        (("web", "testbus-runner-web"), [("shop", "testbus-runner-shop"), ("web", "testbus-operator")]),
        # All share one, or it does not say which it is.
        (("web", "guest"), [("shop", "guest"), ("web", "testbus-runner-web")]),
        (("web", ""), [("shop", ""), ("web", "testbus-runner-web")]),
    ],
)
def test_one_project_cannot_take_the_answers_of_others(
    make: Make, greedy: tuple[str, str], others: list[tuple[str, str]]
) -> None:
    """Whoever asks without end is answered a few hundred times at once, and everybody else as before."""
    harness = make({VerdictRequested: answer(lambda *_: {"status": "pending"})})
    began = time.monotonic()
    answered = sum(isinstance(harness.deliver_raw(asked(*greedy)), Answer) for _ in range(1000))
    # 300 at once, and 20 for each second that it took.
    assert 200 <= answered <= 301 + 20 * (time.monotonic() - began)
    assert all(isinstance(harness.deliver_raw(asked(*one)), Answer) for one in others)
    assert harness.dead_letters == []


def test_who_invents_projects_takes_none_of_the_answers_of_accounts(make: Make) -> None:
    """Requests in ever new names count together where no account stands for the project."""
    harness = make({VerdictRequested: answer(lambda *_: {"status": "pending"})})
    began = time.monotonic()
    answered = sum(isinstance(harness.deliver_raw(asked(f"p{number}")), Answer) for number in range(3000))
    # 1,500 at once, and 100 for each second that it took.
    assert 1500 <= answered <= 1501 + 100 * (time.monotonic() - began)
    assert isinstance(harness.deliver_raw(asked("web", "testbus-runner-web")), Answer)


def test_a_projects_account_asks_about_its_own_runs_only(make: Make) -> None:
    """The answer says so, and nothing of the other project's verdict."""
    harness = make({VerdictRequested: answer(lambda *_: {"status": "decided"})})
    settlement = harness.deliver_raw(asked("shop", "testbus-runner-web"))
    assert isinstance(settlement, Answer)
    told = json.loads(settlement.body)
    assert told["status"] == "refused"
    assert "web only" in told["reason"]


def test_a_request_is_small(make: Make) -> None:
    """What inflates to more than a context is not read: a few bytes would keep a worker busy."""
    harness = make({VerdictRequested: answer(lambda *_: {})})
    request = encode(produced(VerdictRequested(context=run_context())))
    body = gzip.compress(request.body[:-1] + b" " * 10_000_000 + b"}")
    settlement = harness.deliver_raw(Delivery(body=body, content_encoding="gzip", routing_key=None, reply_to="x"))
    assert isinstance(settlement, Acknowledge)
    assert "65536" in settlement.note
    assert harness.dead_letters == []
