"""The two ways the demo's events can go: through this process, or through RabbitMQ and real workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final, Protocol

from testbus.errors import CliError
from testbus_consumers import registry, settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from testbus_broker.topology import Topology
    from testbus_consumers.embedded import EmbeddedBus
    from testbus_schemas import RunContext

#: Seconds that an answer about a verdict may take.
_ANSWER_S: Final = 5.0

#: Seconds that workers may take to finish what they hold.
_STOP_S: Final = 20.0


class Pipeline(Protocol):
    """What carries the demo's events."""

    #: What TESTBUS_URL has to be for its producers.
    url: str
    #: What it is, for people.
    title: str

    def start(self) -> None:
        """Begin to consume."""

    def stop(self) -> None:
        """End."""

    def grow(self, label: str) -> None:
        """Consume with a consumer that the configuration has got meanwhile."""

    def evaluation(self, run: RunContext) -> dict[str, Any] | None:
        """Return the verdict on a run, None as long as there is none."""

    def environment(self) -> Mapping[str, str]:
        """Return what a `testbus` command needs to look at this pipeline."""


class Embedded:
    """Everything in this process, on this disk."""

    title = "embedded: no broker, no database server"

    def __init__(self, config: Path, folder: Path) -> None:
        """Take the configuration, and the folder for log and state."""
        self._config = config
        self._home = folder / "home"
        self._bus = self._new_bus()
        self.url = self._bus.url

    def start(self) -> None:
        """Begin to consume."""
        self._bus.start()

    def stop(self) -> None:
        """End."""
        self._bus.stop()

    def grow(self, label: str) -> None:  # noqa: ARG002 all that is configured is consumed here
        """Begin again with the configuration as it is now."""
        self._bus.stop()
        self._bus = self._new_bus()
        self._bus.start()

    def environment(self) -> Mapping[str, str]:
        """Return what a `testbus` command needs to look at this pipeline."""
        return {"TESTBUS_CONFIG": str(self._config), "TESTBUS_URL": self.url, "TESTBUS_HOME": str(self._home)}

    def evaluation(self, run: RunContext) -> dict[str, Any] | None:
        """Return the verdict on a run, None as long as there is none."""
        from testbus_consumers.embedded.bus import read_verdict  # noqa: PLC0415 as above

        configured = settings.load(self._config)
        found: dict[str, Any] | None = read_verdict(configured, self._home, run)["evaluation"]
        return found

    def _new_bus(self) -> EmbeddedBus:
        from testbus_consumers.embedded import EmbeddedBus  # noqa: PLC0415 only what is played

        return EmbeddedBus(settings.load(self._config), self._home)


class Broker:
    """RabbitMQ at a URL, in a virtual host that nobody else uses, and one Celery worker per queue."""

    def __init__(self, config: Path, folder: Path, url: str) -> None:
        """Take the configuration, the folder for the state, and the broker."""
        from testbus_broker.connection import redacted  # noqa: PLC0415 only what is played

        self.url = url
        self.title = f"RabbitMQ at {redacted(url)}, Celery workers"
        self._config = config
        self._environment = {
            "TESTBUS_CONFIG": str(config),
            "TESTBUS_URL": url,
            # Never a database that somebody's own workers use.
            "TESTBUS_DATABASE_URL": f"sqlite:///{folder / 'state'}",
        }
        self._log = folder / "workers.log"
        self._workers: list[subprocess.Popen[bytes]] = []
        self._declared = False

    def start(self) -> None:
        """Make topology and state, and start the workers; CliError where anything of testbus is already."""
        from testbus_broker.connection import endpoint  # noqa: PLC0415 only what is played
        from testbus_broker.queues import present  # noqa: PLC0415 the same

        if taken := present(self.url, self._topology()):
            raise CliError(
                f"{endpoint(self.url)} is in use: there is {taken[0]}"
                + (f" and {len(taken) - 1} more" if taken[1:] else "")
                + ". The demo would take part in what runs there, so it wants a virtual host of its own: "
                "`rabbitmqctl add_vhost testbus-demo`, then a user with all rights in it, and --url …/testbus-demo"
            )
        self._work("--all")

    def grow(self, label: str) -> None:
        """Make what is new in topology and state, and start a worker for it beside the others."""
        self._work(label)

    def environment(self) -> Mapping[str, str]:
        """Return what a `testbus` command needs to look at this pipeline."""
        return self._environment

    def _work(self, what: str) -> None:
        self._declared = True
        for command in (["broker", "declare"], ["db", "upgrade"]):
            testbus(command, self._environment)
        command = [sys.executable, "-m", "testbus", "worker", what, "--concurrency", "1"]
        with self._log.open("ab") as log:
            worker = subprocess.Popen(  # noqa: S603 our own workers
                command, env=os.environ | self._environment, stdout=log, stderr=log
            )
        self._workers.append(worker)

    def stop(self) -> None:
        """End the workers when their events are done, and take away everything that was declared."""
        for worker in self._workers:
            worker.send_signal(signal.SIGTERM)
        for worker in self._workers:
            try:
                worker.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                worker.kill()
        if self._declared:
            from testbus_broker.queues import remove  # noqa: PLC0415 only what is played

            remove(self.url, self._topology())

    def evaluation(self, run: RunContext) -> dict[str, Any] | None:
        """Return the verdict on a run, None as long as there is none."""
        from testbus_broker.verdict_requests import ask  # noqa: PLC0415 as above
        from testbus_schemas import VerdictRequested, encode, produced  # noqa: PLC0415 the same

        if any(worker.poll() is not None for worker in self._workers):
            raise CliError(f"the workers ended:\n{self._log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
        answer = ask(self.url, encode(produced(VerdictRequested(context=run))).body, _ANSWER_S)
        evaluation: dict[str, Any] | None = json.loads(answer)["evaluation"] if answer else None
        return evaluation

    def _topology(self) -> Topology:
        """Return all that belongs to the configuration as it is now."""
        from testbus_broker.topology import Topology  # noqa: PLC0415 only what is played

        configured = settings.load(self._config)
        subscriptions = [instance.subscription for instance in registry.instances(configured)]
        return Topology.of(subscriptions, delay_steps=configured.broker.delay_steps)


def testbus(command: list[str], environment: Mapping[str, str]) -> str:
    """Run a `testbus` command as a user would, and return what it printed; CliError when it failed."""
    done = subprocess.run(  # noqa: S603 our own command
        [sys.executable, "-m", "testbus", *command],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CliError(f"testbus {' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def consumers(config: Path) -> list[str]:
    """Return the names of all that consume, for the picture."""
    return [instance.label for instance in registry.instances(settings.load(config))]
