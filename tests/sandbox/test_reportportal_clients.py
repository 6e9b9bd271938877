"""The official Python client and the official pytest agent work with the sandbox, unmodified."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from reportportal_client import RPClient
from reportportal_client.core.rp_issues import Issue

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testbus_sandbox import ReportPortalServer

TESTS = """
import logging
import pytest

@pytest.mark.smoke
def test_passes():
    logging.getLogger(__name__).warning("a word from the test")

@pytest.mark.parametrize("number", [1, 2])
def test_one_fails(number):
    assert number == 1

class TestGroup:
    @pytest.mark.skip(reason="not now")
    def test_skipped(self):
        pass
"""

SETTINGS = """
[pytest]
rp_endpoint = {portal.url}
rp_project = {portal.project}
rp_api_key = {portal.api_key}
rp_launch = agent run
rp_launch_attributes = branch:main nightly
markers = smoke: quick
"""


@pytest.fixture
def client(portal: ReportPortalServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[RPClient]:
    """Return the official client, without its analytics."""
    monkeypatch.setenv("AGENT_NO_ANALYTICS", "1")
    running = RPClient(portal.url, portal.project, api_key=portal.api_key, http_timeout=10)
    yield running
    running.close()


def now() -> datetime:
    """Return the present instant."""
    return datetime.now(UTC)


def test_the_client_reports_a_launch(client: RPClient, portal: ReportPortalServer) -> None:
    """Launch, suite, test, nested step, logs with a file, update and questions all arrive."""
    launch = client.start_launch("client run", now(), description="by the client", attributes={"branch": "main"})
    suite = client.start_test_item("pkg", now(), "suite")
    step = client.start_test_item(
        "test_a", now(), "step", parent_item_id=suite, code_ref="pkg/a.py:test_a", parameters={"p": 1}, uuid="chosen"
    )
    nested = client.start_test_item("open the door", now(), "step", parent_item_id=step, has_stats=False)
    client.finish_test_item(nested, now(), "passed")
    file = {"name": "page.html", "data": b"<html>", "mime": "text/html"}
    client.log(now(), "it broke", "ERROR", item_id=step, attachment=file)
    assert client.finish_test_item(step, now(), "failed", issue=Issue("pb001", comment="known"))
    client.finish_test_item(suite, now())
    assert client.get_item_id_by_uuid(step) == 2
    assert client.update_test_item(step, attributes={"flaky": "yes"}, description="looked at") is not None
    info = client.get_launch_info()
    assert info is not None
    assert (info["id"], info["status"], info["uuid"]) == (1, "IN_PROGRESS", launch)
    assert client.get_launch_ui_url() == f"{portal.url}/ui/#demo/launches/all/1"
    settings = client.get_project_settings()
    assert settings is not None
    assert "PRODUCT_BUG" in settings["subTypes"]
    client.finish_launch(now())
    (shown,) = portal.launches
    assert shown.status == "FAILED"
    test = shown.named("test_a")
    assert (test.uuid, test.status, test.test_case_id) == ("chosen", "FAILED", "pkg/a.py:test_a[1]")
    assert test.issue is not None
    assert (test.issue.issue_type, test.issue.comment) == ("pb001", "known")
    assert [(one.key, one.value) for one in test.attributes] == [("flaky", "yes")]
    assert [(log.level, log.message, log.attachment and log.attachment.content) for log in test.logs] == [
        ("ERROR", "it broke", b"<html>")
    ]
    assert not shown.named("open the door").has_stats
    assert portal.hidden == ()


def test_the_client_with_a_wrong_key_gets_nothing(portal: ReportPortalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client swallows the 401 and returns None."""
    monkeypatch.setenv("AGENT_NO_ANALYTICS", "1")
    client = RPClient(portal.url, portal.project, api_key="wrong", http_timeout=10)
    assert client.start_launch("run", now()) is None
    client.close()
    assert portal.launches == ()


@pytest.mark.slow
def test_the_pytest_agent_reports_a_run(portal: ReportPortalServer, tmp_path: Path) -> None:
    """A pytest run with the official agent arrives whole, and nothing is hidden."""
    (tmp_path / "test_sample.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(SETTINGS.format(portal=portal))
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "pytest_reportportal.plugin", "--reportportal"],
        cwd=tmp_path,
        env={"AGENT_NO_ANALYTICS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 1, run.stdout + run.stderr
    assert portal.hidden == ()
    (launch,) = portal.launches
    assert (launch.name, launch.status) == ("agent run", "FAILED")
    shown = {(one.key, one.value) for one in launch.attributes if not one.system}
    assert shown == {("branch", "main"), (None, "nightly")}
    assert {one.key for one in launch.attributes if one.system} >= {"agent", "os"}
    assert {item.name: item.status for item in launch.children()} == {
        "test_sample.py::test_passes": "PASSED",
        "test_sample.py::test_one_fails[1]": "PASSED",
        "test_sample.py::test_one_fails[2]": "FAILED",
        "test_sample.py::TestGroup::test_skipped": "SKIPPED",
    }
    failed = launch.named("test_sample.py::test_one_fails[2]")
    assert failed.code_ref == "test_sample.py:test_one_fails"
    assert failed.parameters == (("number", "2"),)
    assert any("assert 2 == 1" in log.message for log in failed.logs if log.level == "ERROR")
    passed = launch.named("test_sample.py::test_passes")
    assert [one.value for one in passed.attributes] == ["smoke"]
    assert ["a word from the test" in log.message for log in passed.logs] == [True]
    assert portal.requests.by_route["POST /api/v2/{project}/item"] == 4
