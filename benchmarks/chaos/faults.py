"""The faults themselves, and who is hit by them; what was hit stands again afterwards."""

from __future__ import annotations

import random
import signal
import sys
import threading
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import sql

from benchmarks.chaos.deployment import QUEUES
from benchmarks.chaos.workers import Worker
from harness.private_postgresql import libpq
from testbus_broker.errors import BrokerError
from testbus_broker.queues import depths
from testbus_broker.topology import Subscription

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.chaos.deployment import Deployment
    from benchmarks.chaos.plan import Fault
    from benchmarks.chaos.sending import Sending

#: Faults under way at once, at most.
_AT_ONCE: Final = 3

#: Messages that may wait in all queues when the next fault comes, and how many seconds it waits for that.
_BACKLOG: Final = 200
_CATCH_UP_S: Final = 10.0

#: Seconds between two looks at that.
_LOOK_S: Final = 0.5

#: Seconds that the next writer of a table is waited for, and what tells that one waits.
_WRITER_S: Final = 10.0
_WAITING: Final = (
    "SELECT 1 FROM pg_locks JOIN pg_class ON pg_class.oid = relation "
    "WHERE relname = %s AND relnamespace = 'testbus_runs'::regnamespace AND NOT granted"
)

#: Seconds that a warm shutdown may take.
_SHUTDOWN_S: Final = 20.0


def victims(deployment: Deployment) -> dict[str, list[str]]:
    """Return whom faults can hit, by sort."""
    return {
        "worker": [worker.name for worker in deployment.workers],
        "connections": list(deployment.proxy.ports),
        "target": list(deployment.targets()),
    }


class Storm:
    """Faults one after the other and beside each other, never two on the same victim at once."""

    def __init__(self, deployment: Deployment, sending: Sending, seed: int) -> None:
        """Take whom to hit, and what is to be published meanwhile."""
        self._deployment = deployment
        self._sending = sending
        self._chance = random.Random(f"storm {seed}")
        self._workers = {worker.name: worker for worker in deployment.workers}
        self._locks: dict[str, threading.Lock] = {worker.name: worker.lock for worker in deployment.workers}
        self._beside = threading.Semaphore(_AT_ONCE)
        #: How often a worker was killed while it wrote to a table of the record.
        self.killed_writing = 0
        self._failed: list[BaseException] = []
        self._began = time.monotonic()

    def rage(self, faults: Sequence[Fault]) -> float:
        """Inject all faults while the load is published, and return when the last one ended (monotonic seconds)."""
        threads = []
        for number, fault in enumerate(faults, 1):
            self._catch_up()
            self._sending.release(number / len(faults))
            time.sleep(fault.pause_s)
            self._beside.acquire()
            print(f"{time.monotonic() - self._began:7.1f} s  {number:3} {fault}", file=sys.stderr, flush=True)
            lock = self._locks.setdefault(fault.victim, threading.Lock())
            thread = threading.Thread(target=self._inject, args=(fault, lock), name=f"fault-{number}")
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join()
        if self._failed:
            raise self._failed[0]
        return time.monotonic()

    def _catch_up(self) -> None:
        """Let workers come near the end of what was published, so that the faults hit all of a long load."""
        names = [Subscription(name=queue).queue for queue in QUEUES]
        deadline = time.monotonic() + _CATCH_UP_S
        while time.monotonic() < deadline:
            # A broker that does not answer is being hit at this moment.
            with suppress(BrokerError, OSError):
                found = depths(self._deployment.amqp_url, names).values()
                if sum(depth.messages for depth in found if depth) <= _BACKLOG:
                    return
            time.sleep(_LOOK_S)

    def _inject(self, fault: Fault, lock: threading.Lock) -> None:
        try:
            with lock:
                getattr(self, f"_{fault.sort}")(fault)
        except BaseException as error:  # noqa: BLE001 raised again where the harness waits
            self._failed.append(error)
        finally:
            self._beside.release()

    def _worker(self, fault: Fault) -> None:
        worker = self._workers[fault.victim]
        if fault.kind == "kill child":
            worker.signal(signal.SIGKILL, parent=False, children=1)
        elif fault.kind == "kill parent":
            worker.signal(signal.SIGKILL, parent=True, children=0)
            worker.wait(_SHUTDOWN_S)
            worker.start()
        elif fault.kind == "kill tree":
            worker.kill()
            time.sleep(fault.lasts_s)
            worker.start()
        elif fault.kind == "stop":
            stopped = worker.signal(signal.SIGSTOP, parent=True)
            time.sleep(fault.lasts_s)
            Worker.resume(stopped)
        else:
            worker.signal(signal.SIGTERM, parent=True, children=0)
            worker.wait(_SHUTDOWN_S)
            worker.start()

    def _writing(self, fault: Fault) -> None:
        """Kill every worker of `runs` while one waits to write to a table that is locked: nothing of it may remain."""
        writers = [worker for worker in self._deployment.workers if "runs" in worker.queues]
        with ExitStack() as held:
            for worker in writers:
                held.enter_context(worker.lock)
            # A database that is being hit at this moment is not locked by anybody.
            with suppress(psycopg.Error), psycopg.connect(libpq(self._deployment.database_url)) as connection:
                connection.execute(f"SET lock_timeout = '{_WRITER_S:g}s'")
                connection.execute(
                    sql.SQL("LOCK TABLE testbus_runs.{} IN SHARE MODE").format(sql.Identifier(fault.kind))
                )
                self.killed_writing += self._is_written(fault.kind)
                for worker in writers:
                    worker.kill()
            time.sleep(fault.lasts_s)
            for worker in writers:
                if worker.ended:
                    worker.start()

    def _is_written(self, table: str) -> bool:
        """Wait until somebody waits for a table that is locked; False when nobody does for too long."""
        deadline = time.monotonic() + _WRITER_S
        with psycopg.connect(libpq(self._deployment.database_url), autocommit=True) as connection:
            while time.monotonic() < deadline:
                if connection.execute(_WAITING, (table,)).fetchone():
                    return True
                time.sleep(_LOOK_S / 10)
        return False

    def _broker(self, fault: Fault) -> None:
        server = self._deployment.rabbitmq
        if fault.kind == "kill":
            self._restart(server, fault)
        else:
            server.signal(signal.SIGSTOP)
            time.sleep(fault.lasts_s)
            server.signal(signal.SIGCONT)

    def _database(self, fault: Fault) -> None:
        self._restart(self._deployment.postgresql, fault)

    def _redis(self, fault: Fault) -> None:
        self._restart(self._deployment.redis, fault)

    @staticmethod
    def _restart(server: Any, fault: Fault) -> None:
        server.kill()
        time.sleep(fault.lasts_s)
        server.start()

    def _connections(self, fault: Fault) -> None:
        proxy = self._deployment.proxy
        proxy.tell(fault.kind, fault.victim)
        time.sleep(fault.lasts_s)
        proxy.tell("heal", fault.victim)

    def _target(self, fault: Fault) -> None:
        faults = self._deployment.targets()[fault.victim].faults
        with ExitStack() as stack:
            stack.callback(faults.clear)
            if fault.kind == "refuse":
                faults.refuse()
            else:
                action, which = _ANSWERS[fault.kind]
                getattr(faults, action)(**which)
            time.sleep(fault.lasts_s)


#: What a server of the sandbox does, by kind of fault.
_ANSWERS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "hang": ("hang", {}),
    "answer 429": ("status", {"status": 429, "retry_after_s": 1}),
    "answer 500": ("status", {"status": 500}),
    "answer 503": ("status", {"status": 503}),
    "reset": ("reset", {}),
    "act, then answer 500": ("status", {"status": 500, "act_first": True}),
    "act, then reset": ("reset", {"act_first": True}),
    "act, then hang": ("hang", {"act_first": True}),
}
