"""`testbus worker`: Celery workers, one process tree for each queue or for those that may share one, kept alive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, Self

import click

from testbus.errors import CliError, Exit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from structlog.typing import FilteringBoundLogger as BoundLogger

    from testbus_consumers.registry import Instance
    from testbus_consumers.settings import Settings

#: Seconds before a worker that ended by itself is started again; doubled up to the second value.
_RESTART_S: Final = (1.0, 30.0)

#: Seconds of life after which the next restart is quick again.
_STEADY_S: Final = 60.0

#: Seconds that a warm shutdown may take before the workers are killed; their events are delivered again.
_SHUTDOWN_S: Final = 30.0

#: Seconds within which another signal is the same one: a terminal and a service manager send it to everybody.
_SAME_S: Final = 1.0


@click.command()
@click.argument("consumers", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every configured consumer.")
@click.option(
    "--concurrency", type=click.IntRange(1, 64), default=2, show_default=True, help="Processes of each worker."
)
@click.option(
    "--time-limit",
    type=click.IntRange(10),
    default=300,
    show_default=True,
    help="Seconds until the process of a stuck handler is killed; its event is delivered again.",
)
@click.option("--metrics-port", type=click.IntRange(1, 65535), help="Port of metrics for Prometheus. [default: none]")
@click.option("--metrics-host", default="127.0.0.1", show_default=True, help="Address that the port is opened on.")
@click.option(
    "--loglevel",
    type=click.Choice(["debug", "info", "warning", "error", "critical"], case_sensitive=False),
    default="warning",
    show_default=True,
    help="Of what Celery itself logs.",
)
def worker(
    consumers: tuple[str, ...],
    concurrency: int,
    time_limit: int,
    loglevel: str,
    *,
    everything: bool,
    metrics_port: int | None,
    metrics_host: str,
) -> int:
    """Run workers for CONSUMERS, as gates, reportportal (all its targets) or reportportal/eu.

    Those that wait for decisions about runs (gates, regressions, jira) share one worker; each other has its own.
    The first SIGTERM or Ctrl-C ends them when their events under way are done, the second one kills them. The log is
    JSON, one object a line, on standard error.
    """
    from testbus_consumers import logs, registry, settings  # noqa: PLC0415 for the help nothing is imported

    configured = settings.load()
    if not consumers and not everything:
        known = ", ".join(one.label for one in registry.instances(configured))
        raise CliError(f"which consumers? Name some, or give --all; configured: {known}")
    wanted = (
        registry.instances(configured)
        if everything
        else list({one.label: one for label in consumers for one in registry.find(configured, label)}.values())
    )
    _check_ready(configured, wanted)
    logs.to_stderr()
    options = ("-c", str(concurrency), "--time-limit", str(time_limit), "-l", loglevel)
    children = [_Child(queues=queues, options=options) for queues in queues_of_workers(wanted)]
    with _metrics(metrics_host, metrics_port), _Signals() as signals:
        _log().info("started", consumers=[one.queue for one in wanted], pid=os.getpid())
        while not signals.wait(0.2):
            for child in children:
                child.keep_alive()
        _log().info("stopping", grace_s=_SHUTDOWN_S)
        for child in children:
            child.terminate()
        deadline = time.monotonic() + _SHUTDOWN_S
        while any(child.alive for child in children):
            if signals.urgent or time.monotonic() > deadline:
                for child in children:
                    child.kill()
            time.sleep(0.05)
        _log().info("stopped")
    return Exit.OK


def _log() -> BoundLogger:
    import structlog  # noqa: PLC0415 for the help nothing is imported

    log: BoundLogger = structlog.get_logger(__name__)
    return log


class _Signals:
    """SIGTERM and SIGINT: the first one asks for an end, one that comes later for an end at once."""

    def __init__(self) -> None:
        #: Whether somebody does not want to wait.
        self.urgent = False
        self._asked_at: float | None = None
        self._asked = threading.Event()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._signalled)
        return self

    def __exit__(self, *_exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wait(self, seconds: float) -> bool:
        """Wait for the first signal, for so long; return whether it came."""
        return self._asked.wait(seconds)

    def _signalled(self, *_signal: object) -> None:
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
        elif now - self._asked_at > _SAME_S:
            self.urgent = True
        self._asked.set()


@contextmanager
def _metrics(host: str, port: int | None) -> Iterator[None]:
    """Let the children share their metrics in a folder, and show their sums; without a port do nothing."""
    if port is None:
        yield
        return
    from testbus_consumers.runtime import metrics  # noqa: PLC0415 as above

    with TemporaryDirectory(prefix="testbus-metrics-") as folder:
        try:
            stop = metrics.serve(Path(folder), host, port)
        except OSError as error:
            raise CliError(f"--metrics-port {port}: {error.strerror or error}: choose another") from None
        os.environ[metrics.FOLDER_VARIABLE] = folder
        try:
            yield
        finally:
            stop()


def queues_of_workers(wanted: Iterable[Instance]) -> list[tuple[str, ...]]:
    """Return the queues of each worker: decisions are few, and what each calls for is done in a thread of its queue."""
    decide = tuple(one.subscription.queue for one in wanted if one.consumer.decides)
    others = [(one.subscription.queue,) for one in wanted if not one.consumer.decides]
    return [*others, *([decide] if decide else [])]


def _check_ready(configured: Settings, wanted: Iterable[Instance]) -> None:
    """Say what has to be done first, instead of letting a worker fail with it over and over."""
    from testbus_broker.queues import depths  # noqa: PLC0415 as above
    from testbus_consumers.store import open_store  # noqa: PLC0415 the same
    from testbus_consumers.store.migrate import pending  # noqa: PLC0415 the same

    queues = [one.subscription.queue for one in wanted]
    found = depths(configured.broker.url.reveal(), queues, allow_plaintext=configured.broker.allow_plaintext)
    if absent := [queue for queue, depth in found.items() if depth is None]:
        raise CliError(f"{', '.join(absent)} does not exist: run `testbus broker declare`")
    for one in wanted:
        store = open_store(configured.state_url(), one.queue)
        if pending(store, one.consumer):
            raise CliError(f"the state of {one.label} is not up to date: run `testbus db upgrade`")
        store.close()


@dataclass(kw_only=True)
class _Child:
    """One Celery worker, started again when it ends by itself."""

    #: Names of its queues.
    queues: tuple[str, ...]
    #: Options of Celery's.
    options: tuple[str, ...]
    _process: subprocess.Popen[bytes] | None = None
    _started: float = 0.0
    _not_before: float = 0.0
    _pause: float = _RESTART_S[0]

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def keep_alive(self) -> None:
        now = time.monotonic()
        if self._process is not None and self._process.poll() is not None:
            _log().error(
                "worker ended by itself", queues=self.queues, status=self._process.returncode, again_in_s=self._pause
            )
            self._process = None
            self._not_before = now + self._pause
            steady = now - self._started > _STEADY_S
            self._pause = _RESTART_S[0] if steady else min(self._pause * 2, _RESTART_S[1])
        if self._process is None and now >= self._not_before:
            self._started = now
            self._process = subprocess.Popen(self._command(), env=_environment())  # noqa: S603 our own worker

    def terminate(self) -> None:
        if self.alive:
            assert self._process is not None
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        if self.alive:
            assert self._process is not None
            _log().error("worker killed: it did not end in time", queues=self.queues)
            # The processes of its pool end with it.
            self._process.kill()
            self._process.wait()

    def _command(self) -> list[str]:
        names = [queue.removeprefix("testbus.queue.") for queue in self.queues]
        name = f"{names[0] if len(names) == 1 else 'decisions'}.{os.getpid()}@%h"
        celery = [sys.executable, "-m", "celery", "--quiet", "-A", "testbus_consumers.app", "worker"]
        return [*celery, "-Q", ",".join(self.queues), "-n", name, *self.options]


def _environment() -> dict[str, str]:
    """Return the environment of a worker, which is to end with us however we end."""
    from testbus_consumers.settings import PARENT_VARIABLE  # noqa: PLC0415 for the help nothing is imported

    return os.environ | {PARENT_VARIABLE: str(os.getpid())}
