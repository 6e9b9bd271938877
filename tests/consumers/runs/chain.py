"""Consumers side by side, as on a bus: everything published reaches whoever wants it, also what they publish."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from testbus_broker.topology import Subscription
from testbus_consumers.gates import CONSUMER as GATES
from testbus_consumers.jira import CONSUMER as JIRA
from testbus_consumers.regressions import CONSUMER as REGRESSIONS
from testbus_consumers.reportportal import CONSUMER as REPORTPORTAL
from testbus_consumers.runs import CONSUMER as RUNS
from testbus_consumers.slack import CONSUMER as SLACK
from testbus_consumers.testing import ConsumerHarness
from testbus_sandbox import Sandbox
from testbus_schemas import GateEvaluated

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from testbus_schemas import Event, EventData

#: Seconds: signs of life, a lost producer, a silent run.
BEAT, LOST, DEADLINE = 10, 40, 600


class Chain:
    """All built-in consumers over a sandbox."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **slack: Any) -> None:
        """Begin with nothing; `slack` are settings of that consumer."""
        self._stack = ExitStack()
        #: The targets.
        self.sandbox = self._stack.enter_context(Sandbox(reportportals=("a",), channels=("ci", "alerts"), jira=True))
        box, portal = self.sandbox, self.sandbox.reportportal("a")
        for name, secret in (("SLACK", box.slack.token), ("JIRA", box.jira.token), ("PORTAL", portal.api_key)):
            monkeypatch.setenv(f"{name}_TOKEN", secret)
        told = {"token": {"env": "SLACK_TOKEN"}, "channel": box.slack.channel("ci").id, "base_url": box.slack.url}
        filed = {
            "url": box.jira.url,
            "project": box.jira.project,
            "token": {"env": "JIRA_TOKEN"},
            "user": box.jira.user,
        }
        shown = {"endpoint": portal.url, "project": portal.project, "api_key": {"env": "PORTAL_TOKEN"}}
        wired: tuple[tuple[Any, dict[str, Any], str | None], ...] = (
            (RUNS, {"deadline_s": DEADLINE, "producer_deadline_s": LOST}, None),
            (GATES, {}, None),
            (REGRESSIONS, {}, None),
            (SLACK, told | {"seconds_per_message": 0} | slack, None),
            (JIRA, filed, None),
            (REPORTPORTAL, shown, "a"),
        )
        #: Every consumer by name.
        self.consumers = {
            consumer.name: self._stack.enter_context(ConsumerHarness(consumer, folder, settings, target=target))
            for consumer, settings, target in wired
        }
        self._wants = {one.name: Subscription(name=one.name, patterns=one.patterns).wants for one, _, _ in wired}
        self._passed_on = dict.fromkeys(self.consumers, 0)

    def __enter__(self) -> Self:
        """Return the chain."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Close everything."""
        self._stack.close()

    def deliver(self, *events: Event[EventData]) -> None:
        """Deliver events to whoever wants them, and what follows from them."""
        for event in events:
            for name, consumer in self.consumers.items():
                if self._wants[name](event.routing_key):
                    consumer.deliver(event)
            self._pass_on()

    def wait(self, seconds: float) -> None:
        """Let time pass for everybody."""
        for consumer in self.consumers.values():
            consumer.run_timers(seconds)
        self._pass_on()

    def _pass_on(self) -> None:
        for name, consumer in self.consumers.items():
            new = consumer.emitted[self._passed_on[name] :]
            if new:
                self._passed_on[name] += len(new)
                self.deliver(*new)

    @property
    def verdicts(self) -> list[GateEvaluated]:
        """Return every verdict so far."""
        return [event.data for event in self.consumers["gates"].emitted if isinstance(event.data, GateEvaluated)]

    @property
    def decisions(self) -> list[str]:
        """Return what `runs` has said."""
        return [event.name for event in self.consumers["runs"].emitted]
