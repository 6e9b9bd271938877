"""A deployment of private services, the sandbox, and two worker trees for every queue."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

import yaml
from sqlalchemy import make_url

from benchmarks.chaos.proxy import Proxy
from benchmarks.chaos.workers import Worker
from harness.private_postgresql import PrivatePostgreSQL
from harness.private_rabbitmq import PrivateRabbitMQ
from harness.private_redis import PrivateRedis
from harness.support import wait_until
from testbus_broker.queues import depths
from testbus_broker.topology import Subscription
from testbus_sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Where `tests` and `benchmarks` are found.
ROOT: Final = Path(__file__).parents[2]

#: Queues that share a worker tree; of each there are two trees.
GROUPS: Final[Mapping[str, Sequence[str]]] = {
    "state": ("runs", "gates", "requests", "regressions"),
    "portals": ("reportportal.a", "reportportal.b"),
    "people": ("jira", "slack"),
}

#: Every queue.
QUEUES: Final = tuple(queue for group in GROUPS.values() for queue in group)

#: All queues in each of two trees: for short loads, and machines with little to spare.
ONE_GROUP: Final[Mapping[str, Sequence[str]]] = {"all": QUEUES}

#: Retry delays, in seconds.
DELAY_STEPS: Final = (1, 2, 3, 5)

#: Seconds until a target that does not answer is given up; Jira's settle time has to be more than twice as long.
TIMEOUT_S: Final = 2
SETTLE_S: Final = 5

#: Seconds within which all workers consume, on a busy machine.
_START_S: Final = 300.0


@dataclass(kw_only=True)
class Deployment:
    """Everything that runs."""

    #: For configuration, logs and data.
    folder: Path
    #: Celery application of the workers.
    app: str = "testbus_consumers.app"
    #: Queues by name of their two worker trees.
    groups: Mapping[str, Sequence[str]] = field(default_factory=lambda: GROUPS)
    #: Child processes of each worker tree.
    concurrency: int = 2
    #: Seconds of silence after which a run is given up.
    deadline_s: float
    #: First of four ports on loopback for the sandbox: what follows from a target's address is the same on the same.
    port: int
    workers: list[Worker] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        """Describe the targets."""
        self.sandbox = Sandbox(
            reportportals=("a", "b"), jira=True, jira_projects=("CHAOS",), channels=("ci",), port=self.port
        )

    def __enter__(self) -> Self:
        """Start all of it."""
        with ExitStack() as stack:
            self.rabbitmq, self.redis, self.postgresql = self._services(stack)
            stack.enter_context(self.sandbox)
            self.sandbox.jira.lag(1)
            doors = {"broker": urlsplit(self.rabbitmq.url).port, "database": self.postgresql.port}
            self.proxy = Proxy({name: int(port or 0) for name, port in doors.items()})
            stack.callback(self.proxy.stop)
            self._configure()
            stack.callback(self._end_workers)
            for group, queues in self.groups.items():
                self.workers += [self._worker(f"{group}-{number}", queues) for number in (1, 2)]
            for worker in self.workers:
                worker.start()
            wait_until(self._consumed, _START_S, f"every queue has two workers; see {self.folder}")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        """End all of it."""
        self._stack.close()

    @property
    def amqp_url(self) -> str:
        """Return the broker's URL past the proxy."""
        return self.rabbitmq.url

    @property
    def database_url(self) -> str:
        """Return the database's URL past the proxy."""
        return self.postgresql.url

    def targets(self) -> dict[str, Any]:
        """Return the servers of the sandbox by name."""
        portals = {f"reportportal.{one.name}": one for one in self.sandbox.reportportals}
        return {**portals, "jira": self.sandbox.jira, "slack": self.sandbox.slack}

    def testbus(self, *arguments: str) -> str:
        """Run a `testbus` command to its end, and return what it printed."""
        command = [sys.executable, "-m", "testbus", *arguments]
        done = subprocess.run(
            command, env=self._environment(direct=True), cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr or done.stdout
        return done.stdout

    def _services(self, stack: ExitStack) -> tuple[PrivateRabbitMQ, PrivateRedis, PrivatePostgreSQL]:
        folders = {name: self.folder / name for name in ("rabbitmq", "redis", "postgresql")}
        for folder in folders.values():
            folder.mkdir()
        rabbitmq = PrivateRabbitMQ(folders["rabbitmq"])
        redis = PrivateRedis(folders["redis"])
        postgresql = PrivatePostgreSQL(folders["postgresql"])
        for service in (rabbitmq, redis, postgresql):
            stack.callback(service.stop)
            service.start()
        return rabbitmq, redis, postgresql

    def _configure(self) -> None:
        (self.folder / "testbus.yaml").write_text(yaml.safe_dump(self._configuration()), encoding="utf-8")
        self.testbus("broker", "declare")
        self.testbus("db", "upgrade")

    def _worker(self, name: str, queues: Sequence[str]) -> Worker:
        return Worker(
            name=name,
            queues=queues,
            app=self.app,
            concurrency=self.concurrency,
            folder=self.folder,
            environment=self._environment(direct=False),
        )

    def _consumed(self) -> bool:
        found = depths(self.amqp_url, [Subscription(name=queue).queue for queue in QUEUES])
        return all(depth is not None and depth.consumers == 2 for depth in found.values())  # noqa: PLR2004 two trees

    def _end_workers(self) -> None:
        for worker in self.workers:
            worker.kill()

    def _environment(self, *, direct: bool) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("TESTBUS_", "PYTEST_", "GITHUB_"))}
        amqp, database = self.amqp_url, self.database_url
        if not direct:
            port = self.proxy.ports["broker"]
            amqp = urlsplit(amqp)._replace(netloc=f"guest:guest@127.0.0.1:{port}").geturl()
            database = make_url(database).set(port=self.proxy.ports["database"]).render_as_string(hide_password=False)
        return inherited | {
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
            "TESTBUS_CONFIG": str(self.folder / "testbus.yaml"),
            "TESTBUS_URL": amqp,
            "TESTBUS_DATABASE_URL": database,
        }

    def _configuration(self) -> dict[str, Any]:
        slack, jira = self.sandbox.slack, self.sandbox.jira
        return {
            "broker": {"delay_steps": list(DELAY_STEPS)},
            "redis": {"url": self._secret("redis-url", self.redis.url)},
            "consumers": {
                "runs": {"deadline_s": self.deadline_s},
                "regressions": {},
                "reportportal": {"targets": {one.name: self._portal(one) for one in self.sandbox.reportportals}},
                "slack": {
                    "token": self._secret("slack-token", slack.token),
                    "channel": slack.channel("ci").id,
                    "base_url": slack.url,
                    "seconds_per_message": 0.01,
                    "timeout_s": TIMEOUT_S,
                },
                "jira": {
                    "url": jira.url,
                    "user": jira.user,
                    "token": self._secret("jira-token", jira.token),
                    "project": "CHAOS",
                    "branches": ["*"],
                    "settle_s": SETTLE_S,
                    "timeout_s": TIMEOUT_S,
                    # Every run but the one that an issue was created for comments on it: which comes first is chance.
                    "comment_every_h": 1e-9,
                },
            },
        }

    def _portal(self, portal: Any) -> dict[str, Any]:
        return {
            "endpoint": portal.url,
            "project": portal.project,
            "api_key": self._secret(f"portal-{portal.name}", portal.api_key),
            "timeout_s": TIMEOUT_S,
            "rate_per_s": 1000,
        }

    def _secret(self, name: str, value: str) -> dict[str, str]:
        file = self.folder / name
        file.write_text(value, encoding="utf-8")
        return {"file": str(file)}
