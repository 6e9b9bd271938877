"""Instruments for Prometheus; docs/operations.md names them all.

Measured where deliveries and timers are settled, never in handlers. With PROMETHEUS_MULTIPROC_DIR in the environment
(`testbus worker --metrics-port` sets it for its children) they lie in files of that folder, and `serve` shows the sums
over all processes.
"""

from __future__ import annotations

import struct
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

from testbus_consumers.runtime.delivery import Acknowledge, Answer, DeadLetter, Delay, Settlement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

#: Tells prometheus_client where the processes of one worker share their numbers; read when it is imported.
FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"

#: Type of what could not be read.
UNREADABLE: Final = "unreadable"

#: Note of a delivery that changed nothing, because its event was done already.
ALREADY_DONE: Final = "already done"

#: Bounds of short times, in seconds.
_SHORT: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

#: Bounds of the time from a test to what follows from it, in seconds.
_LONG: Final = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 21600, 86400)

EVENTS: Final = Counter("testbus_events", "Deliveries settled, by what became of them", ["queue", "type", "outcome"])
HANDLING: Final = Histogram("testbus_event_handling_seconds", "Time that one delivery took", ["queue"], buckets=_SHORT)
LATENCY: Final = Histogram(
    "testbus_event_latency_seconds", "Time from the recording of an event until it was done", ["queue"], buckets=_LONG
)
RETRIES: Final = Counter("testbus_retries", "Events and timers put off to another try", ["queue"])
DEAD_LETTERS: Final = Counter("testbus_dead_letters", "Events given up", ["queue"])
TIMERS: Final = Counter("testbus_timers", "Timers run, by what became of them", ["queue", "timer", "outcome"])
BREAKER: Final = Gauge(
    "testbus_breaker_state",
    "Whether the target is left alone: 0 closed, 1 half-open, 2 open",
    ["queue"],
    multiprocess_mode="mostrecent",
)
REQUESTS: Final = Histogram(
    "testbus_target_request_seconds",
    "Time that one request to a target took",
    ["target", "operation", "outcome"],
    buckets=_SHORT,
)

#: Seconds until a file is read again that was not whole.
_UNREADABLE_S: Final = 0.1

_BREAKER_STATES: Final = {"closed": 0, "half-open": 1, "open": 2}


class _Collector(MultiProcessCollector):
    """Adds up the numbers of all processes; one that is just being started has a file that cannot be read yet."""

    def __init__(self, registry: CollectorRegistry, path: str) -> None:
        """Take where the files are."""
        super().__init__(registry, path=path)  # type: ignore[no-untyped-call]

    def collect(self) -> Any:
        """Return all metrics, at the third try at the latest."""
        for _ in range(2):
            try:
                return super().collect()  # type: ignore[no-untyped-call]
            except (OSError, RuntimeError, ValueError, LookupError, struct.error):
                time.sleep(_UNREADABLE_S)
        return super().collect()  # type: ignore[no-untyped-call]


def settled(queue: str, kind: str, settlement: Settlement, seconds: float, age: float | None) -> None:
    """Count one delivery: its event's type, what became of it, and how long that took.

    `age` is the time in seconds since the event was recorded; None for one that says nothing about the present.
    """
    outcome = _outcome(settlement)
    EVENTS.labels(queue, kind, outcome).inc()
    HANDLING.labels(queue).observe(seconds)
    if outcome == "retry":
        RETRIES.labels(queue).inc()
    elif outcome == "dead":
        DEAD_LETTERS.labels(queue).inc()
    elif outcome == "done" and age is not None:
        LATENCY.labels(queue).observe(max(0.0, age))


def timer(queue: str, name: str, outcome: str) -> None:
    """Count one timer that was run: done, retry or dead."""
    TIMERS.labels(queue, name, outcome).inc()
    if outcome == "retry":
        RETRIES.labels(queue).inc()


def breaker(queue: str, state: str) -> None:
    """Keep the state of a breaker: closed, half-open or open."""
    BREAKER.labels(queue).set(_BREAKER_STATES[state])


@contextmanager
def request(target: str, operation: str) -> Iterator[None]:
    """Measure one request to a target; an exception makes its outcome an error.

    `target` is a kind of target (slack, reportportal), `operation` one of few words.
    """
    began = time.perf_counter()
    outcome = "error"
    try:
        yield
        outcome = "ok"
    finally:
        REQUESTS.labels(target, operation, outcome).observe(time.perf_counter() - began)


def age_of(recorded: datetime, now: float) -> float:
    """Return how many seconds ago something was recorded."""
    return now - recorded.timestamp()


def serve(folder: Path, host: str, port: int) -> Callable[[], None]:
    """Show the sums over all processes that share `folder` at http://host:port/metrics; returns what ends that.

    Raises OSError when the port is taken.
    """
    registry = CollectorRegistry()
    _Collector(registry, path=str(folder))
    server, thread = start_http_server(port, addr=host, registry=registry)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


def _outcome(settlement: Settlement) -> str:
    match settlement:
        case Delay():
            return "retry"
        case DeadLetter():
            return "dead"
        case Answer():
            return "answered"
        case Acknowledge():
            return "duplicate" if settlement.note == ALREADY_DONE else "done"
