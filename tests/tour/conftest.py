"""The stage of the tour: one folder, the sandbox, and the whole pipeline in this process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

import testbus
from testbus_consumers import overview
from testbus_consumers.embedded.bus import EmbeddedBus, read_verdict
from testbus_consumers.settings import Settings
from testbus_sandbox import Sandbox
from testbus_schemas import RunContext

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Seconds that anything on the tour may take.
PATIENCE_S = 60.0


@dataclass(kw_only=True)
class Pipeline:
    """What a team would run: a configuration, a place for events, and servers to act on."""

    folder: Path
    sandbox: Sandbox
    #: Section `consumers` of testbus.yaml.
    consumers: dict[str, Any] = field(default_factory=dict)
    #: Section `broker`.
    broker: dict[str, Any] = field(default_factory=lambda: {"delay_steps": [1, 2, 5]})

    @property
    def settings(self) -> Settings:
        """Return the configuration."""
        return Settings.model_validate({"broker": self.broker, "consumers": self.consumers})

    @property
    def url(self) -> str:
        """Return what a runner's TESTBUS_URL would be."""
        return f"file://{self.folder}"

    def publish(self, *results: testbus.Result, run: str = "run-1", **told: str) -> None:
        """Do what a runner does: say what happened, and go on."""
        sent = testbus.publish(results, url=self.url, project="shop", run=run, **told)
        assert sent.complete, sent.reason

    def bus(self) -> EmbeddedBus:
        """Return every configured consumer at work, for a `with` block."""
        return EmbeddedBus(self.settings, self.folder)

    def drain(self) -> None:
        """Let every consumer do all that there is to do."""
        with self.bus() as bus:
            assert bus.drain(PATIENCE_S), bus.backlog()

    def verdict(self, run: str = "run-1") -> dict[str, Any]:
        """Return what `testbus verdict` would say: `verdict`, `reasons`, `revision`."""
        started = "1970-01-01T00:00:00Z"
        context = RunContext.model_validate({"project": "shop", "run": run, "started_at": started})
        answer = read_verdict(self.settings, self.folder, context)
        evaluation: dict[str, Any] = answer["evaluation"] or {"verdict": answer["status"]}
        return evaluation

    def trace(self, run: str = "run-1") -> dict[str, set[str]]:
        """Return what became of a run's events, by consumer."""
        found = overview.of_run(self.settings, run, f"sqlite:///{self.folder / 'state'}")
        return {name: {row.status.value for row in rows} for name, rows in found.items()}

    def secret(self, name: str, value: str) -> dict[str, str]:
        """Return a reference to a secret: that is all a configuration ever holds."""
        file = self.folder / f"{name}.secret"
        file.write_text(value, encoding="utf-8")
        return {"file": str(file)}

    def reportportal(self, name: str) -> dict[str, Any]:
        """Return the configuration of one ReportPortal target."""
        portal = self.sandbox.reportportal(name)
        key = self.secret(f"reportportal-{name}", portal.api_key)
        return {"endpoint": portal.url, "project": portal.project, "api_key": key, "timeout_s": 2}

    def jira(self) -> dict[str, Any]:
        """Return the configuration of Jira."""
        jira = self.sandbox.jira
        token = self.secret("jira", jira.token)
        told = {"url": jira.url, "user": jira.user, "token": token, "project": jira.project}
        return told | {"branches": ["*"], "timeout_s": 0.9, "settle_s": 2}

    def slack(self) -> dict[str, Any]:
        """Return the configuration of Slack."""
        slack = self.sandbox.slack
        token = self.secret("slack", slack.token)
        told = {"token": token, "channel": slack.channel("ci").id, "base_url": slack.url}
        return told | {"seconds_per_message": 0}

    def said(self) -> list[str]:
        """Return what Slack's channel shows, replies left out."""
        return [message.text for message in self.sandbox.slack.messages if message.thread_ts in {None, message.ts}]

    def items(self, portal: str) -> dict[str, str]:
        """Return the launches' items on a ReportPortal: name → status."""
        launches = self.sandbox.reportportal(portal).launches
        return {item.name: item.status.upper() for launch in launches for item in launch.items}


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """Give a pipeline with nothing configured but what always runs."""
    monkeypatch.chdir(tmp_path)
    for name in ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL", "TESTBUS_URL", "TESTBUS_RUN_ID", "TESTBUS_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    with Sandbox(reportportals=("eu", "us"), channels=("ci",), jira=True) as sandbox:
        yield Pipeline(folder=tmp_path, sandbox=sandbox)
