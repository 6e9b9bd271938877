"""A fresh sandbox for each test, and clients that close what they open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbus_sandbox import Sandbox
from tests.sandbox.api import Api

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbus_sandbox import ReportPortalServer, SlackServer


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Return a running sandbox with two ReportPortals and a Slack."""
    with Sandbox(reportportals=("a", "b")) as running:
        yield running


@pytest.fixture
def portal(sandbox: Sandbox) -> ReportPortalServer:
    """Return the first ReportPortal."""
    return sandbox.reportportal("a")


@pytest.fixture
def slack(sandbox: Sandbox) -> SlackServer:
    """Return the Slack server."""
    return sandbox.slack


@pytest.fixture
def api(portal: ReportPortalServer) -> Iterator[Api]:
    """Return a plain HTTP client of the first ReportPortal, with its key."""
    with Api(portal) as client:
        yield client
