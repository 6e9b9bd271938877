"""What `testbus check` finds of a target, and what it says to do."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from harness.runs_of import START, passed, recorded
from testbus_consumers.runtime.delivery import Acknowledge, Delay
from testbus_consumers.testing import run_context

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import ReportPortalServer
    from tests.consumers.reportportal.looking import Look


def test_each_step_of_a_usable_target_is_told(look: Look) -> None:
    """Reachability, version, clock, credentials, project, rights."""
    found = look()
    assert list(found) == ["reachability", "version", "clock", "credentials", "project", "rights"]
    assert {level for level, _ in found.values()} == {"ok"}
    assert found["version"][1] == "5.15.1"
    assert found["rights"][1] == "sandbox may report (MEMBER)"


def test_looking_changes_nothing(look: Look, portal: ReportPortalServer) -> None:
    """Nothing but questions is sent."""
    look()
    assert {route.split()[0] for route in portal.requests.by_route} == {"GET"}


def test_types_of_defects_that_the_project_does_not_have_are_told(look: Look) -> None:
    """Each with the names that there are; results are reported all the same."""
    rules = [{"phases": ["setup"], "defect": name} for name in ("ENV", "SI", "system_issue", "ab001")]
    level, detail = look(defects=rules)["defects"]
    assert level == "warning"
    assert "the type 'ENV', which this project does not have; it has: to_investigate, " in detail


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda faults: faults.refuse(), "nobody listens at 127.0.0.1"),
        (lambda faults: faults.hang(), "no answer in time: it hangs"),
        (lambda faults: faults.status(503), "503 from /api/info, and not as ReportPortal answers"),
        (lambda faults: faults.reset(), "it cut the connection"),
    ],
)
def test_a_server_that_cannot_be_reached_is_explained(
    look: Look, portal: ReportPortalServer, fault: Callable[[Any], None], said: str
) -> None:
    """And nothing else is asked of it."""
    fault(portal.faults)
    found = look(timeout_s=0.3)
    assert list(found) == ["reachability"]
    level, detail = found["reachability"]
    assert level == "failed"
    assert said in detail


def test_a_name_that_nobody_knows_is_explained(look: Look) -> None:
    """The name is in the message."""
    _, detail = look(endpoint="https://reportportal.invalid")["reachability"]
    assert "reportportal.invalid is not known" in detail


def test_wrong_keys_projects_and_roles_are_told_apart(
    look: Look, portal: ReportPortalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each says what to do; what cannot be known is left out."""
    found = look(project="other")
    assert (found["credentials"][0], found["project"][0]) == ("ok", "failed")
    assert "403/4003" in found["project"][1]
    assert "is a member of: demo" in found["project"][1]
    assert "rights" not in found
    portal.member.role = "OPERATOR"
    level, detail = look()["rights"]
    assert level == "failed"
    assert "OPERATOR in demo and may not report: give it the role member" in detail
    portal.member.user_role = "ADMINISTRATOR"
    assert look()["rights"][0] == "ok"
    assert "RP_UNSET is not set" in look(api_key={"env": "RP_UNSET"})["credentials"][1]
    monkeypatch.setenv("RP_KEY", "wrong")
    found = look()
    assert list(found) == ["reachability", "version", "clock", "credentials"]
    assert "(401): make one on the profile page" in found["credentials"][1]


def test_a_role_that_may_not_report_stops_the_target_not_the_events(
    make_worker: Callable[..., ConsumerHarness], portal: ReportPortalServer
) -> None:
    """As with a wrong key: the event waits, uncounted, until somebody gives the role."""
    portal.member.role = "OPERATOR"
    worker = make_worker()
    event = recorded(run_context(started_at=START), passed("test_a"))
    settlement = worker.deliver(event)
    assert isinstance(settlement, Delay)
    assert settlement.attempt == 0
    portal.member.role = "CUSTOMER"
    assert worker.deliver(event) == Acknowledge(note="1 items")


@contextlib.contextmanager
def another(version: str, off_s: float = 0.0) -> Iterator[str]:
    """Run a server that says it is ReportPortal of a version, with a clock of its own; give its address."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer /api/info, and nothing else as ReportPortal does."""
            body = json.dumps({"build": {"version": version}}).encode()
            self.send_response(200 if self.path == "/api/info" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            """Return what the header Date says."""
            return super().date_time_string((timestamp or time.time()) + off_s)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the library's name
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("version", "level", "said"),
    [
        ("5.14.4", "warning", "5.14.4 is older than 5.15"),
        ("5.15.3", "ok", "5.15.3"),
        ("5.16.0", "ok", "5.16.0; tested with 5.15"),
        ("6.0.1", "warning", "`project` has to be the project's key"),
        ("latest", "warning", "not a version that can be compared"),
    ],
)
def test_versions_are_held_against_the_tested_one(look: Look, version: str, level: str, said: str) -> None:
    """Older and much newer ones are named, and what is different in them."""
    with another(version) as url:
        found = look(endpoint=url)["version"]
    assert found[0] == level
    assert said in found[1]


@pytest.mark.parametrize(("off_s", "said"), [(-300, "300 s behind"), (90, "90 s ahead of"), (2, "within 5 s")])
def test_a_clock_that_is_wrong_is_told(look: Look, off_s: float, said: str) -> None:
    """How much, and in which direction; a second's difference is none."""
    with another("5.15.1", off_s) as url:
        level, detail = look(endpoint=url)["clock"]
    assert level == ("ok" if abs(off_s) < 5 else "warning")
    assert said in detail.replace("299 s", "300 s").replace("301 s", "300 s").replace("89 s", "90 s").replace(
        "91 s", "90 s"
    )
