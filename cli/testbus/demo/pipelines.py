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
    from pathlib import Path

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

    def evaluation(self, run: RunContext) -> dict[str, Any] | None:
        """Return the verdict on a run, None as long as there is none."""


class Embedded:
    """Everything in this process, on this disk."""

    title = "embedded: no broker, no database server"

    def __init__(self, config: Path, folder: Path) -> None:
        """Take the configuration, and the folder for log and state."""
        from testbus_consumers.embedded import EmbeddedBus  # noqa: PLC0415 only what is played

        self._settings = settings.load(config)
        self._home = folder / "home"
        self._bus = EmbeddedBus(self._settings, self._home)
        self.url = self._bus.url

    def start(self) -> None:
        """Begin to consume."""
        self._bus.start()

    def stop(self) -> None:
        """End."""
        self._bus.stop()

    def evaluation(self, run: RunContext) -> dict[str, Any] | None:
        """Return the verdict on a run, None as long as there is none."""
        from testbus_consumers.embedded.reading import read_verdict  # noqa: PLC0415 as above

        found: dict[str, Any] | None = read_verdict(self._settings, self._home, run)["evaluation"]
        return found


class Broker:
    """RabbitMQ at a URL, and one Celery worker per queue."""

    def __init__(self, config: Path, folder: Path, url: str) -> None:
        """Take the configuration, the folder for the state, and the broker."""
        from testbus_broker.connection import redacted  # noqa: PLC0415 only what is played

        self.url = url
        self.title = f"RabbitMQ at {redacted(url)}, Celery workers"
        self._environment = {
            "TESTBUS_CONFIG": str(config),
            "TESTBUS_URL": url,
            "TESTBUS_DATABASE_URL": os.environ.get("TESTBUS_DATABASE_URL") or f"sqlite:///{folder / 'state'}",
        }
        self._log = folder / "workers.log"
        self._workers: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make topology and state, and start the workers."""
        for command in (["broker", "declare"], ["db", "upgrade"]):
            self._testbus(command)
        with self._log.open("wb") as log:
            self._workers = subprocess.Popen(
                [sys.executable, "-m", "testbus", "worker", "--all", "--concurrency", "1"],
                env=os.environ | self._environment,
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        """End the workers when their events are done."""
        if self._workers is None:
            return
        self._workers.send_signal(signal.SIGTERM)
        try:
            self._workers.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._workers.kill()

    def evaluation(self, run: RunContext) -> dict[str, Any] | None:
        """Return the verdict on a run, None as long as there is none."""
        from testbus_broker.requests import ask  # noqa: PLC0415 as above
        from testbus_schemas import VerdictRequested, encode, produced  # noqa: PLC0415 the same

        if self._workers is not None and self._workers.poll() is not None:
            raise CliError(f"the workers ended:\n{self._log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
        answer = ask(self.url, encode(produced(VerdictRequested(context=run))).body, _ANSWER_S)
        evaluation: dict[str, Any] | None = json.loads(answer)["evaluation"] if answer else None
        return evaluation

    def _testbus(self, command: list[str]) -> None:
        done = subprocess.run(  # noqa: S603 our own command
            [sys.executable, "-m", "testbus", *command],
            env=os.environ | self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CliError(f"testbus {' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")


def consumers(config: Path) -> list[str]:
    """Return the names of all that consume, for the picture."""
    return [instance.label for instance in registry.instances(settings.load(config))]
