"""A consumer of somebody else's, with handlers that end, crash, hang or dawdle; and a deployment that runs it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from harness.deployment import Deployment
from harness.events import FakeProducer
from testbus_broker.connection import connected
from testbus_broker.message import message_of
from testbus_broker.publisher import open_publisher
from testbus_broker.topology import Subscription

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from harness.command import Forked

MODULE = '''
import os, signal, time
from pathlib import Path

from testbus_consumers.runtime import Consumer, Done, effect
from testbus_consumers.settings import Section
from testbus_schemas import ResultsRecorded


class NastySettings(Section):
    folder: str
    """Where to keep what was done."""


def react(event, scope):
    folder = Path(scope.settings.folder)
    (name,) = [result.node_id for result in event.data.results]
    with (folder / "begun").open("a") as file:
        file.write(name + "\\n")
    if name.startswith("exit"):
        os._exit(7)
    if name.startswith("crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if name.startswith("hang") and not (folder / "hung").exists():
        (folder / "hung").touch()
        time.sleep(600)
    while name.startswith("wait") and not (folder / "go").exists():
        time.sleep(0.05)
    if name.startswith("slow"):
        time.sleep(0.2)
    with (folder / "done").open("a") as file:
        file.write(name + "\\n")
    return Done()


CONSUMER = Consumer(name="nasty", settings=NastySettings, handlers={ResultsRecorded: effect(react)})
'''

METADATA = "Metadata-Version: 2.1\nName: nasty\nVersion: 1.0\n"

ENTRY_POINTS = "[testbus.consumers]\nnasty = nasty_consumer:CONSUMER\n"


@dataclass(kw_only=True)
class NastyDeployment(Deployment):
    """Only that consumer's worker, started by the test."""

    portals: tuple[str, ...] = ()
    slack: bool = False
    started: bool = False
    #: Section `celery` of the configuration.
    celery_settings: Mapping[str, bool] = field(default_factory=dict)

    def set_up(self) -> str:
        """Install the consumer as any other package that announces one, then do as usual."""
        site = self.folder / "site"
        (site / "nasty-1.0.dist-info").mkdir(parents=True)
        (site / "nasty_consumer.py").write_text(MODULE, encoding="utf-8")
        (site / "nasty-1.0.dist-info" / "METADATA").write_text(METADATA, encoding="utf-8")
        (site / "nasty-1.0.dist-info" / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")
        return super().set_up()

    def environment(self, **extra: str) -> dict[str, str]:
        """Add the folder that the package is installed in."""
        return super().environment(PYTHONPATH=str(self.folder / "site"), **extra)

    def work(self, *options: str, without_queue: bool = False) -> Forked:
        """Start its worker with options of Celery's, and return the process."""
        queue = [] if without_queue else ["-Q", Subscription(name="nasty").queue]
        return self.start_worker("nasty", "-c", "2", *queue, *options)

    def supervise(self, *options: str) -> subprocess.Popen[bytes]:
        """Start `testbus worker` for it, in a process group of its own as a shell or systemd does."""
        log = (self.folder / "worker-nasty.log").open("ab")
        worker = subprocess.Popen(
            [sys.executable, "-m", "testbus", "worker", "nasty", *options],
            env=self.environment(),
            cwd=self.folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self._workers["nasty"] = worker
        log.close()
        return worker

    @property
    def log(self) -> str:
        """Return what its workers said."""
        return (self.folder / "worker-nasty.log").read_text(encoding="utf-8")

    def left(self) -> list[int]:
        """Take everything out of its queue, and return how often each message was delivered before."""
        with connected(self.amqp_url) as connection:
            channel = connection.channel()
            taken = [
                channel.basic_get(Subscription(name="nasty").queue) for _ in range(self.depths("nasty")["waiting"])
            ]
            return [(properties.headers or {}).get("x-delivery-count", 0) for _, properties, _ in taken]

    def celery(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of Celery's own."""
        return subprocess.run(
            [sys.executable, "-m", "celery", "-A", "testbus_consumers.app", *arguments],
            env=self.environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def kill(self, queue: str) -> None:
        """Kill the worker, unless it has ended already."""
        if self._workers[queue].poll() is None:
            super().kill(queue)
        else:
            del self._workers[queue]

    def forget(self) -> None:
        """Take the consumer out of the configuration."""
        configured = self._configuration()
        del configured["consumers"]["nasty"]
        self.config.write_text(yaml.safe_dump(configured), encoding="utf-8")

    def publish(self, names: Iterable[str], run: str) -> dict[str, str]:
        """Publish an event for each name, and return name → event id."""
        producer = FakeProducer(run, run=run)
        events = {name: producer.results(**{name: "passed"}) for name in names}
        publisher = open_publisher(self.amqp_url)
        messages = [message_of(e) for e in events.values()]
        publisher.publish(messages, 30)
        publisher.close(5)
        return {name: event.id for name, event in events.items()}

    def said(self, what: str) -> list[str]:
        """Return the names that were begun, or done, in that order."""
        file = self.folder / what
        return file.read_text(encoding="utf-8").split() if file.exists() else []

    def _configuration(self) -> dict[str, Any]:
        configured = super()._configuration()
        del configured["consumers"]["reportportal"]
        # Few, so that what ends its worker process each time does not take long to be given up.
        configured["broker"]["delivery_limit"] = 6
        configured["consumers"]["nasty"] = {"folder": str(self.folder)}
        return configured | ({"celery": dict(self.celery_settings)} if self.celery_settings else {})
