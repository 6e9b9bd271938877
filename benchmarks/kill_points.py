"""What a killed runner loses: processes that record results are killed at random points, and their spools are flushed.

    python -m benchmarks.kill_points --kills 1000 --seed 1 --json

Each runner writes the number of a result into a pipe when the append to its spool has returned: all that the harness
reads there must arrive, once, at a queue of a real RabbitMQ (or in the log of an embedded home), whichever process it
was sent by. Flushes run beside the runners, two at a time, and are killed as well. Whole pytest sessions are killed
besides. The last line with --json is one object: kills, events, lost, duplicates, and what else there was.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from benchmarks.kill_points_places import Place, compare, places
from benchmarks.kill_points_runner import REFUSED, Plan, start_flush, start_runner
from benchmarks.kill_points_sessions import kill_session

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Runners that live at the same time.
AT_ONCE: Final = 4

#: Bound in seconds of one runner's life, and of the last flush.
PATIENCE_S: Final = 60.0

#: How often a death is followed by a flush beside the others.
FLUSHES: Final = 0.15


@dataclass(kw_only=True)
class Living:
    """A runner that was not killed yet."""

    #: What it does.
    plan: Plan
    #: Its process.
    pid: int
    #: Where it says what it recorded.
    heard: int
    #: When it is killed, in seconds of the monotonic clock.
    kill_at: float
    #: What it said so far.
    said: bytes = b""


@dataclass(kw_only=True)
class Harness:
    """Kills runners until there were enough. Everything but time is drawn from one seed."""

    #: Where they publish.
    places: list[Place]
    #: What everything is drawn from.
    rng: random.Random
    #: Results that were recorded, by runner.
    recorded: dict[int, list[int]] = field(default_factory=dict)
    #: Runners that were killed.
    kills: int = 0
    #: Flushes that were killed.
    killed_flushes: int = 0
    _living: list[Living] = field(default_factory=list)
    _flushes: list[int] = field(default_factory=list)

    def run(self, kills: int) -> None:
        """Start and kill so many runners, flushing now and then."""
        number = 0
        try:
            while number < kills or self._living:
                while number < kills and len(self._living) < AT_ONCE:
                    number += 1
                    self._start(number)
                self._look()
                self._reap(wait=False)
        finally:
            for one in self._living:
                os.kill(one.pid, signal.SIGKILL)
                os.waitpid(one.pid, 0)
        self._reap(wait=True)

    def run_sessions(self, work: Path, sessions: int) -> None:
        """Start and kill so many pytest sessions, numbered after the runners."""
        for number in range(len(self.recorded) + 1, len(self.recorded) + sessions + 1):
            self.recorded[number] = kill_session(work, number, self.rng.choice(self.places), self.rng)
            self.kills += 1

    def flush(self) -> None:
        """Flush everything, until nothing remains."""
        for place in self.places:
            self._flush_all(place)

    def _start(self, number: int) -> None:
        rng = self.rng
        place = rng.choice(self.places)
        refused = rng.random() < 0.3  # noqa: PLR2004 as often as not the broker is away in the end
        by_relay = place.home is None or refused
        plan = Plan(
            number=number,
            url=REFUSED if refused else place.url,
            spool=place.spool,
            seed=rng.getrandbits(32),
            results=rng.choice((3, 30, 300)),
            size=rng.choice((2, 200, 20_000)),
            pause_s=rng.choice((0.0, 0.0005, 0.005)),
            call=int(10 ** rng.uniform(0, 3)) if rng.random() < 0.5 else None,  # noqa: PLR2004 half of them
            # Connecting takes its time through a relay.
            after_s=rng.uniform(0, 1.5 if by_relay else 0.4),
        )
        pid, heard = start_runner(plan)
        self._living.append(Living(plan=plan, pid=pid, heard=heard, kill_at=time.monotonic() + plan.after_s))

    def _look(self) -> None:
        """Hear what the runners say, and kill those whose time has come."""
        ready, _, _ = select.select([one.heard for one in self._living], [], [], 0.005)
        now = time.monotonic()
        for one in list(self._living):
            ended = False
            if one.heard in ready:
                heard = os.read(one.heard, 1 << 16)
                one.said += heard
                ended = not heard
            if ended or now >= one.kill_at:
                self._bury(one)

    def _bury(self, one: Living) -> None:
        """Kill a runner, now and then with its relay, and take down what it had said."""
        relays = []
        if self.rng.random() < 0.3:  # noqa: PLR2004 else the relay outlives its producer, and ends by itself
            relays = _relays(one.said)
        if self.rng.random() < 0.5:  # noqa: PLR2004 in either order
            _kill(relays)
        with suppress(ProcessLookupError):
            os.kill(one.pid, signal.SIGKILL)
        _, status = os.waitpid(one.pid, 0)
        _kill(relays)
        while heard := os.read(one.heard, 1 << 16):
            one.said += heard
        os.close(one.heard)
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            raise SystemExit(f"runner {one.plan.number} ended by itself: {status} ({one.plan})")
        self.kills += 1
        self.recorded[one.plan.number] = [int(line) for line in one.said.splitlines() if line.isdigit()]
        self._living.remove(one)
        if self.rng.random() < FLUSHES:
            place = self.rng.choice(self.places)
            for _ in range(self.rng.choice((1, 2))):
                call = int(10 ** self.rng.uniform(0, 2.5)) if self.rng.random() < 0.5 else None  # noqa: PLR2004 half
                self._flushes.append(start_flush(place.spool, place.url, self.rng.getrandbits(32), call))

    def _reap(self, *, wait: bool) -> None:
        for pid in list(self._flushes):
            ended, status = os.waitpid(pid, 0 if wait else os.WNOHANG)
            if ended:
                self._flushes.remove(pid)
                code = os.waitstatus_to_exitcode(status)
                self.killed_flushes += code == -signal.SIGKILL
                if code not in {0, 1, -signal.SIGKILL}:
                    raise SystemExit(f"a flush failed with status {code}")

    def _flush_all(self, place: Place) -> None:
        """Flush until nothing remains: relays that outlived their parents end within seconds."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            _, status = os.waitpid(start_flush(place.spool, place.url, 0, None), 0)
            if status == 0:
                break
            if time.monotonic() > deadline:
                raise SystemExit(f"{place.spool} cannot be flushed (status {status})")


def _relays(said: bytes) -> list[psutil.Process]:
    """Return the relay that a runner has named, if it lives."""
    named = [int(line.split()[1]) for line in said.splitlines() if line.startswith(b"relay ")]
    with suppress(psutil.Error):
        return [psutil.Process(number) for number in named if number]
    return []


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.kill()


def main(argv: Sequence[str] | None = None) -> int:
    """Kill, flush, compare; 1 when something was lost or came twice."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=1000, help="runners to kill")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything that is drawn")
    parser.add_argument("--sessions", type=int, default=0, help="whole pytest sessions to kill besides")
    parser.add_argument("--no-broker", action="store_true", help="only the log of an embedded home, no RabbitMQ")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args(argv)
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="testbus-kills-") as work,
        places(Path(work), broker=not options.no_broker) as destinations,
    ):
        harness = Harness(places=destinations, rng=random.Random(options.seed))
        harness.run(options.kills)
        harness.run_sessions(Path(work), options.sessions)
        harness.flush()
        found = compare((message for place in destinations for message in place.messages()), harness.recorded)
        # What was killed while it was made holds nothing yet; it goes when it is a day old.
        left = [path for place in destinations for path in place.spool.glob("[!.]*")]
    figures = {
        "kills": harness.kills,
        "sessions": options.sessions,
        "events": found.events,
        "lost": len(found.lost),
        "duplicates": len(found.duplicates),
        "redelivered": found.redelivered,
        "results": sum(map(len, harness.recorded.values())),
        "killed_flushes": harness.killed_flushes,
        "places": len(destinations),
        "left": len(left),
        "seed": options.seed,
        "seconds": round(time.monotonic() - started, 1),
    }
    for what in ("lost", "duplicates"):
        for line in getattr(found, what)[:20]:
            print(f"{what}: {line}", file=sys.stderr)
    print(", ".join(f"{name} {value}" for name, value in figures.items()))
    if options.json:
        print(json.dumps(figures))
    return int(bool(found.lost or found.duplicates))


if __name__ == "__main__":
    raise SystemExit(main())
