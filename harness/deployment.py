"""A whole deployment for tests: vhost, database, sandbox, configuration, and one worker process tree per queue."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil
import yaml

from harness import command
from harness.support import LEAN, wait_until
from testbus_broker.queues import depths
from testbus_broker.topology import Subscription
from testbus_sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Seconds within which a worker consumes after its start, on a busy machine.
START_S = 120.0

#: Seconds within which anything that is not held up by a fault has happened.
SOON_S = 45.0

#: Characters of a worker's log that are shown.
_SHOWN_CHARS = 4000


@dataclass(kw_only=True)
class Deployment:
    """Everything that runs, and what tests ask of it."""

    folder: Path
    amqp_url: str
    database_url: str
    deadline_s: float = 900.0
    #: Targets of `reportportal` in the configuration, and whether there is a Slack in it.
    portals: tuple[str, ...] = ("a", "b")
    #: What is special about the settings of each.
    targets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    slack: bool = True
    #: Whether a worker is started for each queue.
    started: bool = True
    sandbox: Sandbox = field(default_factory=lambda: Sandbox(reportportals=("a", "b"), channels=("ci",)))
    _workers: dict[str, command.Forked | subprocess.Popen[bytes]] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        """Start all of it."""
        self._stack.enter_context(self.sandbox)
        self.config = self.folder / "testbus.yaml"
        try:
            self.set_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        """Kill every worker, then the sandbox; what the workers said is shown with a test that failed."""
        for queue in list(self._workers):
            self.kill(queue)
        for log in sorted(self.folder.glob("worker-*.log")):
            told = log.read_text(encoding="utf-8", errors="replace")
            print(f"--- {log.name}\n{told[-_SHOWN_CHARS:]}")  # noqa: T201
        self._stack.close()

    def set_up(self) -> str:
        """Write the configuration, make what it needs, and start what does not run; returns what declaring said."""
        self.config.write_text(yaml.safe_dump(self._configuration()), encoding="utf-8")
        declared = self.testbus("broker", "declare").stdout
        self.testbus("db", "upgrade")
        if self.started:
            for queue in set(self.queues) - self._workers.keys():
                self.start(queue)
            wait_until(self.all_consumed, START_S, "every queue has a worker")
        return declared

    @property
    def queues(self) -> list[str]:
        """Return the queues of the configuration."""
        portals = (f"reportportal.{name}" for name in self.portals)
        return ["runs", "gates", "requests", *portals, *(["slack"] if self.slack else [])]

    def environment(self, **extra: str) -> dict[str, str]:
        """Return the environment of a process that knows this deployment and no CI, nor an outer test session."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("TESTBUS_", "PYTEST_", "GITHUB_"))}
        return inherited | {
            "TESTBUS_CONFIG": str(self.config),
            "TESTBUS_URL": self.amqp_url,
            "TESTBUS_DATABASE_URL": self.database_url,
            "TESTBUS_SPOOL": str(self.folder / "spool"),
            "TESTBUS_PROJECT": "web",
            "PYTEST_ADDOPTS": LEAN,
            **extra,
        }

    def testbus(self, *arguments: str, check: bool = True, **extra: str) -> subprocess.CompletedProcess[str]:
        """Run a `testbus` command to its end."""
        done = command.testbus(arguments, environment=self.environment(**extra), folder=self.folder)
        assert not check or done.returncode == 0, done.stderr or done.stdout
        return done

    def pytest(
        self, project: Path, *arguments: str, timeout: float = 120.0, **extra: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a project's tests, publishing here, for at most `timeout` seconds."""
        return subprocess.run(
            [sys.executable, "-m", "pytest", "--testbus", "-p", "no:cacheprovider", *arguments],
            env=self.environment(**extra),
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )

    def verdict(self, run: str, timeout: float = SOON_S) -> dict[str, Any]:
        """Return the verdict on a run as `testbus verdict` tells it, waiting for it."""
        done = self.testbus("verdict", run, "--json", "--timeout", str(timeout), check=False)
        answer: dict[str, Any] = json.loads(done.stdout)
        assert answer["status"] == "decided", done.stderr
        return {**answer["evaluation"], "exit": done.returncode}

    def start(self, queue: str) -> None:
        """Start the worker of a queue."""
        self.start_worker(queue, "-c", "2", "-Q", Subscription(name=queue).queue)

    def start_worker(self, name: str, *options: str) -> command.Forked:
        """Start a worker with options of Celery's."""
        worker = command.celery_worker(
            ["-l", "warning", "-n", f"{name}@%h", *options],
            environment=self.environment(),
            folder=self.folder,
            log=self.folder / f"worker-{name}.log",
        )
        self._workers[name] = worker
        return worker

    def kill(self, queue: str) -> None:
        """SIGKILL a worker and its pool processes, as an out-of-memory killer or a lost node would."""
        worker = self._workers.pop(queue)
        family = [*psutil.Process(worker.pid).children(recursive=True), psutil.Process(worker.pid)]
        for process in family:
            process.send_signal(signal.SIGKILL)
        worker.wait()

    def stop(self, queue: str) -> None:
        """End a worker as an orchestrator does: it finishes what is under way."""
        worker = self._workers.pop(queue)
        worker.terminate()
        worker.wait(START_S)

    def peak_rss(self, queue: str) -> int:
        """Return the largest resident size that any process of a queue's worker ever had, in bytes."""
        worker = psutil.Process(self._workers[queue].pid)
        return max(_high_water(process.pid) for process in (worker, *worker.children(recursive=True)))

    def depths(self, queue: str) -> Mapping[str, int]:
        """Return how many messages wait in a queue, and how many are dead."""
        own = Subscription(name=queue)
        found = depths(self.amqp_url, [own.queue, own.dead])
        return {
            kind: depth.messages
            for kind, name in (("waiting", own.queue), ("dead", own.dead))
            if (depth := found[name])
        }

    def workers(self, queue: str) -> int:
        """Return how many consumers a queue has."""
        name = Subscription(name=queue).queue
        depth = depths(self.amqp_url, [name])[name]
        return depth.consumers if depth else 0

    def launch(self, target: str, run: str) -> Any:
        """Return the launch of a run on a ReportPortal, None before there is one."""
        launches = self.sandbox.reportportal(target).launches
        return next((one for one in launches if f"`testbus show {run}`" in (one.description or "")), None)

    def all_consumed(self) -> bool:
        """Tell whether every queue has a worker."""
        names = [Subscription(name=queue).queue for queue in self.queues]
        return all(depth is not None and depth.consumers for depth in depths(self.amqp_url, names).values())

    def _configuration(self) -> dict[str, Any]:
        slack = self.sandbox.slack
        told = {
            "token": self._secret("slack", slack.token),
            "channel": slack.channel("ci").id,
            "base_url": slack.url,
        }
        return {
            "broker": {"delay_steps": [1, 2, 3, 5]},
            "consumers": {
                "runs": {"deadline_s": self.deadline_s},
                "reportportal": {"targets": {name: self._target(name) for name in self.portals}},
                **({"slack": told} if self.slack else {}),
            },
        }

    def _target(self, name: str) -> dict[str, Any]:
        portal = self.sandbox.reportportal(name)
        return {
            "endpoint": portal.url,
            "project": portal.project,
            "api_key": self._secret(f"portal-{name}", portal.api_key),
            "timeout_s": 5,
            **self.targets.get(name, {}),
        }

    def _secret(self, name: str, value: str) -> dict[str, str]:
        file = self.folder / name
        file.write_text(value, encoding="utf-8")
        return {"file": str(file)}


def _high_water(pid: int) -> int:
    """Return the peak resident size of a process, in bytes: Linux keeps it."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
