"""A Jira on loopback for each test, and workers in front of it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from testbus_sandbox import Sandbox
from tests.consumers.jira.failing import TOKEN_VARIABLE, worker_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from testbus_consumers.testing import ConsumerHarness
    from testbus_sandbox import JiraServer


@pytest.fixture(params=["cloud", "datacenter"])
def flavour(request: pytest.FixtureRequest) -> str:
    """Return each flavour of Jira."""
    return str(request.param)


@pytest.fixture
def jira(flavour: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[JiraServer]:
    """Return a running Jira, whose token the workers find."""
    with Sandbox(reportportals=(), slack=False, jira=True, jira_flavour=flavour, jira_projects=("SHOP", "OPS")) as box:
        monkeypatch.setenv(TOKEN_VARIABLE, box.jira.token)
        yield box.jira


@pytest.fixture
def make_worker(jira: JiraServer, tmp_path: Path) -> Iterator[Callable[..., ConsumerHarness]]:
    """Return a function that makes workers, which share their state unless they are told a folder."""
    with ExitStack() as stack:

        def make(folder: str = "state", **settings: Any) -> ConsumerHarness:
            return stack.enter_context(worker_of(jira, tmp_path / folder, **settings))

        yield make


@pytest.fixture
def worker(make_worker: Callable[..., ConsumerHarness], jira: JiraServer) -> ConsumerHarness:
    """Return one worker; Jira's clock is the worker's."""
    made = make_worker()
    jira.use_clock(lambda: made.now.timestamp())  # noqa: PLW0108 a method of each moment's `now`, not of this one's
    return made
