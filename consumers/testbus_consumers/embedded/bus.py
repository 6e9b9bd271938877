"""The embedded bus: every configured consumer in one process, fed from the log of events on disk."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Self

from testbus_broker.event_log import EventLog
from testbus_broker.publisher import open_publisher
from testbus_consumers import logs, registry
from testbus_consumers.bootstrap import build_policy
from testbus_consumers.embedded import state
from testbus_consumers.embedded.queue_worker import Backlog, QueueWorker
from testbus_consumers.embedded.state import any_read, begin_positions, load_positions
from testbus_consumers.errors import ConsumerError
from testbus_consumers.requests.consumer import verdict_on
from testbus_consumers.settings import DEFAULT_HOME
from testbus_consumers.store import open_store
from testbus_consumers.store.migrate import upgrade
from testbus_consumers.store.reader import StateReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from testbus_consumers.registry import Instance
    from testbus_consumers.settings import Settings
    from testbus_consumers.store import Store
    from testbus_schemas import RunContext

#: How long the log keeps events, as the stream does in production.
RETENTION: Final = timedelta(days=14)

#: Seconds that ending may take, beyond the event under way.
_STOP_S: Final = 5.0

#: Seconds between two looks at whether everything is done.
_POLL_S: Final = 0.05

#: Times that the lock is asked for.
_LOCK_ATTEMPTS: Final = 4


class BusyHomeError(ConsumerError):
    """Another process drains this folder already: wait for it, or choose another TESTBUS_HOME."""


class EmbeddedBus:
    """All consumers of a configuration over one folder; at most one process at a time drains it."""

    def __init__(self, settings: Settings, home: Path, **seams: Any) -> None:
        """Prepare; nothing is read before `start` (or `with`). `seams` go to every policy, as tests do."""
        self._settings = settings
        self._home = home
        self._seams = seams
        self._lock: int | None = None
        self._queue_workers: dict[str, QueueWorker] = {}
        self._logging = ExitStack()
        self._publisher = open_publisher(self.url)

    @property
    def url(self) -> str:
        """Return what TESTBUS_URL has to be for producers that feed this bus."""
        return f"file://{self._home}"

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        """Stop."""
        self.stop()

    def start(self) -> None:
        """Take the folder, bring its state up to date, and begin. Raises BusyHomeError."""
        self._lock = _take(self._home)
        self._logging.enter_context(logs.to_file(self._home / "testbus.log"))
        EventLog(self._home).prune(RETENTION)
        for instance in _with_events(self._settings):
            self._queue_workers[instance.queue] = self._open(instance)
        # Not before all have their place in the log: a queue that is opened after others have read is a new one.
        for queue_worker in self._queue_workers.values():
            queue_worker.start()

    def stop(self) -> None:
        """Finish the events under way, and give the folder back."""
        for queue_worker in self._queue_workers.values():
            queue_worker.stop(_STOP_S)
            queue_worker.policy.close()
        self._queue_workers.clear()
        self._publisher.close(_STOP_S)
        self._logging.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def backlog(self) -> Mapping[str, Backlog]:
        """Return what is left to do, by queue."""
        return {queue: queue_worker.backlog() for queue, queue_worker in self._queue_workers.items()}

    def drain(self, timeout: float, until: Callable[[Mapping[str, Backlog]], bool] | None = None) -> bool:
        """Wait until nothing is left to do (or `until` says so), for at most `timeout` seconds; tell whether it was."""
        deadline = time.monotonic() + timeout
        done = until or (lambda backlog: all(one.empty for one in backlog.values()))
        while not done(self.backlog()):
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def _open(self, instance: Instance) -> QueueWorker:
        store = open_state(self._home, instance)
        url = state_url(self._home)
        policy = build_policy(instance, self._settings, self._publisher, store=store, state_url=url, **self._seams)
        return QueueWorker(instance.subscription, policy, EventLog(self._home))


def _with_events(settings: Settings) -> list[Instance]:
    """Return the consumers that read the log; whoever only answers requests is asked on the spot."""
    return [one for one in registry.instances(settings) if one.handles_events]


def state_url(home: Path) -> str:
    """Return the URL of the state in a home."""
    return f"sqlite:///{home / 'state'}"


def open_state(home: Path, instance: Instance) -> Store:
    """Return the state of one queue in a home, brought up to date.

    A queue that is new in a home where others have been at work begins at the present end of the log.
    """
    store = open_store(state_url(home), instance.queue)
    upgrade(store, instance.consumer)
    with store.begin() as connection:
        state.create(connection)
        born = load_positions(connection) is not None
    if not born:
        # What was there before a queue was is not news to it: as with a broker, a replay fills it.
        position = EventLog(home).end() if any_read(home) else {}
        with store.begin() as connection:
            begin_positions(connection, position)
    return store


@contextmanager
def taken(home: Path) -> Iterator[None]:
    """Keep every process from draining a folder for as long as the block runs. Raises BusyHomeError while one does."""
    lock = _take(home)
    try:
        yield
    finally:
        os.close(lock)


def is_drained(home: Path) -> bool:
    """Tell whether a process drains a folder just now: nothing happens in it otherwise."""
    try:
        lock = os.open(home / "drain.lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _take(home: Path) -> int:
    """Return the descriptor of the folder's lock; it goes with the process, however that ends."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        ignore = home / ".gitignore"
        if home.name == DEFAULT_HOME and not ignore.exists():
            # Nobody wants the pipeline of this machine in a commit. A folder of another name may hold more than that.
            ignore.touch(mode=0o600)
            ignore.write_text("*\n", encoding="utf-8")
        lock = os.open(home / "drain.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConsumerError(
            f"the embedded pipeline cannot be kept in {home}: {error.strerror or error}: set TESTBUS_HOME to a folder "
            "that can be written"
        ) from None
    for attempt in range(_LOCK_ATTEMPTS):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Perhaps only somebody who looks (`is_drained`).
            time.sleep(_POLL_S if attempt + 1 < _LOCK_ATTEMPTS else 0)
        else:
            return lock
    os.close(lock)
    raise BusyHomeError(f"another process drains {home} already: wait for it, or choose another TESTBUS_HOME")


def read_verdict(settings: Settings, home: Path, context: RunContext) -> dict[str, Any]:
    """Return what `requests` would answer about a run: `status` (`pending` or `decided`), `run` and `evaluation`."""
    (gates,) = registry.find(settings, "gates")
    # Where nothing was judged yet there may be no state, or an older one.
    open_state(home, gates).close()
    with closing(StateReader(state_url(home))) as reader:
        return verdict_on(context, reader)


def read_backlog(settings: Settings, home: Path) -> Mapping[str, Backlog]:
    """Return what is left to do, by queue, as if nobody were at work."""
    publisher = open_publisher(f"file://{home}")
    found = {}
    for instance in _with_events(settings):
        store = open_state(home, instance)
        policy = build_policy(instance, settings, publisher, store=store, state_url=state_url(home))
        found[instance.queue] = QueueWorker(instance.subscription, policy, EventLog(home)).backlog()
        policy.close()
    publisher.close(0)
    return found
