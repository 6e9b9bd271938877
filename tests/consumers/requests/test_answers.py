"""What runners are answered, from the state that `gates` keeps."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from harness.events import FakeProducer
from testbus_consumers.gates import CONSUMER as GATES
from testbus_consumers.requests import CONSUMER as REQUESTS
from testbus_consumers.runtime.delivery import Acknowledge, Delivery, Settlement
from testbus_consumers.testing import ConsumerHarness, run_context
from testbus_schemas import VerdictRequested, encode, produced

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


#: The ids of two runs but for their last digit.
BEGINNING = "01890000-0000-7000-8000-00000000000"


class Asked:
    """`requests` and `gates` beside it, on one state."""

    def __init__(self, folder: Path) -> None:
        """Begin without any state of `gates`."""
        self.folder = folder
        self.requests = ConsumerHarness(REQUESTS, folder)

    def judge(self, run: str, **tests: str) -> None:
        """Let the gates judge a run of these tests."""
        with ConsumerHarness(GATES, self.folder) as gates:
            gates.decide(*FakeProducer(f"of-{run}", run=run).whole(**tests))

    def deliver(self, **context: Any) -> Settlement:
        """Deliver a request, as a runner sends it."""
        body = encode(produced(VerdictRequested(context=run_context(**context)))).body
        return self.requests.deliver_raw(Delivery(body=body, content_encoding=None, routing_key=None, reply_to="me"))

    def ask(self, **context: Any) -> dict[str, Any]:
        """Return the answer to a request."""
        self.deliver(**context)
        answer: dict[str, Any] = json.loads(self.requests.answers[-1])
        return answer


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    """Give both, without a verdict."""
    there = Asked(tmp_path)
    yield there
    there.requests.close()


def test_the_latest_verdict_is_answered_and_a_run_without_one_is_pending(asked: Asked) -> None:
    """A run that is decided while somebody asks is answered the next time."""
    asked.judge("other", test_a="passed")
    assert asked.ask() == {"status": "pending", "run": "run-1", "evaluation": None}
    asked.judge("run-1", test_a="failed")
    answer = asked.ask()
    assert (answer["status"], answer["run"], answer["evaluation"]["verdict"]) == ("decided", "run-1", "failed")


def test_a_runner_asks_for_its_own_projects_verdict_only(asked: Asked) -> None:
    """The run of another project looks like one that nobody knows."""
    asked.judge("run-1", test_a="passed")
    assert asked.ask(project="other") == {"status": "pending", "run": "run-1", "evaluation": None}


def test_a_beginning_of_an_id_stands_for_it_where_it_means_one_run(asked: Asked) -> None:
    """Of two runs that begin so neither is answered."""
    asked.judge(f"{BEGINNING}1", test_a="passed")
    assert asked.ask(run=BEGINNING)["run"] == f"{BEGINNING}1"
    asked.judge(f"{BEGINNING}2", test_a="passed")
    assert asked.ask(run=BEGINNING)["status"] == "pending"


def test_where_the_gates_have_no_state_nobody_is_told_that_a_run_is_pending(asked: Asked) -> None:
    """No state is no answer: whoever waits asks again, and hears at the end that nobody answered."""
    settlement = asked.deliver()
    assert isinstance(settlement, Acknowledge)
    assert "gates has no state" in settlement.note
    assert asked.requests.answers == []


def test_an_answer_writes_nothing(asked: Asked) -> None:
    """Neither the gates' state nor one of its own: a request is no event."""
    asked.judge("run-1", test_a="passed")
    before = (asked.folder / "gates.sqlite3").read_bytes()
    asked.ask()
    assert (asked.folder / "gates.sqlite3").read_bytes() == before
    assert asked.requests.emitted == []
