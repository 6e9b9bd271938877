"""What the tests of `testbus replay` share: a home with runs in it, and its consumers' rows."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from harness.events import FakeProducer
from harness.past import TIMES, WORDS
from testbus.main import run_command
from testbus_broker.event_log import EventLog
from testbus_broker.message import message_of
from testbus_consumers import settings
from testbus_consumers.embedded import EmbeddedBus
from testbus_schemas import decode

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from testbus_sandbox import Sandbox

#: Seconds that a home may take to be drained.
PATIENCE_S = 120.0

#: Tables that are the embedded driver's, or hold only what is under way.
DRIVERS = ("embedded_", "sqlite_", "testbus_version", "testbus_lease", "testbus_control")


@dataclass(kw_only=True)
class Home:
    """An embedded home in the current folder; commands run in this process, which is quicker, and no less whole."""

    #: The current folder.
    folder: Path
    #: What its consumers act on.
    sandbox: Sandbox
    #: What commands print.
    printed: pytest.CaptureFixture[str]

    @property
    def path(self) -> Path:
        """Return TESTBUS_HOME."""
        return self.folder / ".testbus"

    def configure(self, *, components: dict[str, Any] | None = None, **consumers: Any) -> None:
        """Write the configuration."""
        configuration = {"components": components or {}, "consumers": consumers}
        (self.folder / "testbus.yaml").write_text(yaml.safe_dump(configuration), encoding="utf-8")

    def secret(self, name: str, value: str) -> dict[str, str]:
        """Return a reference to a secret."""
        (self.folder / name).write_text(value, encoding="utf-8")
        return {"file": str(self.folder / name)}

    def slack(self) -> dict[str, Any]:
        """Return the configuration of Slack."""
        slack = self.sandbox.slack
        told = {"token": self.secret("slack", slack.token), "channel": slack.channel("ci").id, "base_url": slack.url}
        return told | {"seconds_per_message": 0}

    def portal(self, name: str) -> dict[str, Any]:
        """Return the configuration of a ReportPortal."""
        portal = self.sandbox.reportportal(name)
        key = self.secret(name, portal.api_key)
        # A short timeout: what was sent a moment ago is soon believed not to be there.
        return {"endpoint": portal.url, "project": portal.project, "api_key": key, "timeout_s": 2}

    def publish(self, *runs: str, failing: tuple[str, ...] = ("test_b",)) -> None:
        """Let a producer of each run publish all that it has."""
        log = EventLog(self.path)
        for run in runs:
            outcomes = {name: "failed" if name in failing else "passed" for name in ("test_a", "test_b", "test_c")}
            producer = FakeProducer(f"producer-{run}", run=run, branch="main", commit=f"commit of {run}")
            events = [
                producer.started(),
                producer.collected(*outcomes),
                producer.results(**outcomes),
                producer.coverage("shop/cart.py", "1-10", "1-8"),
                producer.finished(),
            ]
            log.append([message_of(event) for event in events])
        log.close()

    def drain(self) -> None:
        """Let every consumer do all that there is to do."""
        with EmbeddedBus(settings.load(), self.path) as bus:
            assert bus.drain(PATIENCE_S), bus.backlog()

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command, and return its exit code, what it printed, and what it said on standard error."""
        self.printed.readouterr()
        code = run_command(list(arguments))
        said = self.printed.readouterr()
        return code, said.out, said.err

    def replayed(self, *arguments: str) -> dict[str, Any]:
        """Replay, and return what the command says to a program."""
        code, out, err = self.run("replay", *arguments, "--json")
        assert code == 0, err
        told: dict[str, Any] = json.loads(out)
        return told

    def verdict(self, run: str) -> str:
        """Return what the gates say of a run."""
        _, out, _ = self.run("verdict", run, "--project", "web", "--json", "--timeout", "5")
        return str(json.loads(out)["evaluation"]["verdict"])

    def ledger(self, run: str, consumer: str) -> list[dict[str, Any]]:
        """Return what a consumer did with the events of a run."""
        found: list[dict[str, Any]] = json.loads(self.run("trace", run, "--json")[1])["consumers"][consumer]
        return found

    def derived(self) -> list[str]:
        """Return the ids of the events that consumers derived, in their order."""
        events = (decode(message.body, message.content_encoding) for message, _ in EventLog(self.path).read({}))
        return [event.id for event in events if event.data.producer is None]


def rows(home: Path, consumer: str) -> dict[str, list[dict[str, Any]]]:
    """Return every row of a consumer, times left out: table → rows in an order of their own."""
    with closing(sqlite3.connect(home / "state" / f"{consumer}.sqlite3")) as connection:
        connection.row_factory = sqlite3.Row
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: sorted((_read(row) for row in connection.execute(f"SELECT * FROM {name}")), key=repr)
            for name in names
            if not name.startswith(DRIVERS)
        }


def picture(sandbox: Sandbox, target: str) -> list[Any]:
    """Return what a person sees on a ReportPortal, whatever its ids are."""
    return sorted(
        (
            launch.description,
            str(launch.status),
            launch.end_time is not None,
            sorted((item.name, str(item.status), [log.message for log in item.logs]) for item in launch.items),
        )
        for launch in sandbox.reportportal(target).launches
    )


def _read(row: sqlite3.Row) -> dict[str, Any]:
    return {name: _value(row[name]) for name in sorted(row.keys()) if name not in TIMES | WORDS}


def _value(value: Any) -> Any:
    """Return a value of a column, JSON as what it stands for: the order of members says nothing."""
    if isinstance(value, str) and value[:1] in {"{", "["}:
        return json.dumps(json.loads(value), sort_keys=True)
    return value
