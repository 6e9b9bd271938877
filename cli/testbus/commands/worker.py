"""`testbus worker`: Celery workers, one process tree per queue, kept alive."""

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
from typing import TYPE_CHECKING, Final

import click

from testbus.errors import CliError, Exit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from testbus_consumers.registry import Instance
    from testbus_consumers.settings import Settings

#: Seconds before a worker that ended by itself is started again; doubled up to the second value.
_RESTART_S: Final = (1.0, 30.0)

#: Seconds of life after which the next restart is quick again.
_STEADY_S: Final = 60.0

#: Seconds that a warm shutdown may take before the worker is killed; its events are delivered again.
_SHUTDOWN_S: Final = 30.0


@click.command()
@click.argument("consumers", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every configured consumer.")
@click.option("--concurrency", type=click.IntRange(1, 64), default=2, show_default=True, help="Processes per queue.")
@click.option(
    "--time-limit",
    type=click.IntRange(10),
    default=300,
    show_default=True,
    help="Seconds until the process of a stuck handler is killed; its event is delivered again.",
)
@click.option("--metrics-port", type=click.IntRange(1, 65535), help="Port of metrics for Prometheus. [default: none]")
@click.option("--metrics-host", default="127.0.0.1", show_default=True, help="Address that the port is opened on.")
@click.option("--loglevel", default="warning", show_default=True, help="Celery's own log.")
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

    The first SIGTERM or Ctrl-C ends them when their events under way are done.
    """
    from testbus_consumers import registry, settings  # noqa: PLC0415 for the help nothing is imported

    configured = settings.load()
    if not consumers and not everything:
        known = ", ".join(one.label for one in registry.instances(configured))
        raise CliError(f"which consumers? Name some, or give --all; configured: {known}")
    wanted = (
        registry.instances(configured)
        if everything
        else [one for label in consumers for one in registry.find(configured, label)]
    )
    _check_ready(configured, wanted)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    options = ("-c", str(concurrency), "--time-limit", str(time_limit), "-l", loglevel)
    children = [_Child(queue=one.subscription.queue, options=options) for one in wanted]
    with _metrics(metrics_host, metrics_port):
        while not stop.wait(0.2):
            for child in children:
                child.keep_alive()
        for child in children:
            child.terminate()
        for child in children:
            child.wait()
    return Exit.OK


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

    #: Name of its queue.
    queue: str
    #: Options of Celery's.
    options: tuple[str, ...]
    _process: subprocess.Popen[bytes] | None = None
    _started: float = 0.0
    _not_before: float = 0.0
    _pause: float = _RESTART_S[0]

    def keep_alive(self) -> None:
        now = time.monotonic()
        if self._process is not None and self._process.poll() is not None:
            click.echo(
                f"worker of {self.queue} ended with {self._process.returncode}, again in {self._pause:g} s", err=True
            )
            self._process = None
            self._not_before = now + self._pause
            steady = now - self._started > _STEADY_S
            self._pause = _RESTART_S[0] if steady else min(self._pause * 2, _RESTART_S[1])
        if self._process is None and now >= self._not_before:
            self._started = now
            self._process = subprocess.Popen(self._command())  # noqa: S603 our own worker

    def terminate(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(_SHUTDOWN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _command(self) -> list[str]:
        name = f"{self.queue.removeprefix('testbus.queue.')}.{os.getpid()}@%h"
        celery = [sys.executable, "-m", "celery", "-A", "testbus_consumers.app", "worker"]
        return [*celery, "-Q", self.queue, "-n", name, *self.options]
