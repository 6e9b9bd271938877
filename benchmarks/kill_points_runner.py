"""The processes of `benchmarks.kill_points` that are killed: runners that record results, and flushes.

They are forked off a process that has imported everything, so that a thousand of them take minutes. A process is killed
from outside at any time, or kills itself in the middle of the file-system call that was drawn for it: before the call,
after it, or with a part of the bytes written.
"""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from testbus_broker import system_calls
from testbus_producers import settings
from testbus_producers.producer import Producer
from testbus_producers.sending import relay_process, sender
from testbus_producers.sending.flush import flush
from testbus_producers.spool.event_builder import to_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Calls by which a spool, a log or a relay comes to be, changes and goes.
CALLS: Final = ("open", "write", "close", "mkdir", "rename", "unlink", "rmdir", "ftruncate", "truncate")

#: Where nobody listens.
REFUSED: Final = "amqp://guest:guest@127.0.0.1:1/"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one runner does before it is killed."""

    #: Its number, which its tests' names begin with.
    number: int
    #: Where it publishes.
    url: str
    #: Root of its spool.
    spool: Path
    #: Seed of everything that it draws.
    seed: int
    #: Results that it records at most; then it finishes, and waits to be killed.
    results: int
    #: Bound in bytes of the text of one result.
    size: int
    #: Seconds between two results on average.
    pause_s: float
    #: Number of the file-system call that kills it; None when it is killed from outside.
    call: int | None
    #: Seconds after which it is killed from outside.
    after_s: float


def node_id(number: int, index: int) -> str:
    """Return the name of a runner's test."""
    return f"test_{number}.py::test_{index}"


def start_runner(plan: Plan) -> tuple[int, int]:
    """Fork a runner; return its process id, and where it writes the index of each result that was recorded."""
    heard, said = os.pipe()
    child = os.fork()
    if not child:
        os.close(heard)
        _end_after(lambda: _record(plan, said))
    os.close(said)
    return child, heard


def start_flush(spool: Path, url: str, seed: int, call: int | None) -> int:
    """Fork a flush; return its process id. It exits with 0 when nothing remains and nothing was in use."""
    child = os.fork()
    if not child:
        _end_after(lambda: _flush(spool, url, seed, call))
    return child


def _record(plan: Plan, said: int) -> int:
    rng = random.Random(plan.seed)
    write = os.write
    # Many looks at the spool in a short life, and small segments: so that every state is there to be killed in.
    relay_process.POLL_S = rng.choice((0.005, 0.02, 0.1))  # type: ignore[misc]
    told = settings.read(
        environ={
            "TESTBUS_URL": plan.url,
            "TESTBUS_SPOOL": str(plan.spool),
            "TESTBUS_RUN_ID": f"kill-{plan.number}",
            "TESTBUS_PROJECT": "kills",
            "TESTBUS_SPOOL_MAX_MB": "1",
            "TESTBUS_EXIT_TIMEOUT": "1",
        }
    )
    # A relay that is forked off knows what was changed for this run, and dies in the middle of its calls as well.
    relay_process.Relay.start = lambda one: _fork_relay(one, random.Random(plan.seed + 1))  # type: ignore[assignment, method-assign] # for this process
    if plan.call is not None:
        _die_in_call(plan.call, rng)
    producer = Producer(told, tool="kill-points", tool_version="1", folder=plan.spool)
    write(said, b"relay %d\n" % (producer.relay_process or 0))
    producer.collected([node_id(plan.number, index) for index in range(plan.results)])
    for index in range(plan.results):
        before = producer.reported
        text = "x" * rng.randrange(plan.size)
        producer.result(to_json({"node_id": node_id(plan.number, index), "outcome": "passed", "reason": text}))
        if producer.reported > before:
            write(said, b"%d\n" % index)
        if plan.pause_s:
            time.sleep(rng.expovariate(1 / plan.pause_s))
    producer.finish("finished", 0, plan.results)
    signal.pause()
    return 0


def _fork_relay(one: relay_process.Relay, rng: random.Random) -> None:
    """Start a relay as the product does, but for the program that is executed anew."""
    told, lock = one.task, os.dup(one.folder.lock)
    one.process = os.fork()
    if one.process:
        os.close(lock)
        return
    os.setsid()
    if rng.random() < 0.3:  # noqa: PLR2004 the others live as long as they want
        _die_in_call(int(10 ** rng.uniform(0.5, 2.5)), rng)
    _end_after(lambda: sender.publish(one.url, one.folder.path, lock, told, allow_plaintext=False))


def _flush(spool: Path, url: str, seed: int, call: int | None) -> int:
    if call is not None:
        _die_in_call(call, random.Random(seed))
    report = flush(spool, url, 60)
    return int(bool(report.remaining or report.busy))


def _end_after(work: Callable[[], int]) -> NoReturn:
    """Do what this process was forked for; nothing of the parent's is ended in here."""
    status = 3
    try:
        status = work()
    finally:
        os._exit(status)


def _die_in_call(fatal: int, rng: random.Random) -> None:
    """Let this process kill itself in the file-system call with this number."""
    counted = 0
    half = rng.random()

    def wrapped(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any, **named: Any) -> Any:
            nonlocal counted
            counted += 1
            if counted != fatal:
                return call(*arguments, **named)
            if name == "write":
                data = arguments[1]
                call(arguments[0], data[: round(len(data) * half)])
            elif half > 0.5:  # noqa: PLR2004 as often before the call as after it
                call(*arguments, **named)
            os.kill(os.getpid(), signal.SIGKILL)
            return None

        return counting

    for name in CALLS:
        call = wrapped(name, getattr(os, name))
        setattr(os, name, call)
        if hasattr(system_calls, name):
            setattr(system_calls, name, call)
