"""Worker process trees: started, killed, stopped, and started again when they end, as a supervisor would."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import psutil

from testbus_broker.topology import Subscription

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

#: Seconds between two looks at the workers.
_LOOK_S: Final = 0.5


@dataclass(kw_only=True)
class Worker:
    """One tree: a parent that decides about consuming, and its children, which do the work."""

    #: Name, as `state-1`.
    name: str
    #: What it consumes, without prefix.
    queues: Sequence[str]
    #: Celery application, as `module` or `module:attribute`.
    app: str
    #: Child processes.
    concurrency: int
    #: Where it runs and logs.
    folder: Path
    #: Its environment.
    environment: Mapping[str, str]
    _process: subprocess.Popen[bytes] | None = None
    #: One fault at a time.
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Start the tree."""
        command = [sys.executable, "-m", "celery", "-A", self.app, "worker", "-c", str(self.concurrency)]
        command += ["-l", "warning", "-n", f"{self.name}@%h"]
        command += ["-Q", ",".join(Subscription(name=queue).queue for queue in self.queues)]
        with (self.folder / f"worker-{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=dict(self.environment), cwd=self.folder, stdout=log, stderr=log
            )

    @property
    def family(self) -> list[psutil.Process]:
        """Return the parent and its children, the parent first."""
        assert self._process
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self._process.pid)
            return [parent, *parent.children(recursive=True)]
        return []

    @property
    def ended(self) -> bool:
        """Tell whether the parent is gone."""
        return self._process is None or self._process.poll() is not None

    def signal(self, number: signal.Signals, *, parent: bool, children: int | None = None) -> list[psutil.Process]:
        """Send a signal to the parent, and to so many of its children (None: all); return who got it."""
        family = self.family
        victims = [*(family[:1] if parent else []), *family[1:][:children]]
        for process in victims:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        return victims

    @staticmethod
    def resume(stopped: Sequence[psutil.Process]) -> None:
        """Let processes go on that were stopped."""
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)

    def wait(self, timeout: float) -> None:
        """Wait until the parent is gone; kill it and its children after `timeout` seconds."""
        assert self._process
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End all of the tree."""
        self.signal(signal.SIGKILL, parent=True)
        if self._process:
            self._process.wait()


class Supervisor(threading.Thread):
    """Starts workers again that ended although nobody killed them, as `testbus worker` and any other supervisor do."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        """Take the workers to look after."""
        super().__init__(name="chaos-supervisor", daemon=True)
        self._workers = workers
        self._over = threading.Event()
        #: Workers that ended by themselves, by name, once for each time.
        self.ended: list[str] = []

    def stop(self) -> None:
        """End."""
        self._over.set()
        self.join()

    def run(self) -> None:
        """Look after them; a worker that is being hit is left alone."""
        while not self._over.wait(_LOOK_S):
            for worker in self._workers:
                if worker.lock.acquire(blocking=False):
                    try:
                        if worker.ended:
                            self.ended.append(worker.name)
                            worker.start()
                    finally:
                        worker.lock.release()
