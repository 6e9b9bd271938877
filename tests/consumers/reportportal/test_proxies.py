"""What stands between us and ReportPortal, and texts that would lead elsewhere."""

from __future__ import annotations

import http.client
import json
import re
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from harness.http_front import Answer, HttpFront, Request, http_front
from harness.runs_of import START, decided, failed, judged, passed, recorded
from testbus_consumers.errors import SettingsError
from testbus_consumers.reportportal.text import without_scripts
from testbus_consumers.runtime.breaker import LONGEST_PAUSE_S
from testbus_consumers.runtime.delivery import Acknowledge, DeadLetter, Delay
from testbus_consumers.store import deliveries
from testbus_consumers.testing import run_context

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import ReportPortalServer

    Make = Callable[..., ConsumerHarness]

JSON = {"Content-Type": "application/json"}

#: Answers in ReportPortal's place; the last one is its own, and speaks of everything.
STRANGERS = {
    "a firewall": Answer(403),
    "a gateway's 404": Answer(404),
    "a 401 of a proxy": Answer(401),
    "JSON of a gateway": Answer(404, b'{"message": "no Route matched with those values"}', JSON),
    "no project": Answer(
        404,
        json.dumps({"errorCode": 4042, "message": "Project 'web' not found. Did you use correct name?"}).encode(),
        JSON,
    ),
}


@pytest.fixture
def front(portal: ReportPortalServer) -> Iterator[HttpFront]:
    """Give a proxy before ReportPortal."""
    with http_front(portal.url) as proxy:
        yield proxy


@pytest.mark.parametrize("name", STRANGERS)
def test_what_is_no_refusal_of_an_event_gives_none_up(
    make_worker: Make, portal: ReportPortalServer, front: HttpFront, name: str
) -> None:
    """Everything waits, no key is blamed, and all is reported afterwards."""
    worker = make_worker(endpoint=front.url)
    event = recorded(run_context(started_at=START), passed("test_a"))
    front.rule = lambda _: STRANGERS[name]
    for _ in range(6):
        settlement = worker.deliver(event)
        assert isinstance(settlement, Delay)
        assert settlement.attempt == 0
        assert "API key" not in settlement.reason
    front.rule = lambda _: None
    worker.run_timers(LONGEST_PAUSE_S + 1)
    assert isinstance(worker.deliver(event), Acknowledge)
    assert [item.name for item in portal.launches[0].items] == ["test_a"]


@pytest.mark.parametrize("name", STRANGERS)
def test_what_is_refused_of_one_test_costs_no_other(
    make_worker: Make, portal: ReportPortalServer, front: HttpFront, name: str
) -> None:
    """The event is a dead letter that names it; its other tests, and other events, are reported."""
    worker = make_worker(endpoint=front.url)
    context = run_context(started_at=START)
    front.rule = lambda request: STRANGERS[name] if b"DROP TABLE" in request.body else None
    letter = worker.deliver(recorded(context, passed("test_a"), passed("test_b[DROP TABLE]"), passed("test_c")))
    assert isinstance(letter, DeadLetter)
    assert "DROP TABLE" in letter.error
    assert "Other requests get through" in letter.error
    assert "API key" not in letter.error
    assert isinstance(worker.deliver(recorded(context, passed("test_d"), sequence=3)), Acknowledge)
    assert sorted(item.name for item in portal.launches[0].items) == ["test_a", "test_c", "test_d"]


def test_a_redirect_gets_no_key(make_worker: Make, front: HttpFront) -> None:
    """The event waits; the other address hears nothing."""
    with http_front("http://127.0.0.1:1/") as elsewhere:
        elsewhere.rule = lambda _: Answer(201, b'{"id": "x"}', JSON)
        worker = make_worker(endpoint=front.url)
        for status in (301, 302, 307, 308):
            front.rule = lambda _, status=status: Answer(status, b"", {"Location": elsewhere.url})  # type: ignore[misc]
            settlement = worker.deliver(recorded(run_context(started_at=START), passed("test_a")))
            assert isinstance(settlement, Delay)
        assert elsewhere.seen == []


def test_credentials_do_not_belong_into_an_address(make_worker: Make) -> None:
    """They would be in logs; the password is not in the error either."""
    with pytest.raises(SettingsError, match="credentials") as refused:
        make_worker(endpoint="https://me:secret@portal.example")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("run", "42`\n\n**Verdict passed**: all is well"),
        ("run", "x\r\n\r\n**Verdict passed**"),
        ("branch", "[click](javascript:alert(1))"),
        ("branch", "<javascript:alert(1)>"),
        ("repository", "a\n\n**Verdict passed**"),
        ("pull_request", "**Verdict passed**"),
        ("build_url", "javascript:alert(1)"),
        ("build_url", "https://ci.example/) [x](javascript:alert(1)"),
    ],
)
def test_a_run_forges_nothing_in_its_launchs_description(
    worker: ConsumerHarness, portal: ReportPortalServer, field: str, value: str
) -> None:
    """No verdict but ours, and no link but to the build on the web."""
    context = run_context(**{"started_at": START, "run": "42", "branch": "main", field: value})
    worker.deliver(recorded(context, failed("test_a")), decided(context), judged(context, "failed", reasons=(value,)))
    (launch,) = portal.launches
    # Without what is escaped, and what is code.
    shown = re.sub(r"`[^`]*`", "", re.sub(r"\\.", "", launch.description or ""))
    assert re.findall(r"\*\*[^*]*\*\*", shown) == ["**Failed**"]
    assert set(re.findall(r"\]\([a-z]*:", shown)) <= {"](https:"}
    assert "<" not in shown
    assert "\n\n**Verdict passed" not in (launch.description or "")


@pytest.mark.parametrize(
    "text",
    [
        "[x](javascript:alert(1))", "[x]( javascript:alert(1))", "![x](data:text/html,x)", "[x](<javascript:alert(1)>)",
        "[x](&#106;avascript:alert(1))", "[x]\n[x]: javascript:alert(1)", "<javascript:alert(1)>", "[x](JaVaScRiPt:1)",
        "<a href='javascript:alert(1)'>x</a>", "[x](java\nscript:alert(1))", "[x](vbscript:1)",
    ],
)  # fmt: skip
def test_no_description_leads_into_a_script(worker: ConsumerHarness, portal: ReportPortalServer, text: str) -> None:
    """A docstring is shown as it is, but what would run in a reader's browser is no link."""
    worker.deliver(recorded(run_context(started_at=START), passed("test_a", description=f"See {text}.")))
    (item,) = portal.launches[0].items
    shown = item.description or ""
    assert shown != f"See {text}."
    assert shown.replace("\\", "") == f"See {text}."


@pytest.mark.parametrize(
    "text",
    [
        "[x](https://example.com/a?b=c:d)", "<https://example.com>", "a < b: c > d", "x[0](1)", "[x](#a)",
        "[x](a/b.md)",
        "dict[a, b]: key: value", "[x]: https://example.com", "Optional[int]: a number & more", "<b>bold</b>",
    ],
)  # fmt: skip
def test_other_descriptions_stay_as_they_are(text: str) -> None:
    """Links to the web and within a page, and code."""
    assert without_scripts(text) == text


def test_two_producers_of_one_shard_have_an_item_each(make_worker: Make, portal: ReportPortalServer) -> None:
    """A shard that was started twice: neither result hides the other, as for the verdict; again and again the same."""
    context = run_context(started_at=START, shard={"index": 1, "total": 2})
    events: list[Any] = [
        recorded(context, failed("test_a"), passed("test_b"), producer="first"),
        recorded(context, passed("test_a"), passed("test_b"), producer="second"),
    ]
    worker, other = make_worker(), make_worker()
    worker.deliver(*events)
    other.deliver(*events[::-1])
    assert sorted((item.name, item.status) for item in portal.launches[0].items) == [
        ("test_a", "FAILED"),
        ("test_a", "PASSED"),
        ("test_b", "PASSED"),
        ("test_b", "PASSED"),
    ]


def test_a_persons_stop_in_the_middle_of_an_item_is_told(
    make_worker: Make, portal: ReportPortalServer, front: HttpFront
) -> None:
    """Between an item's start and its finish, whose worker was lost: the ledger says what became of it and of the run.

    The item stays as the person left it; what comes later is reported all the same.
    """
    worker = make_worker(endpoint=front.url)
    context = run_context(started_at=START)

    def stop_once(request: Request) -> Answer | None:
        if request.method != "PUT" or "/item/" not in request.path:
            return None
        front.rule = lambda _: None
        ending = json.dumps({"endTime": str(int(worker.now.timestamp() * 1000))}).encode()
        path = f"/api/v1/{portal.project}/launch/{portal.launches[0].id}/stop"
        with closing(http.client.HTTPConnection(urlsplit(portal.url).netloc)) as person:
            person.request("PUT", path, ending, {"Authorization": f"Bearer {portal.api_key}", **JSON})
            assert person.getresponse().status == 200
        return Answer(502)

    front.rule = stop_once
    event = recorded(context, failed("test_a"))
    assert isinstance(worker.deliver(event), Delay)
    note = worker.deliver(event)
    assert isinstance(note, Acknowledge)
    assert "stopped the launch" in note.note
    assert "test_a" in note.note
    assert worker.deliver(recorded(context, passed("test_b"), sequence=3)) == Acknowledge(note="1 items")
    worker.deliver(decided(context))
    assert [(item.name, item.status) for item in portal.launches[0].items] == [
        ("test_a", "INTERRUPTED"),
        ("test_b", "PASSED"),
    ]
    with worker.policy.store.begin() as connection:
        (decision,) = [row for row in deliveries.of_run(connection, context.run) if row.type == "run.completed"]
    assert decision.reason.startswith("was stopped by a person")
