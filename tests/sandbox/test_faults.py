"""Faults: what a server can be made to do wrong, from Python and over HTTP."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import requests

from harness.support import wait_until
from testbus_sandbox import Fault, InvalidFaultError
from tests.sandbox.api import TIMEOUT_S, Api

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbus_sandbox import ReportPortalServer, Sandbox, SlackServer


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    """Return threads for requests that do not come back soon."""
    with ThreadPoolExecutor(4) as pool:
        yield pool


def connects(url: str) -> bool:
    """Return whether the server accepts a connection and answers."""
    try:
        return requests.get(url, timeout=TIMEOUT_S).status_code == 200
    except requests.ConnectionError:
        return False


def test_latency_answers_late(api: Api) -> None:
    """A request takes at least as long as the fault says."""
    api.portal.faults.latency(120, times=1)
    started = time.monotonic()
    assert api.start_launch().status_code == 201
    assert time.monotonic() - started >= 0.12
    assert api.portal.faults.active == ()


def test_latency_comes_on_top_of_other_faults(api: Api) -> None:
    """A late error is both."""
    api.portal.faults.latency(60)
    api.portal.faults.status(503)
    started = time.monotonic()
    assert api.start_launch().status_code == 503
    assert time.monotonic() - started >= 0.06


def test_a_hanging_request_goes_on_when_faults_are_cleared(api: Api, background: ThreadPoolExecutor) -> None:
    """Nothing is done and nothing answered before that."""
    api.portal.faults.hang(path="/launch$")
    pending: Future[requests.Response] = background.submit(api.start_launch)
    wait_until(lambda: api.portal.requests.total == 1, 5, "the request arrived")
    assert api.get("settings").status_code == 200
    assert not pending.done()
    assert api.portal.launches == ()
    api.portal.faults.clear()
    assert pending.result(5).status_code == 201
    assert len(api.portal.launches) == 1


def test_a_client_with_a_timeout_gives_a_hanging_server_up(api: Api) -> None:
    """The timeout is the client's; what was asked may have happened all the same."""
    api.portal.faults.hang(act_first=True, times=1)
    with pytest.raises(requests.ReadTimeout):
        api.session.post(api.url("launch"), json={"name": "run", "startTime": 0}, timeout=0.1)
    assert len(api.portal.launches) == 1


def test_a_client_that_gave_up_leaves_no_error_behind(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """What it asked goes on when faults are cleared, and finds nobody there any more."""
    api.portal.faults.hang(times=1)
    with pytest.raises(requests.ReadTimeout):
        api.session.post(api.url("launch"), json={"name": "run", "startTime": 0}, timeout=0.1)
    api.portal.faults.clear()
    assert api.get("settings").status_code == 200
    assert caplog.records == []


def test_a_sandbox_stops_with_requests_that_hang(sandbox: Sandbox, background: ThreadPoolExecutor) -> None:
    """Leaving the sandbox lets them go."""
    portal = sandbox.reportportal("a")
    portal.faults.hang()
    pending = background.submit(connects, f"{portal.url}/api/info")
    wait_until(lambda: portal.requests.total == 1, 5, "the request arrived")
    sandbox.__exit__(None, None, None)
    assert pending.result(5) in {True, False}


def test_refused_connections_are_accepted_again(api: Api) -> None:
    """While refused, new and open connections fail; afterwards the same port serves the same data."""
    api.launch()
    info = f"{api.portal.url}/api/info"
    api.portal.faults.refuse()
    with pytest.raises(requests.ConnectionError):
        api.start_launch()
    assert not connects(info)
    api.portal.faults.clear()
    assert connects(info)
    assert len(api.portal.launches) == 1


def test_a_refusal_may_end_by_itself(portal: ReportPortalServer) -> None:
    """With seconds, connections are accepted again without anybody's doing."""
    portal.faults.refuse(0.1)
    assert not connects(f"{portal.url}/api/info")
    wait_until(lambda: connects(f"{portal.url}/api/info"), 5, "connections are accepted")


def test_a_reset_cuts_the_connection(api: Api) -> None:
    """The next requests are cut, those after them are answered."""
    api.portal.faults.reset(times=2)
    for _ in range(2):
        with pytest.raises(requests.ConnectionError):
            api.start_launch()
    assert api.start_launch().json()["number"] == 1


def test_a_fault_may_let_requests_go_by_first(api: Api) -> None:
    """So many that it would hit; then it hits so many as it is for."""
    api.portal.faults.status(503, path="/launch$", skip=2, times=1)
    assert [api.start_launch().status_code for _ in range(4)] == [201, 201, 503, 201]


def test_a_reset_after_the_act_loses_only_the_answer(api: Api) -> None:
    """The client sees an error, the server has the launch."""
    api.portal.faults.reset(act_first=True, times=1)
    with pytest.raises(requests.ConnectionError):
        api.start_launch(uuid="mine")
    assert api.shown().uuid == "mine"


@pytest.mark.parametrize(
    ("status", "media_type", "part"),
    [
        (401, "application/json", '"error": "invalid_token"'),
        (403, "application/json", '"errorCode": 4003'),
        (429, "text/html", "429"),
        (500, "application/json", '"errorCode": 5000'),
        (503, "text/html", "503"),
    ],
)
def test_a_status_has_the_shape_of_a_real_installation(api: Api, status: int, media_type: str, part: str) -> None:
    """Applications answer JSON, the gateway in front of them HTML; nothing is done."""
    api.portal.faults.status(status, times=1)
    answer = api.start_launch()
    assert (answer.status_code, answer.headers["Content-Type"].partition(";")[0]) == (status, media_type)
    assert part in answer.text
    assert "Retry-After" not in answer.headers
    assert api.portal.launches == ()
    assert api.start_launch().status_code == 201


def test_a_status_may_say_when_to_come_back(api: Api, slack: SlackServer) -> None:
    """Retry-After is the fault's; Slack's body is Slack's."""
    api.portal.faults.status(429, retry_after_s=7)
    assert api.start_launch().headers["Retry-After"] == "7"
    slack.faults.status(429, retry_after_s=3)
    answer = requests.post(f"{slack.url}api.test", timeout=TIMEOUT_S)
    assert (answer.headers["Retry-After"], answer.json()) == ("3", {"ok": False, "error": "ratelimited"})


def test_a_server_may_act_and_then_answer_500(api: Api) -> None:
    """The error hides that it was done: a second try meets the first one's work."""
    api.portal.faults.status(500, act_first=True, times=1)
    assert api.start_launch(uuid="mine").status_code == 500
    assert "launch_uuid_key" in api.start_launch(uuid="mine").text


def test_a_slow_body_arrives_whole(api: Api) -> None:
    """The bytes come in pieces, and all of them."""
    api.launch()
    whole = api.get("launch/uuid/" + api.shown().uuid).text
    api.portal.faults.slow_body(100)
    started = time.monotonic()
    assert api.get("launch/uuid/" + api.shown().uuid).text == whole
    assert time.monotonic() - started >= 0.09


def test_a_fault_hits_only_its_method_and_path(api: Api) -> None:
    """Other requests are answered."""
    api.portal.faults.status(500, method="POST", path=r"/v1/.*/item")
    launch = api.launch()
    assert api.start_item(launch).status_code == 500
    assert api.get("item", **{"filter.eq.launchId": "1"}).status_code == 200


def test_servers_have_their_own_faults(sandbox: Sandbox) -> None:
    """One server's fault is nobody else's."""
    sandbox.reportportal("a").faults.status(503)
    assert not connects(f"{sandbox.reportportal('a').url}/api/info")
    assert connects(f"{sandbox.reportportal('b').url}/api/info")


def test_faults_are_set_and_cleared_over_http(api: Api) -> None:
    """The control page is hit by no fault and counted nowhere."""
    control = f"{api.portal.url}/__sandbox__/faults"
    body = {"action": "status", "status": 503, "path": "/launch", "times": 2, "act_first": False}
    assert requests.post(control, json=body, timeout=TIMEOUT_S).status_code == 201
    assert api.start_launch().status_code == 503
    (shown,) = requests.get(control, timeout=TIMEOUT_S).json()["faults"]
    assert (shown["action"], shown["status"], shown["times"]) == ("status", 503, 2)
    assert requests.delete(control, timeout=TIMEOUT_S).status_code == 204
    assert api.start_launch().status_code == 201
    assert api.portal.requests.total == 2


def test_connections_are_refused_over_http(portal: ReportPortalServer) -> None:
    """The answer still arrives, then the port refuses for the seconds that were asked for."""
    body = {"action": "refuse", "seconds": 0.3}
    info = f"{portal.url}/api/info"
    assert requests.post(f"{portal.url}/__sandbox__/faults", json=body, timeout=TIMEOUT_S).status_code == 201
    wait_until(lambda: not connects(info), 5, "connections are refused")
    wait_until(lambda: connects(info), 5, "connections are accepted")


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        "{}",
        '{"action": "explode"}',
        '{"action": "hang", "colour": "red"}',
        '{"action": "status", "status": "503"}',
        '{"action": "status", "status": 200}',
        '{"action": "hang", "times": 0}',
        '{"action": "hang", "path": "("}',
        '{"action": "refuse", "seconds": []}',
    ],
)
def test_a_fault_that_means_nothing_is_refused(portal: ReportPortalServer, body: str) -> None:
    """The control page answers 400 and says why."""
    answer = requests.post(f"{portal.url}/__sandbox__/faults", data=body, timeout=TIMEOUT_S)
    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.mark.parametrize("fields", [{"action": "explode"}, {"action": "latency", "delay_ms": -1}])
def test_a_fault_is_checked_when_it_is_made(fields: dict[str, Any]) -> None:
    """Python hears it at once."""
    with pytest.raises(InvalidFaultError):
        Fault(**fields)


def test_requests_are_counted_by_method_and_route(api: Api) -> None:
    """A benchmark can compute requests per test, here and over HTTP."""
    launch = api.launch()
    for _ in range(3):
        api.finish_item(launch, api.item(launch))
    expected = {
        "POST /api/v1/{project}/launch": 1,
        "POST /api/v1/{project}/item": 3,
        "PUT /api/v1/{project}/item/{uuid}": 3,
    }
    assert api.portal.requests.by_route == expected
    control = f"{api.portal.url}/__sandbox__/requests"
    assert requests.get(control, timeout=TIMEOUT_S).json() == {"total": 7, "by_route": expected}
    assert requests.delete(control, timeout=TIMEOUT_S).status_code == 204
    assert api.portal.requests.total == 0
